"""Grids and windows as values."""

from __future__ import annotations

import math

import pytest
from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS

from panloom.engine.grid import Grid, Window

UTM = CRS.from_epsg(32630)
GRID = Grid(UTM, Affine(2, 0, 500_000, 0, -2, 5_900_000), 12, 8)


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-1, 4)])
def test_empty_windows_and_grids_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        Window(0, 0, *size)
    with pytest.raises(ValueError, match="at least one pixel"):
        Grid(UTM, Affine.identity(), *size)


@pytest.mark.parametrize("transform", [Affine(0, 0, 1, 0, 0, 1), Affine(1, 2, 0, 2, 4, 0),
                                       Affine(1, 0, math.nan, 0, 1, 0)])  # fmt: skip
def test_transforms_without_inverse_are_refused(transform: Affine) -> None:
    with pytest.raises(ValueError, match="cannot be inverted"):
        Grid(UTM, transform, 1, 1)


def test_windows_grow_refine_and_intersect() -> None:
    window = Window(2, 3, 4, 5)
    assert window.shape == (5, 4)
    assert (window.right, window.bottom) == (6, 8)
    assert window.grow(2) == Window(0, 1, 8, 9)
    assert window.refine(3) == Window(6, 9, 12, 15)
    assert window.intersect(Window(5, 0, 9, 4)) == Window(5, 3, 1, 1)
    assert window.intersect(Window(6, 3, 1, 1)) is None


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize(
    "transform",
    [Affine(30, 0, 486_997.5, 0, -30, 5_930_002.5), Affine(0.7, 0.1, 3.3, 0.2, -0.9, 7.1),
     Affine(1 / 3600, 0, -3.1, 0, -1 / 3600, 51.4)],
)  # fmt: skip
def test_refine_then_coarsen_is_the_identity(ratio: int, transform: Affine) -> None:
    grid = Grid(UTM, transform, 9, 7)
    back = grid.refine(ratio).coarsen(ratio)
    assert back.shape == grid.shape
    assert back.transform.almost_equals(transform, precision=1e-9)
    fine = grid.refine(ratio)
    assert fine.bounds == pytest.approx(grid.bounds, rel=1e-15)
    assert fine.shape == (7 * ratio, 9 * ratio)


def test_coarsen_needs_whole_blocks() -> None:
    with pytest.raises(ValueError, match="12 × 8 is not a multiple of 5"):
        GRID.coarsen(5)


def test_crop_and_translate_move_the_origin() -> None:
    assert GRID.crop(Window(-1, 2, 3, 4)).transform @ (0, 0) == (499_998, 5_899_996)
    assert GRID.translate(0.5, -1).transform @ (0, 0) == (500_001, 5_900_002)
    assert GRID.bounds == (500_000, 5_899_984, 500_024, 5_900_000)


def test_north_up_is_neither_turned_nor_flipped() -> None:
    t = GRID.transform
    assert GRID.is_north_up
    for other in (t @ Affine.rotation(1), t @ Affine.scale(1, -1), t @ Affine.scale(-1, 1)):
        assert not Grid(UTM, other, 12, 8).is_north_up


def test_gsd_is_in_meters_whatever_the_crs() -> None:
    assert GRID.gsd_m == 2
    assert Grid(None, Affine.scale(3), 5, 5).gsd_m == 3
    feet = CRS.from_epsg(2263)  # New York, US survey feet
    assert Grid(feet, Affine(1, 0, 9e5, 0, -1, 2e5), 5, 5).gsd_m == pytest.approx(1200 / 3937)
    turned = Affine.rotation(33) @ Affine.scale(2, -2)
    assert Grid(UTM, turned, 5, 5).gsd_m == pytest.approx(2)


@pytest.mark.parametrize("latitude", [0, 51.5, -70])
def test_gsd_in_degrees_is_that_at_the_center(latitude: float) -> None:
    step = 1 / 3600
    transform = Affine(step, 0, 10, 0, -step, latitude + 50 * step)
    geod = Geod(ellps="WGS84")
    _, _, across = geod.inv(10, latitude, 10 + step, latitude)
    _, _, down = geod.inv(10, latitude, 10, latitude - step)
    grid = Grid(CRS.from_epsg(4326), transform, 100, 100)
    assert grid.gsd_m == pytest.approx(math.sqrt(across * down), rel=1e-6)
