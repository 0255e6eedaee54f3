"""Points and polygons as labelled samples on a grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from ..errors import InputError
from ..grid import Grid, Window
from .layer import choose_field, file_name, in_crs_of, read_layer
from .tally import POINTS, POLYGONS, Labels, SampleTally
from .words import Words

_POINTS, _POLYGONS = {"Point", "MultiPoint"}, {"Polygon", "MultiPolygon"}


def load_vector(
    path: str,
    layers: list[str],
    class_field: str | None,
    grid: Grid,
    encode: Callable[[Any, str], NDArray[np.uint8]],
    words: Words,
) -> PointLabels | PolygonLabels:
    """Return the samples of one layer in the CRS of ``grid``; raises InputError.

    ``encode`` turns the class field's values, a pandas series, and the file's name into class codes
    (n,), 0 for none.
    """
    frame = read_layer(path, layers, words)
    label = file_name(path)
    if not len(frame):
        raise InputError(
            f"The {words.labels} `{label}` holds no feature.",
            words.code("geometry"),
            "Choose a layer of points or of polygons.",
        )
    kinds = set(frame.geometry.geom_type.dropna())
    if not kinds or not (kinds <= _POINTS or kinds <= _POLYGONS):
        found = ", ".join(sorted(kinds)) or "no geometry"
        raise InputError(
            f"The {words.labels} `{label}` holds {found}; points or polygons are needed, not both.",
            words.code("geometry"),
            "Choose a layer of points or of polygons.",
        )
    values = frame[choose_field(frame, class_field, label)]
    codes = encode(values, label)
    there = frame.geometry.notna() & ~frame.geometry.is_empty & (codes > 0)
    tally = SampleTally(features=len(frame), unlabelled=int((~there).sum()))
    geometry = in_crs_of(grid, frame[there], label, words)
    codes = codes[there.to_numpy()]
    if kinds <= _POINTS:
        return PointLabels(geometry, codes, grid, tally)
    return PolygonLabels(geometry, codes, grid, tally)


class PointLabels:
    """Each point is a sample: the pixel that it lies in."""

    kind = POINTS
    pixels_per_sample = 1.0

    def __init__(
        self, geometry: NDArray[Any], codes: NDArray[np.uint8], grid: Grid, tally: SampleTally
    ) -> None:
        self.tally = tally
        self.notes: list[str] = []
        parts, feature = shapely.get_parts(geometry, return_index=True)
        inverse = ~grid.transform
        x, y = shapely.get_x(parts), shapely.get_y(parts)
        col = np.floor(inverse.a * x + inverse.b * y + inverse.c)
        row = np.floor(inverse.d * x + inverse.e * y + inverse.f)
        inside = (col >= 0) & (row >= 0) & (col < grid.width) & (row < grid.height)
        tally.outside += len(geometry) - len(np.unique(feature[inside]))
        order = np.argsort(row[inside], kind="stable")
        self._row = row[inside][order].astype(np.int64)
        self._col = col[inside][order].astype(np.int64)
        self._feature = feature[inside][order].astype(np.int64)
        self._code = codes[self._feature]

    def labels(self, window: Window) -> Labels:
        """Return the points in the rows of ``window``."""
        part = slice(*np.searchsorted(self._row, (window.row, window.bottom)))
        return Labels(self._row[part], self._col[part], self._code[part], self._feature[part])

    def finish(self) -> None:
        """Nothing is left to count."""

    def close(self) -> None:
        """No file is open."""


class PolygonLabels:
    """Each pixel whose center lies in a polygon is a sample."""

    kind = POLYGONS
    pixels_per_sample = 1.0

    def __init__(
        self, geometry: NDArray[Any], codes: NDArray[np.uint8], grid: Grid, tally: SampleTally
    ) -> None:
        self.tally = tally
        self.notes: list[str] = []
        self._grid = grid
        self._polygons = shapely.make_valid(geometry)
        self._codes = codes
        self._tree = shapely.STRtree(self._polygons)
        self._on_map = np.zeros(len(geometry), dtype=bool)
        self._on_map[self._tree.query(_outline(grid), predicate="intersects")] = True
        self._with_pixel = np.zeros(len(geometry), dtype=bool)
        tally.outside += int((~self._on_map).sum())

    def labels(self, window: Window) -> Labels:
        """Return the pixels of ``window`` in polygons; where classes contradict, none."""
        hits = self._tree.query(_outline(self._grid.crop(window)), predicate="intersects")
        part = _extent(self._polygons[hits], self._grid, window) if len(hits) else None
        if part is None:
            nothing = np.empty(0, np.int64)
            return Labels(nothing, nothing, np.empty(0, np.uint8), nothing)
        owner = self._burn(np.sort(hits), part)
        clash = self._contradictions(hits, part)
        self.tally.contradictory_px += int(clash.sum())
        self._with_pixel[np.unique(owner[owner >= 0])] = True
        row, col = np.nonzero((owner >= 0) & ~clash)
        feature = owner[row, col].astype(np.int64)
        return Labels(row + part.row, col + part.col, self._codes[feature], feature)

    def finish(self) -> None:
        """Count the polygons that no pixel fell to."""
        self.tally.without_pixel = int((self._on_map & ~self._with_pixel).sum())

    def close(self) -> None:
        """No file is open."""

    def _burn(self, indices: NDArray[Any], window: Window) -> NDArray[np.int32]:
        """Return (h, w) the index of the polygon whose pixel it is, the last one's; −1: none."""
        grid = self._grid.crop(window)
        shapes = [(self._polygons[i], int(i)) for i in indices]
        burned: NDArray[np.int32] = rasterize(
            shapes, out_shape=grid.shape, transform=grid.transform, fill=-1, dtype="int32"
        )
        return burned

    def _contradictions(self, hits: NDArray[Any], window: Window) -> NDArray[np.bool_]:
        """Return (h, w), True where polygons of more than one class lie."""
        classes = np.zeros(window.shape, np.uint8)
        for code in np.unique(self._codes[hits]):
            classes += self._burn(hits[self._codes[hits] == code], window) >= 0
        return classes > 1


def _outline(grid: Grid) -> shapely.Polygon:
    corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
    return shapely.Polygon([grid.transform @ corner for corner in corners])


def _extent(polygons: NDArray[Any], grid: Grid, within: Window) -> Window | None:
    """Return the pixels of ``within`` that the polygons' bounds reach."""
    bounds = shapely.bounds(polygons)
    left, bottom = bounds[:, :2].min(axis=0)
    right, top = bounds[:, 2:].max(axis=0)
    corners = [~grid.transform @ (x, y) for x in (left, right) for y in (bottom, top)]
    cols, rows = [c for c, _ in corners], [r for _, r in corners]
    col, row = math.floor(min(cols)), math.floor(min(rows))
    reach = Window(col, row, math.ceil(max(cols)) - col + 1, math.ceil(max(rows)) - row + 1)
    return reach.intersect(within)
