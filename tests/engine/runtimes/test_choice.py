"""The runtime that was asked for, or torch with the reason why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from panloom.engine.device import Device
from panloom.engine.errors import InputError
from panloom.engine.runtimes import choice, onnx_graph
from panloom.engine.runtimes.agreement import Agreement
from panloom.engine.runtimes.choice import (
    FEW_PX,
    RuntimeStart,
    RuntimeUse,
    RuntimeWish,
    require_runtime,
    start_runtime,
)
from panloom.engine.runtimes.runtime import Pieces
from panloom.engine.runtimes.torch_runtime import TorchRuntime

from .random_networks import LOOK, card_of, halo_of, network_of, step_of, tile_of

CPU = Device(torch.device("cpu"), "")
MANY = FEW_PX + 1


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PANLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


def choose(wish: RuntimeWish) -> RuntimeUse:
    network = network_of("adcdnet", "")
    step = step_of(network, halo_of(network))
    reference = TorchRuntime(step, LOOK, CPU.torch)
    start = RuntimeStart(step, card_of("adcdnet", ""), LOOK, CPU, 1, reference, network.lattice_px)
    side = 2 * halo_of(network) + 16
    return start_runtime(wish, start, tile_of(side, side + 4, valid=0.8))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_named_runtime_is_taken_where_it_gives_torchs_classes(name: str) -> None:
    pytest.importorskip(name)
    use = choose(RuntimeWish(name))
    title = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}[name]
    assert use.runtime.title.startswith(f"{title} ")
    assert use.agreement is not None
    assert use.agreement.share == 1
    assert use.agreement.pixels == pytest.approx(0.8 * 32 * 40, rel=0.05)
    assert use.note.level == "info"
    assert use.note.text == (
        f"Runtime: {use.runtime.title} gives torch's class on 100.00 % of "
        f"{use.agreement.pixels:,} pixels."
    )
    assert use.to_json()["name"] == title
    assert use.to_json()["agreement"] == {
        "same": use.agreement.pixels, "pixels": use.agreement.pixels,
    }  # fmt: skip


def test_auto_takes_onnx_runtime_for_many_pixels_and_torch_for_few() -> None:
    assert choose(RuntimeWish("auto", MANY)).runtime.title.startswith("ONNX Runtime")
    few = choose(RuntimeWish("auto", 1_234_567))
    assert few.note.text == (
        f"Runtime: torch {torch.__version__}; for 1,234,567 pixels it is done before another is "
        "ready."
    )


def test_auto_takes_torch_where_onnx_runtime_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    use = choose(RuntimeWish("auto", MANY))
    assert use.note.text == (
        f"Runtime: torch {torch.__version__}; ONNX Runtime, which is faster, is not installed."
    )


@dataclass(frozen=True)
class OneClass:
    """A runtime that sees one class everywhere."""

    title: str = "ONNX Runtime 9"

    def run(self, tiles: list) -> Pieces:
        side = tuple(2 * (n - 68) for n in tiles[0].ms.shape[1:])
        return np.full((1, *side), 3, np.uint8), np.full((1, *side), 50, np.uint8)


def test_torch_computes_all_where_the_classes_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "OnnxRuntime", lambda *arguments: OneClass())
    use = choose(RuntimeWish("onnxruntime"))
    assert use.runtime.title == f"torch {torch.__version__}"
    assert use.agreement is not None
    assert 0 < use.agreement.share < 0.9
    assert use.note.level == "warning"
    assert use.note.text == (
        f"ONNX Runtime 9 gives torch's class on {use.agreement}; 99.99 % are needed. "
        f"torch {torch.__version__} computes the whole map instead."
    )


def test_torch_computes_all_where_the_network_cannot_be_exported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError("no such operator\nand much more")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    use = choose(RuntimeWish("auto", MANY))
    assert use.note.level == "warning"
    assert use.note.text == (
        "ONNX Runtime cannot run this network (no such operator). "
        f"torch {torch.__version__} computes the whole map instead."
    )


def test_a_network_is_exported_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(RuntimeWish("onnxruntime"))
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(onnx_graph, "_export", None)  # not called a second time
    assert choose(RuntimeWish("onnxruntime")).agreement is not None


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert str(Agreement(999_999, 1_000_000)) == "99.99 % of 1,000,000 pixels"
    assert str(Agreement(65_536, 65_536)) == "100.00 % of 65,536 pixels"
    assert Agreement(0, 0).share == 0


GPU = Device(torch.device("cuda", 0), "")


@pytest.mark.parametrize(
    ("wish", "device", "text"),
    [
        (
            RuntimeWish("tensorrt"), CPU,
            "`tensorrt` is no runtime; auto, torch, onnxruntime or openvino is needed.",
        ),
        (
            RuntimeWish("onnxruntime"), GPU,
            "ONNX Runtime was asked for, which Panloom runs on the CPU; the device is cuda:0. "
            "Add `--device cpu`, or leave `--runtime` at auto.",
        ),
        (
            RuntimeWish("onnxruntime", evaluation="patch"), CPU,
            "ONNX Runtime was asked for together with `--evaluation patch`, which only torch "
            "does. Leave one of them out.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(
    wish: RuntimeWish, device: Device, text: str
) -> None:
    with pytest.raises(InputError) as caught:
        require_runtime(wish, device)
    assert str(caught.value) == text


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None if name == "openvino" else name)
    with pytest.raises(InputError) as caught:
        require_runtime(RuntimeWish("openvino"), CPU)
    assert str(caught.value) == (
        "OpenVINO was asked for, and the package openvino is not installed. Install it "
        "(`pip install openvino`), or leave `--runtime` at auto."
    )


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        require_runtime(RuntimeWish("onnxruntime"), CPU)
    assert str(caught.value) == (
        "ONNX Runtime was asked for, and the packages onnxruntime and onnx are not installed. "
        "Install them (`pip install onnxruntime onnx`), or leave `--runtime` at auto."
    )
