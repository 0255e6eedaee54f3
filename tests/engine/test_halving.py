"""Halved rasters against each 2 × 2 block counted by hand, and against GDAL's own resampling."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling

from panloom.engine.halving import majority, mean

SHAPES = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 7), (7, 1), (5, 8), (33, 41), (64, 64)]


def by_block(values, nodata, rule):
    """Apply ``rule`` to the valid values of each block, in reading order; nodata where none is."""
    height, width = values.shape
    out = np.full((-(-height // 2), -(-width // 2)), nodata, np.uint8)
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            block = values[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel()
            valid = [int(v) for v in block if v != nodata]
            if valid:
                out[row, col] = rule(valid)
    return out


def first_most_frequent(valid):
    counts = Counter(valid)
    return next(v for v in valid if counts[v] == max(counts.values()))


def half_up(valid):
    return int(np.floor(sum(valid) / len(valid) + 0.5))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("nodata", [0, 255])
@pytest.mark.parametrize("values", [[1, 2], [1, 2, 3, 4, 9], [0, 1, 2, 3], [0, 255], [0, 1, 255]])
def test_majority_is_the_first_most_frequent_value(shape, nodata, values):
    raster = np.random.default_rng(3).choice(np.array(values, np.uint8), shape)
    np.testing.assert_array_equal(
        majority(raster, nodata), by_block(raster, nodata, first_most_frequent)
    )


def test_majority_of_every_possible_block():
    """All 5⁴ blocks of four classes and nodata: every tie, every place of nodata."""
    a, b, c, d = np.meshgrid(*[np.arange(5, dtype=np.uint8)] * 4)
    raster = np.empty((50, 50), np.uint8)
    for part, (row, col) in zip((a, b, c, d), [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        raster[row::2, col::2] = part.reshape(25, 25)
    np.testing.assert_array_equal(majority(raster, 0), by_block(raster, 0, first_most_frequent))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("values", [range(101), [0, 1, 255], [99, 100, 255], [255], range(255)])
def test_mean_rounds_halves_up_and_ignores_nodata(shape, values):
    raster = np.random.default_rng(4).choice(np.array(values, np.uint8), shape)
    np.testing.assert_array_equal(mean(raster, 255), by_block(raster, 255, half_up))


def test_views_that_are_not_contiguous():
    raster = np.random.default_rng(5).integers(0, 101, (40, 60), dtype=np.uint8)[3:23, 5:35]
    np.testing.assert_array_equal(mean(raster, 255), by_block(raster, 255, half_up))
    np.testing.assert_array_equal(majority(raster, 0), by_block(raster, 0, first_most_frequent))


def gdal_half(path, raster, nodata, resampling):
    """Return the first overview that GDAL makes of ``raster``."""
    with rasterio.open(
        path, "w", driver="GTiff", width=raster.shape[1], height=raster.shape[0], count=1,
        dtype="uint8", nodata=nodata, transform=Affine(2, 0, 0, 0, -2, 0),
    ) as dataset:  # fmt: skip
        dataset.write(raster, 1)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2], resampling)
    with rasterio.open(path, overview_level=0) as dataset:
        return dataset.read(1)


def test_mean_is_what_gdal_averages(tmp_path):
    raster = np.random.default_rng(6).integers(0, 101, (120, 130), dtype=np.uint8)
    raster[np.random.default_rng(7).random(raster.shape) < 0.3] = 255
    expected = gdal_half(tmp_path / "r.tif", raster, 255, Resampling.average)
    np.testing.assert_array_equal(mean(raster, 255), expected)


def test_majority_is_what_gdal_finds_where_one_class_leads(tmp_path):
    raster = np.random.default_rng(8).integers(0, 5, (120, 130), dtype=np.uint8)
    expected = gdal_half(tmp_path / "r.tif", raster, 0, Resampling.mode)

    def leads(valid):
        most = Counter(valid).most_common(2)
        return 1 if len(most) == 1 or most[0][1] > most[1][1] else 0

    clear = by_block(raster, 0, leads) == 1
    assert clear.sum() > 1000
    np.testing.assert_array_equal(majority(raster, 0)[clear], expected[clear])
