"""The table of a GPU runs whole, on a scene of one tile and with the CPU in the GPU's place."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import rasterio
import torch

from panloom.benchmarks.scenes import Pair, described
from panloom.engine.sample.pair import write_sample_pair
from panloom.engine.scene.pair import ScenePair
from tests.engine.accelerator import Accelerator

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def gpu() -> Iterator[ModuleType]:
    """The script, which imports those beside it by their bare names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("gpu")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    made = write_sample_pair(tmp_path / "sample", size_ms_px=(130, 110))
    return described(made.ms, made.pan, "a small pair")


def test_the_page_has_all_its_numbers(gpu: ModuleType, pair: Pair, tmp_path: Path) -> None:
    page = "\n".join(gpu.lines(pair, tmp_path, 1, Accelerator(torch.device("cpu"), "")))
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    names = ["whole run", "reading alone", "network alone", "the longer of both, by round"]
    assert [row[0] for row in rows] == ["what", "---", *names]
    rates, seconds = ([float(row[n].replace(",", "")) for row in rows[2:]] for n in (1, 2))
    assert min(rates) > 0
    for rate, second in zip(rates, seconds):
        rounded = 0.0005 * rate + 0.5 * second  # seconds to three digits, rates to none at worst
        assert rate * second == pytest.approx(pair.pixels / 1e6, abs=rounded)
    assert rows[2][3].startswith("**1.00**")
    assert rates[3] == min(rates[1:3])
    assert f"Runtime: torch {torch.__version__}. Of all " in page
    for name in ("float16", "bfloat16"):
        found = re.search(rf"\n{name} gives the class of single precision on ([\d.]+) %", page)
        assert found is not None
        assert 95 < float(found[1]) <= 100
    with ScenePair.open(pair.ms, pair.pan, ratio=2) as scene:
        shape = scene.map_window.shape
    with rasterio.open(tmp_path / "map.tif") as source:
        assert source.shape == shape
        assert source.read(1).any()


def test_a_pair_that_is_written_out_has_the_same_pixels(
    gpu: ModuleType, pair: Pair, tmp_path: Path
) -> None:
    written = gpu.written_out(pair, tmp_path)
    for source, target in ((pair.ms, written.ms), (pair.pan, written.pan)):
        with rasterio.open(source) as one, rasterio.open(target) as other:
            np.testing.assert_array_equal(one.read(), other.read())
            assert (one.transform, one.crs, one.nodata) == (
                other.transform, other.crs, other.nodata,
            )  # fmt: skip
            assert other.block_shapes[0] == (512, 512)
            assert one.descriptions == other.descriptions


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure on")
def test_without_a_gpu_the_page_says_so(
    gpu: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.modules[gpu.publish.__module__], "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    gpu.main()
    page = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "| whole run | not measured | not measured | not measured |" in page
    assert "There is no CUDA device here." in page
    assert page == capsys.readouterr().out
