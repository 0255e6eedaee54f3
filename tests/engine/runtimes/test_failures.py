"""Runtimes that are there and do not work: torch computes the map, or a sentence says how."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from panloom.engine.errors import DeviceError
from panloom.engine.runtimes import choice
from panloom.engine.runtimes.choice import RuntimeUse, RuntimeWish
from panloom.engine.runtimes.graph_cache import default_cache
from panloom.engine.runtimes.runtime import CannotRunError

from ..test_predict import Run, Small
from .test_choice import choose

onnxruntime = pytest.importorskip("onnxruntime")
TORCH = f"torch {torch.__version__}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANLOOM_CACHE", str(tmp_path))


def assert_torch_instead(use: RuntimeUse, why: str) -> None:
    assert use.runtime.title == TORCH
    assert use.note.level == "warning"
    assert use.note.text == f"ONNX Runtime {why}. {TORCH} computes the whole map instead."


def test_torch_computes_all_where_onnx_runtime_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    use = choose(RuntimeWish("onnxruntime"))
    why = "import of onnxruntime halted; None in sys.modules"
    assert_torch_instead(use, f"cannot be loaded ({why})")


class Failing:
    """A session that fails on every patch."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def run(self, *arguments: Any) -> None:
        raise RuntimeError("Failed to allocate memory for a buffer.\nand much more")


def test_torch_computes_all_where_onnx_runtime_fails_on_the_first_tile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Failing)
    use = choose(RuntimeWish("onnxruntime"))
    assert_torch_instead(use, "cannot run this network (Failed to allocate memory for a buffer)")


def test_a_runtime_that_fails_later_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(monkeypatch, room=9)

    def fail(self: Small, tiles: object) -> None:
        raise CannotRunError("no more")

    monkeypatch.setattr(Small, "run", fail)
    with pytest.raises(DeviceError) as caught:
        run.predictions()
    side = run.tiles[0].read
    assert str(caught.value) == (
        f"{TORCH} fails on a tile of {side.width} × {side.height} MS pixels: no more. "
        "Add `--runtime torch`, or choose smaller tiles (`--tile-px`)."
    )


def test_a_tile_too_large_for_half_precision_is_left_to_the_first_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is halved there, or the CPU computes it."""

    def too_large(*arguments: object) -> None:
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(choice, "half_precision", lambda name, device: torch.bfloat16)
    monkeypatch.setattr(choice, "compare", too_large)
    use = choose(RuntimeWish("torch"))
    assert (use.runtime.title, use.note.text) == (TORCH, f"Runtime: {TORCH}.")


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    for variable in ("PANLOOM_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    assert default_cache().folder is None
