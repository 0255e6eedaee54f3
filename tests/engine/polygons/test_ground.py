"""Ground areas, against geodesic polygons and a formula written out."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from panloom.engine.grid import Grid
from panloom.engine.polygons.ground import GroundArea

_WGS84 = Geod(ellps="WGS84")


def _area(grid, row, col, length):
    ground = GroundArea(grid)
    units = ground.of_runs(np.array([row]), np.array([col]), np.array([length]))
    return float(units[0]) * ground.unit_m2


def _geodesic_area(grid, row, col, length, pieces=2000):
    """Area of the run's outline with so many vertices a side, on the ellipsoid."""
    t = np.linspace(0, 1, pieces)
    x = np.concatenate(
        [
            col + length * t,
            np.full(pieces, col + length),
            col + length * t[::-1],
            np.full(pieces, col),
        ]
    )
    y = np.concatenate([np.full(pieces, row), row + t, np.full(pieces, row + 1), row + t[::-1]])
    a = grid.transform
    xs, ys = a.a * x + a.b * y + a.c, a.d * x + a.e * y + a.f
    lon, lat = Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(xs, ys)
    return abs(_WGS84.polygon_area_perimeter(lon, lat)[0])


@pytest.mark.parametrize(
    ("grid", "runs"),
    [
        # UTM, from the central meridian to beyond the zone's border
        (Grid(CRS.from_epsg(32632), Affine(30, 0, 480000, 0, -30, 6e6), 12000, 3000),
         [(0, 0, 12000), (2999, 11000, 1000), (1500, 300, 1)]),
        # rotated by 30 degrees
        (Grid(CRS.from_epsg(32616), Affine.translation(4e5, 4e6) @ Affine.rotation(30)
              @ Affine.scale(10, -10), 3000, 3000), [(0, 0, 3000), (2500, 700, 40)]),
        # US survey feet
        (Grid(CRS.from_epsg(2263), Affine(5, 0, 9e5, 0, -5, 2e5), 1000, 1000), [(10, 10, 900)]),
        # Web Mercator, whose scale changes fast with latitude
        (Grid(CRS.from_epsg(3857), Affine(20, 0, 1e6, 0, -20, 8e6), 2000, 2000),
         [(0, 0, 2000), (1999, 5, 100)]),
        # one pixel, one-pixel strips
        (Grid(CRS.from_epsg(32632), Affine(0.5, 0, 5e5, 0, -0.5, 5e6), 1, 1), [(0, 0, 1)]),
        (Grid(CRS.from_epsg(32632), Affine(10, 0, 5e5, 0, -10, 5e6), 1, 700), [(650, 0, 1)]),
    ],
)  # fmt: skip
def test_projected_runs_have_their_geodesic_area(grid, runs):
    for run in runs:
        assert _area(grid, *run) == pytest.approx(_geodesic_area(grid, *run), rel=2e-5)


def test_geographic_rows_follow_snyders_formula():
    grid = Grid(CRS.from_epsg(4326), Affine(0.01, 0, 8, 0, -0.01, 60), 50, 3000)
    a, e2 = 6378137.0, 0.0066943799901413165
    e = np.sqrt(e2)

    def zone(latitude):
        s = np.sin(np.radians(latitude))
        b2 = a**2 * (1 - e2)
        return b2 / 2 * (s / (1 - e2 * s**2) + np.log((1 + e * s) / (1 - e * s)) / (2 * e))

    for row in (0, 1500, 2999):
        north = 60 - 0.01 * row
        expected = (zone(north) - zone(north - 0.01)) * np.radians(0.01) * 7
        assert _area(grid, row, 3, 7) == pytest.approx(expected, rel=1e-6)
        assert _area(grid, row, 3, 7) == pytest.approx(_geodesic_area(grid, row, 3, 7), rel=1e-6)


def test_a_rotated_geographic_map_is_sampled():
    transform = Affine.translation(8, 50) @ Affine.rotation(20) @ Affine.scale(0.001, -0.001)
    grid = Grid(CRS.from_epsg(4326), transform, 400, 400)
    assert _area(grid, 200, 10, 300) == pytest.approx(_geodesic_area(grid, 200, 10, 300), rel=2e-5)


def test_the_whole_earth_has_its_area():
    grid = Grid(CRS.from_epsg(4326), Affine(1, 0, -180, 0, -1, 90), 360, 180)
    ground = GroundArea(grid)
    rows = np.arange(180)
    total = ground.of_runs(rows, np.zeros(180, dtype=int), np.full(180, 360)).sum()
    assert total * ground.unit_m2 == pytest.approx(510_065_621_724_088, rel=1e-6)


def test_without_a_crs_areas_are_planar():
    ground = GroundArea(Grid(None, Affine(2, 0, 0, 0, -3, 0), 10, 10))
    assert not ground.is_ellipsoidal
    assert _area(Grid(None, Affine(2, 0, 0, 0, -3, 0), 10, 10), 0, 0, 4) == 24


def test_sums_do_not_depend_on_their_order():
    ground = GroundArea(Grid(CRS.from_epsg(32632), Affine(30, 0, 4e5, 0, -30, 6e6), 900, 900))
    rng = np.random.default_rng(0)
    area = ground.of_runs(rng.integers(0, 900, 5000), rng.integers(0, 800, 5000), np.ones(5000))
    assert np.array_equal(area, np.rint(area))
    assert area.sum() == area[rng.permutation(5000)].sum() == sum(area.tolist())
