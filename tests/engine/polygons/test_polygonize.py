"""Polygons from strips, against GDAL's polygonizer (through rasterio)."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine

from panloom.engine.grid import Grid
from panloom.engine.polygons.ground import GroundArea
from panloom.engine.polygons.polygonize import polygonize
from panloom.engine.polygons.strips import Strip


def _polygons(codes, rows, confidence=None, empty=0):
    """[(code, pixels, mean confidence or None, polygon)] from strips of ``rows`` rows."""
    height, width = codes.shape
    ground = GroundArea(Grid(None, Affine.identity(), width, height))
    strips = (
        Strip(r, codes[r : r + rows], None if confidence is None else confidence[r : r + rows])
        for r in range(0, height, rows)
    )
    found = []
    for batch in polygonize(strips, width, height, empty, ground):
        rings, regions = batch.rings, batch.regions
        ends = np.cumsum(rings.size)
        parts = [
            np.stack([rings.x[e - s : e], rings.y[e - s : e]], axis=1)
            for e, s in zip(ends, rings.size)
        ]
        for index in range(len(regions)):
            mine = [part for part, owner in zip(parts, rings.polygon) if owner == index]
            assert regions.area[index] * ground.unit_m2 == pytest.approx(regions.pixels[index])
            mean = None
            if regions.confident[index]:
                mean = regions.confidence[index] / regions.confident[index]
            found.append(
                (
                    int(regions.code[index]),
                    int(regions.pixels[index]),
                    mean,
                    shapely.Polygon(mine[0], mine[1:]),
                )
            )
    return found


def _canonical(pairs):
    """Codes with geometries that have neither collinear vertices nor an order."""
    return sorted(
        (code, shapely.to_wkb(shapely.normalize(shapely.simplify(polygon, 0))))
        for code, polygon in pairs
    )


def _by_gdal(codes):
    shapes = rasterio.features.shapes(codes, mask=codes != 0, connectivity=4)
    return _canonical((int(code), shapely.geometry.shape(shape)) for shape, code in shapes)


def _exact(polygons):
    return sorted((code, pixels, polygon.wkb) for code, pixels, _, polygon in polygons)


def _random_map(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 16, 2)
    return rng.integers(0, rng.integers(2, 5), (height, width)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(60))
def test_any_strips_give_the_polygons_of_gdal_as_a_valid_coverage(seed):
    codes = _random_map(seed)
    whole = _polygons(codes, len(codes))
    assert _canonical((code, polygon) for code, _, _, polygon in whole) == _by_gdal(codes)
    for _, pixels, _, polygon in whole:
        assert polygon.is_valid
        assert polygon.area == pixels
        assert polygon.exterior.is_ccw
        assert not any(ring.is_ccw for ring in polygon.interiors)
    if whole:
        assert shapely.coverage_is_valid([polygon for *_, polygon in whole])
    for rows in (1, 2, 3, 7):
        assert _exact(_polygons(codes, rows)) == _exact(whole)


def test_a_blobby_map_with_regions_over_many_strips():
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 4, (24, 20))
    codes = np.kron(coarse, np.ones((9, 11), dtype=int)).astype(np.uint8)
    flips = rng.random(codes.shape) < 0.05
    codes[flips] = rng.integers(0, 4, int(flips.sum()))
    whole = _polygons(codes, len(codes))
    assert _canonical((code, polygon) for code, _, _, polygon in whole) == _by_gdal(codes)
    assert _exact(_polygons(codes, 5)) == _exact(_polygons(codes, 64)) == _exact(whole)


@pytest.mark.parametrize(
    "picture",
    [
        # a spiral: one region whose arms meet again far below
        ["1111111", "1000001", "1011101", "1010101", "1010001", "1011111", "1000000"],
        # a ring that touches itself at a corner only, inside and outside
        ["11100", "10100", "11010", "00101", "00111"],
        ["0110", "1001", "1001", "0110"],
        # an island in a hole that the last row closes
        ["11111", "10001", "10201", "10001", "11111"],
        # two regions of one code that are joined in the last row, with a meeting above
        ["12", "21", "21", "11"],
        ["1", "1", "1"],
        ["121121"],
    ],
)
def test_shapes_that_are_hard_to_stitch(picture):
    codes = np.array([list(row) for row in picture]).astype(np.uint8)
    expected = _by_gdal(codes)
    for rows in range(1, len(codes) + 1):
        found = _polygons(codes, rows)
        assert _canonical((code, polygon) for code, _, _, polygon in found) == expected
        assert all(polygon.is_valid for *_, polygon in found)


def test_mean_confidence_counts_only_pixels_that_have_one():
    codes = np.array([[1, 1], [1, 2], [2, 2]], dtype=np.uint8)
    confidence = np.array([[10, 255], [21, 255], [255, 255]], dtype=np.uint8)
    for rows in (1, 2, 3):
        found = {code: mean for code, _, mean, _ in _polygons(codes, rows, confidence)}
        assert found == {1: 15.5, 2: None}


def test_codes_may_be_any_whole_numbers_and_nodata_any_of_them():
    codes = np.array([[-5, 0], [70000, -9999]], dtype=np.int32)
    found = _polygons(codes, 1, empty=-9999)
    assert sorted((code, pixels) for code, pixels, *_ in found) == [(-5, 1), (0, 1), (70000, 1)]


def test_nothing_but_nodata():
    assert _polygons(np.zeros((5, 4), dtype=np.uint8), 2) == []
