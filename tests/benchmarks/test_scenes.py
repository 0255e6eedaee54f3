"""Mosaics repeat a part of a pair; limited scenes keep their width."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from panloom.benchmarks.scenes import PERIOD_MS_PX, described, mosaic, scene_size
from panloom.engine.sample.pair import write_sample_pair
from panloom.engine.scene.pair import ScenePair


def test_a_mosaic_repeats_both_rasters_in_step(tmp_path: Path) -> None:
    made = write_sample_pair(tmp_path, size_ms_px=(PERIOD_MS_PX + 8, PERIOD_MS_PX + 1))
    pair = mosaic(described(made.ms, made.pan, "made up"), 2560, 1030, tmp_path)
    assert (pair.width, pair.height, pair.pixels) == (2560, 1030, 2560 * 1030)
    for path, source, scale in ((pair.ms, made.ms, 1), (pair.pan, made.pan, 2)):
        with rasterio.open(source) as file:
            part = file.read()[:, : scale * PERIOD_MS_PX, : scale * PERIOD_MS_PX]
            transform, names = file.transform, file.descriptions
        with rasterio.open(path) as file:
            found = file.read()
            assert (file.transform, file.descriptions, file.nodata) == (transform, names, 0)
        wanted = np.tile(part, (1, 3, 3))[:, : found.shape[1], : found.shape[2]]
        np.testing.assert_array_equal(found, wanted)
        assert found.shape[1:] == (1030 * scale // 2, 2560 * scale // 2)
    with ScenePair.open(pair.ms, pair.pan, ratio=2) as scene:
        assert scene.map_window.width >= 2558


def test_a_pair_smaller_than_the_period_is_refused(tmp_path: Path) -> None:
    made = write_sample_pair(tmp_path, size_ms_px=(100, 90))
    pair = described(made.ms, made.pan, "made up")
    with pytest.raises(ValueError, match=r"100 × 90 MS pixels, ratio 2\.0"):
        mosaic(pair, 2048, 2048, tmp_path)


@pytest.mark.parametrize(
    ("side", "most_mpx", "wanted"),
    [
        (2048, 72, (2048, 2048)),
        (8192, 72, (8192, 8192)),
        (32768, 72, (32768, 2048)),
        (32768, 0, (32768, 32768)),
        (32768, 1, (32768, 256)),
    ],
)
def test_a_limited_scene_keeps_its_width(
    side: int, most_mpx: float, wanted: tuple[int, int]
) -> None:
    assert scene_size(side, most_mpx) == wanted
