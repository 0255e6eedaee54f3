"""Areas of interest: which pixels of a grid lie inside a vector layer's polygons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from .errors import InputError
from .grid import Grid, Window


@dataclass(frozen=True)
class AreaOfInterest:
    """Polygons in the CRS of ``grid``; ``window`` is their extent in whole pixels of that grid."""

    polygons: Any
    grid: Grid
    window: Window

    def mask(self, grid: Grid) -> NDArray[np.bool_]:
        """Return (h, w), True where the center of a pixel of ``grid`` (same CRS) lies inside."""
        burned = rasterize(
            [(self.polygons, 1)], out_shape=grid.shape, transform=grid.transform, dtype="uint8"
        )
        return np.asarray(burned, dtype=bool)


def load_aoi(path: str, grid: Grid, within: Window) -> AreaOfInterest:
    """Return the polygons in ``path`` as an area on ``grid``, cut to the window ``within``.

    Raises InputError for a file that is no polygon layer, lies outside or has no CRS where the grid
    has one.
    """
    frame = _read(path)
    if grid.crs is not None:
        if frame.crs is None:
            raise InputError(
                f"The area of interest `{Path(path).name}` has no CRS; the rasters have one.",
                "aoi-no-crs",
                "Assign the layer's CRS.",
            )
        frame = frame.to_crs(grid.crs.to_wkt())
    polygons = shapely.union_all(shapely.make_valid(frame.geometry.to_numpy()))
    window = _pixel_extent(polygons, grid).intersect(within)
    if window is None:
        left, bottom, right, top = (f"{v:.6g}" for v in polygons.bounds)
        raise InputError(
            f"The area of interest `{Path(path).name}` (x {left}…{right}, y {bottom}…{top} in the "
            "PAN's CRS) lies outside of the rasters.",
            "aoi-outside",
            "Choose an area that overlaps both rasters.",
        )
    return AreaOfInterest(polygons, grid, window)


def _read(path: str) -> Any:
    import geopandas  # 100 MB that a run without an area does without

    try:
        frame = geopandas.read_file(path)
    except Exception as error:  # GDAL has a dozen kinds for a file that is no layer
        raise InputError(
            f"The area of interest `{Path(path).name}` cannot be read as a vector layer ({error}).",
            "aoi-unreadable",
            "Choose a polygon layer, such as a GeoPackage.",
        ) from error
    geometry: Any = getattr(frame, "geometry", None)  # a table without geometry has none
    kinds = set() if geometry is None else set(geometry.geom_type.dropna())
    if not kinds & {"Polygon", "MultiPolygon"}:
        raise InputError(
            f"The area of interest `{Path(path).name}` holds no polygons.",
            "aoi-no-polygons",
            "Choose a polygon layer with at least one polygon.",
        )
    return frame[geometry.geom_type.isin(["Polygon", "MultiPolygon"])]


def _pixel_extent(polygons: Any, grid: Grid) -> Window:
    left, bottom, right, top = polygons.bounds
    inverse = ~grid.transform
    corners = [inverse @ (x, y) for x in (left, right) for y in (bottom, top)]
    cols, rows = [c for c, _ in corners], [r for _, r in corners]
    col, row = math.floor(min(cols)), math.floor(min(rows))
    return Window(col, row, max(1, math.ceil(max(cols)) - col), max(1, math.ceil(max(rows)) - row))
