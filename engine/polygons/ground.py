"""Ground area of pixels on the ellipsoid."""

from __future__ import annotations

import numpy as np
import pyproj
from pyproj import Geod, Transformer

from ..grid import Grid
from .runs import FloatArray, IntArray

LATTICE_PX = 256
_CELL_PX = 16
_STEPS = 2.0**20


class GroundArea:
    """Ground area of runs of pixels, in whole numbers of ``unit_m2``.

    Whole numbers add up to the same sum in any order, so areas do not depend on how a map was cut
    into strips. The unit is about a millionth of a pixel.

    - Geographic CRS, rows along parallels: exact for each row.
    - Any other CRS on an ellipsoid: the geodesic area of a 16 × 16 pixel cell at every 256th pixel,
      interpolated bilinearly (Simpson's rule along a run).
    - No CRS, or one without an ellipsoid: planar, in squared units of the coordinates
      (``is_ellipsoidal`` is False), metres where the CRS says what its unit is.
    """

    def __init__(self, grid: Grid) -> None:
        self._lattice, self.is_ellipsoidal = _lattice(grid)
        self.unit_m2 = float(self._lattice.mean()) / _STEPS
        self._by_row = _is_along_parallels(grid)
        if self._by_row:
            self._row_area = _row_areas(grid)
            self.unit_m2 = float(self._row_area.mean()) / _STEPS

    def of_runs(self, row: IntArray, col: IntArray, length: IntArray) -> FloatArray:
        """Return the area of each run of ``length`` pixels from (``row``, ``col``) eastward."""
        if self._by_row:
            mean = self._row_area[row]
        elif self._lattice.size == 1:
            mean = np.full(len(row), self._lattice[0, 0])
        else:
            begin, end = col.astype(float), (col + length).astype(float)
            mean = (
                self._at(row, begin) + 4 * self._at(row, (begin + end) / 2) + self._at(row, end)
            ) / 6
        area: FloatArray = np.rint(mean / self.unit_m2 * length)
        return area

    def _at(self, row: IntArray, x: FloatArray) -> FloatArray:
        """Interpolate the pixel area at lattice column ``x`` and the middle of ``row``."""
        v, u = (row + 0.5) / LATTICE_PX, x / LATTICE_PX
        i = np.minimum(v.astype(np.int64), self._lattice.shape[0] - 2)
        j = np.minimum(u.astype(np.int64), self._lattice.shape[1] - 2)
        v, u = v - i, u - j
        a = self._lattice
        upper = a[i, j] * (1 - u) + a[i, j + 1] * u
        lower = a[i + 1, j] * (1 - u) + a[i + 1, j + 1] * u
        value: FloatArray = upper * (1 - v) + lower * v
        return value


def map_coordinates(
    grid: Grid, col: IntArray | FloatArray, row: IntArray | FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the CRS coordinates of pixel corners (any shape)."""
    t = grid.transform
    return t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f


def _is_along_parallels(grid: Grid) -> bool:
    t = grid.transform
    return bool(grid.crs and grid.crs.is_geographic and t.b == 0 and t.d == 0)


def _row_areas(grid: Grid) -> FloatArray:
    """Return the area of one pixel of each row (h,), in m².

    Snyder 1987 (USGS Professional Paper 1395), equation 3-12 times the width in radians.
    """
    crs = pyproj.CRS.from_user_input(grid.crs)
    geod = crs.get_geod() or Geod(ellps="WGS84")
    to_radians = crs.axis_info[0].unit_conversion_factor
    t = grid.transform
    phi = (t.f + t.e * np.arange(grid.height + 1)) * to_radians
    sine = np.sin(np.clip(phi, -np.pi / 2, np.pi / 2))
    e = np.sqrt(geod.es)
    if e == 0:
        zone = geod.a**2 * sine
    else:
        zone = geod.b**2 / 2 * (sine / (1 - geod.es * sine**2) + np.arctanh(e * sine) / e)
    areas: FloatArray = np.abs(np.diff(zone)) * abs(t.a) * to_radians
    return areas


def _lattice(grid: Grid) -> tuple[FloatArray, bool]:
    """Return pixel areas at every 256th pixel corner, and whether they are ellipsoidal."""
    planar = abs(grid.transform.determinant)
    crs = pyproj.CRS.from_user_input(grid.crs) if grid.crs else None
    geod = crs.get_geod() if crs else None
    if crs is None or geod is None or crs.geodetic_crs is None:
        factor = float(grid.crs.linear_units_factor[1]) if grid.crs else 1.0
        return np.full((1, 1), planar * factor**2), False
    rows, cols = (np.arange(-(-size // LATTICE_PX) + 1) * LATTICE_PX for size in grid.shape)
    to_geodetic = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    col, row = (axis.reshape(-1) for axis in np.meshgrid(cols, rows))
    ring = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (_CELL_PX / 2)
    xs, ys = map_coordinates(grid, col[:, None] + ring[:, 0], row[:, None] + ring[:, 1])
    lon, lat = to_geodetic.transform(xs, ys)
    degrees = np.degrees(crs.geodetic_crs.axis_info[0].unit_conversion_factor)
    area = (
        np.array(
            [
                abs(geod.polygon_area_perimeter(x * degrees, y * degrees)[0])
                for x, y in zip(np.atleast_2d(lon), np.atleast_2d(lat))
            ]
        )
        / _CELL_PX**2
    )
    # Beyond the projection's domain there is no ground; nothing but nodata lies there.
    area = np.where(np.isfinite(area) & (area > 0), area, np.nan)
    mean = np.nanmean(area) if np.isfinite(area).any() else planar
    return np.where(np.isnan(area), mean, area).reshape(len(rows), len(cols)), True
