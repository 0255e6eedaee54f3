"""A picture of a class map on which the samples show where it is right and where it is wrong."""

from __future__ import annotations

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile

from ...models.classes import UNCLASSIFIED, ClassScheme
from ..grid import Grid
from .reference import Pairs

SIDE_PX = 1000
"""Longest side of the picture."""

_PALE = 0.72
_NODATA = (238, 241, 240)
_MARK_RADIUS_PX = 4
_RIM = 30.0
_ERROR_COLORS = ((230, 0, 126), (0, 0, 0), (0, 229, 255), (255, 230, 0))


class ErrorPicture:
    """Collects samples on a coarse grid; ``png`` draws them over the map.

    The map is pale; where it agrees with the reference its color is full, where it does not it is
    ``error_color``, the stronger the larger the share of wrong samples. Points become round marks.
    """

    def __init__(self, grid: Grid, scheme: ClassScheme, *, as_points: bool) -> None:
        self._scheme = scheme
        self._as_points = as_points
        self._step = max(1, -(-max(grid.shape) // SIDE_PX))
        self.shape = (-(-grid.height // self._step), -(-grid.width // self._step))
        self._zoom = max(1, SIDE_PX // max(self.shape))
        self._right = np.zeros(self.shape, np.int64)
        self._wrong = np.zeros(self.shape, np.int64)
        t = grid.transform
        self._flip = t.b == 0 and t.e > 0 and grid.crs is not None
        self.error_color = _error_color(scheme)

    def add(self, pairs: Pairs) -> None:
        """Take the samples of one strip; those on nodata are left out."""
        there = pairs.map_code != UNCLASSIFIED
        right = pairs.map_code == pairs.labels.code
        for counts, chosen in ((self._right, there & right), (self._wrong, there & ~right)):
            row, col = pairs.labels.row[chosen], pairs.labels.col[chosen]
            cell = row // self._step * self.shape[1] + col // self._step
            counts += np.bincount(cell, minlength=counts.size).reshape(self.shape)

    def png(self, map_path: str) -> bytes:
        """Return the picture of the map in ``map_path`` as a PNG file."""
        with rasterio.open(map_path) as dataset:
            codes = dataset.read(1, out_shape=self.shape, resampling=Resampling.nearest)
            hidden = dataset.read_masks(1, out_shape=self.shape, resampling=Resampling.nearest) == 0
        codes = np.where(hidden | (codes < 0) | (codes > 255), UNCLASSIFIED, codes).astype(np.uint8)
        full = self._palette()[codes]  # (h, w, 3)
        image = np.where((codes == UNCLASSIFIED)[..., None], _NODATA, full + _PALE * (255 - full))
        image, full = (a.repeat(self._zoom, 0).repeat(self._zoom, 1) for a in (image, full))
        self._draw(image, full)
        image = image[::-1] if self._flip else image
        return _as_png(np.clip(np.rint(image), 0, 255).astype(np.uint8))

    def _palette(self) -> NDArray[np.float64]:
        palette = np.full((256, 3), 128.0)
        for land in self._scheme.classes:
            palette[land.code] = land.rgb
        return palette

    def _draw(self, image: NDArray[np.float64], full: NDArray[np.float64]) -> None:
        """Draw the samples into ``image`` (h, w, 3), in place."""
        error = np.array(self.error_color, float)
        if self._as_points:
            self._mark(image, full, self._right > 0, None)
            self._mark(image, full, self._wrong > 0, error)
            return
        total = self._right + self._wrong
        share = self._wrong / np.maximum(total, 1)
        strength = np.where(share > 0, 0.4 + 0.6 * share, 0.0)
        there, strength = (
            a.repeat(self._zoom, 0).repeat(self._zoom, 1)[..., None] for a in (total > 0, strength)
        )
        image[...] = np.where(there, full + strength * (error - full), image)

    def _mark(
        self,
        image: NDArray[np.float64],
        full: NDArray[np.float64],
        cells: NDArray[np.bool_],
        color: NDArray[np.float64] | None,
    ) -> None:
        """Draw a disk in the map's color at each cell, or a larger diamond in ``color``."""
        rows, cols = (np.nonzero(cells)[axis] * self._zoom + self._zoom // 2 for axis in (0, 1))
        fill = full[rows, cols] if color is None else np.broadcast_to(color, (len(rows), 3))
        reach = np.arange(-2 * _MARK_RADIUS_PX, 2 * _MARK_RADIUS_PX + 1)
        for down in reach:
            for right in reach:
                # In units of the mark's size: 1 is its rim.
                if color is None:
                    distance = np.hypot(down, right) / (_MARK_RADIUS_PX + 0.5)
                else:
                    distance = (abs(down) + abs(right)) / (1.75 * _MARK_RADIUS_PX)
                if distance > 1:
                    continue
                row = np.clip(rows + down, 0, image.shape[0] - 1)
                col = np.clip(cols + right, 0, image.shape[1] - 1)
                image[row, col] = fill if distance <= 0.7 else _RIM


def _error_color(scheme: ClassScheme) -> tuple[int, int, int]:
    """Return the color that is farthest from every class's."""
    used = np.array([land.rgb for land in scheme.classes], float)
    gaps = [np.linalg.norm(used - color, axis=1).min() for color in _ERROR_COLORS]
    # The first is as good as any unless a class looks like it.
    return _ERROR_COLORS[0] if gaps[0] > 120 else _ERROR_COLORS[int(np.argmax(gaps))]


def _as_png(image: NDArray[np.uint8]) -> bytes:
    height, width, _ = image.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="PNG", width=width, height=height, count=3, dtype="uint8", zlevel=9
        ) as file:
            file.write(image.transpose(2, 0, 1))
        return bytes(memory.read())
