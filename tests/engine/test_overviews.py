"""Overviews of maps and confidences, as readers of the finished files see them."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from panloom.engine.grid import Grid, Window
from panloom.engine.halving import majority, mean
from panloom.engine.map_raster import MapRaster


def write(path, raster, nodata, halve, step=100, **options):
    height, width = raster.shape
    transform = Affine(15, 0, 486997.5, 0, -15, 5948002.5)
    grid = Grid(CRS.from_epsg(32630), transform, width, height)
    writer = MapRaster(path, grid, nodata, halve, **options)
    for row in range(0, height, step):
        for col in range(0, width, step):
            window = Window(col, row, min(step, width - col), min(step, height - row))
            writer.write(window, raster[row : window.bottom, col : window.right])
    writer.close()


def overviews(path):
    with rasterio.open(path) as dataset:
        count = len(dataset.overviews(1))
    levels = []
    for level in range(count):
        with rasterio.open(path, overview_level=level) as dataset:
            levels.append(dataset.read(1))
    return levels


def halved_whole(raster, nodata, halve):
    """Return the levels made of the whole raster at once: ``halve`` has a test of its own."""
    levels = []
    while max(raster.shape) > 512:
        raster = halve(raster, nodata)
        levels.append(raster)
    return levels


SIZES = {
    (1, 1): 0, (1, 511): 0, (512, 512): 0, (513, 512): 1, (1, 1025): 2, (1025, 1): 2,
    (600, 1025): 2, (1024, 1024): 1, (1025, 1025): 2, (513, 2100): 3,
}  # fmt: skip


@pytest.mark.parametrize(("size", "count"), SIZES.items())
@pytest.mark.parametrize(("nodata", "halve"), [(0, majority), (255, mean)])
def test_each_level_halves_the_one_before(tmp_path, size, count, nodata, halve):
    random = np.random.default_rng(1)
    raster = random.integers(1, 6, size, dtype=np.uint8)
    raster[random.random(size) < 0.2] = nodata
    raster[: size[0] // 3, : size[1] // 2] = nodata
    write(tmp_path / "m.tif", raster, nodata, halve)
    expected = halved_whole(raster, nodata, halve)
    found = overviews(tmp_path / "m.tif")
    assert len(found) == len(expected) == count
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    with rasterio.open(tmp_path / "m.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), raster)
        if size[1] > 1:  # rasterio works factors out from widths
            assert dataset.overviews(1) == [2 ** (level + 1) for level in range(count)]


@pytest.mark.parametrize("step", [64, 100, 256, 300, 512, 1500])
def test_tiles_make_no_difference(tmp_path, step):
    raster = np.random.default_rng(2).choice(np.array([0, 1, 3, 7], np.uint8), (1300, 1111))
    write(tmp_path / "whole.tif", raster, 0, majority, step=2000)
    write(tmp_path / "tiles.tif", raster, 0, majority, step=step, threads=2)
    whole, tiles = overviews(tmp_path / "whole.tif"), overviews(tmp_path / "tiles.tif")
    assert len(whole) == 2
    for one, other in zip(whole, tiles, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_the_raster_remains(tmp_path):
    raster = np.ones((1030, 700), np.uint8)
    write(tmp_path / "m.tif", raster, 0, majority)
    assert [p.name for p in tmp_path.iterdir()] == ["m.tif"]


def test_what_is_discarded_leaves_no_scratch_file(tmp_path):
    grid = Grid(CRS.from_epsg(32630), Affine(15, 0, 0, 0, -15, 0), 1030, 700)
    writer = MapRaster(tmp_path / "m.tif", grid, 0, majority)
    writer.write(Window(0, 0, 1030, 300), np.ones((300, 1030), np.uint8))
    assert (tmp_path / "m.tif.ovr").exists()
    writer.discard()
    assert [p.name for p in tmp_path.iterdir()] == ["m.tif"]


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="needs gdalinfo (package gdal-bin)")
def test_gdalinfo_finds_them_without_a_warning(tmp_path):
    raster = np.random.default_rng(3).integers(0, 101, (1030, 700), dtype=np.uint8)
    write(tmp_path / "m.tif", raster, 255, mean)
    done = subprocess.run(
        ["gdalinfo", "-json", "-checksum", str(tmp_path / "m.tif")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    band = json.loads(done.stdout)["bands"][0]
    assert [overview["size"] for overview in band["overviews"]] == [[350, 515], [175, 258]]
