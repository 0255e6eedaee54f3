"""One raster of MS and PAN gives the network what a pair of rasters gives it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.enums import Resampling

from panloom.benchmarks.scenes import small_pair
from panloom.benchmarks.stacked_network import StackedNetwork
from panloom.benchmarks.stacked_raster import write_stacked
from panloom.engine.radiometry import Radiometry
from panloom.engine.scene.pair import ScenePair
from panloom.models.networks import build_network

BANDS = 6


@pytest.mark.parametrize("ratio", [2, 4])
def test_logits_are_those_of_the_pair(ratio: int) -> None:
    torch.manual_seed(0)
    network = build_network("adcdnet", {}, bands=BANDS, ratio=ratio, classes=5).eval()
    ms = torch.randint(100, 4000, (2, BANDS, 32, 24)).float()
    pan = torch.randint(100, 4000, (2, 1, 32 * ratio, 24 * ratio)).float()
    offset, scale = (
        [90.0 + k for k in range(BANDS + 1)],
        [2e-3 + 1e-4 * k for k in range(BANDS + 1)],
    )
    fine = ms.repeat_interleave(ratio, dim=2).repeat_interleave(ratio, dim=3)
    stacked = StackedNetwork(network, ratio, offset, scale, (-1.0, 6.0))
    radiometry = Radiometry(
        tuple(offset[:-1]), tuple(scale[:-1]), offset[-1], scale[-1], (-1.0, 6.0)
    )
    everywhere = torch.ones(2, 1, *pan.shape[-2:], dtype=torch.bool)
    with torch.inference_mode():
        found = stacked(torch.cat([fine, pan], dim=1))
        wanted = network(*radiometry.apply(ms, pan, everywhere, everywhere))
    assert found.std() > 0.01
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_stacked_raster_repeats_the_working_grid(tmp_path: Path) -> None:
    pair = small_pair(tmp_path)
    with ScenePair.open(pair.ms, pair.pan, ratio=2) as scene:
        write_stacked(scene, tmp_path / "stacked.tif")
        tile = scene.read(scene.ms.grid.window)
        grid = scene.pan.grid
    with rasterio.open(tmp_path / "stacked.tif") as source:
        assert (source.count, source.width, source.height) == (7, grid.width, grid.height)
        assert source.transform == grid.transform
        stacked = source.read()
        # GDAL's own nearest neighbor at half the size takes one pixel of each block.
        coarse = source.read(
            list(range(1, 7)), out_shape=tile.ms.shape, resampling=Resampling.nearest
        )
    np.testing.assert_array_equal(stacked[:6], np.kron(coarse, np.ones((2, 2), np.uint16)))
    np.testing.assert_allclose(coarse, tile.ms, atol=0.5)
    np.testing.assert_array_equal(stacked[6], np.asarray(tile.pan)[0])
