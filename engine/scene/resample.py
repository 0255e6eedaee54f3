"""Resampling of a raster onto another grid, the same to the last bit whatever window is asked for.

GDAL's warper chooses the scale of its kernel per chunk, so its values depend on the chunks. Here
every output pixel is a function of its own position alone, and the same exact positions decide
which pixels are valid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from ..grid import Grid, Window
from .kernel import NOWHERE, Taps, cubic, tent
from .raster import Raster

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

EDGE_TOLERANCE_PX = 1e-6
"""A point this close to a pixel's left or upper edge lies on it, and belongs to that pixel."""

_FULL_WEIGHT = 0.5


class PixelMap:
    """Where points of a ``target`` grid lie on a ``source`` grid; both in pixels of their grid.

    ``affine`` is the map where both grids have one CRS, else None: then points go through PROJ.
    ``scale`` is the spacing of target pixels in source pixels, along the source's columns and rows.
    """

    def __init__(self, target: Grid, source: Grid, transformer: Transformer | None = None) -> None:
        self.target, self.source = target, source
        self._transformer = transformer
        self._inverse = ~source.transform
        self.affine: Affine | None = (
            self._inverse @ target.transform if transformer is None else None
        )
        self.scale = self._scale()

    @property
    def is_separable(self) -> bool:
        """True where a source column depends on the target column alone, and a row on the row."""
        t = self.affine
        if t is None:
            return False
        return abs(t.b) * self.target.height < 1e-9 and abs(t.d) * self.target.width < 1e-9

    def __call__(self, cols: Floats, rows: Floats) -> tuple[Floats, Floats]:
        """Return source columns and rows of target points; infinite where there is no such place.

        Both are in pixels from the upper-left corner of their grid.
        """
        if self.affine is not None:
            return _apply(self.affine, cols, rows)
        xs, ys = _apply(self.target.transform, cols, rows)
        assert self._transformer is not None
        xs, ys = self._transformer.transform(xs, ys)
        return _apply(self._inverse, xs, ys)

    def _scale(self) -> tuple[float, float]:
        col, row = self.target.width / 2, self.target.height / 2
        cols, rows = self(np.array([col, col + 1, col]), np.array([row, row, row + 1]))
        dc, dr = np.diff(cols[[0, 1]])[0], np.diff(rows[[0, 1]])[0]
        ec, er = np.diff(cols[[0, 2]])[0], np.diff(rows[[0, 2]])[0]
        across, down = math.hypot(dc, ec), math.hypot(dr, er)
        return tuple(s if math.isfinite(s) else 1.0 for s in (across, down))  # type: ignore[return-value]


@dataclass(frozen=True)
class Resampler:
    """Reads a raster as if it lay on ``pixel_map.target``, whose pixels are split for validity.

    Values: cubic convolution (Keys 1981, doi:10.1109/TASSP.1981.1163711, a = -1/2), widened where
    the target's pixels are larger, over valid source pixels only (weights normalized to sum 1).
    Valid: a sub-pixel, ``ratio`` × ``ratio`` in each target pixel, is valid exactly where the
    source pixel that contains its center is; a center on an edge belongs to the right or lower one.
    """

    raster: Raster
    pixel_map: PixelMap
    ratio: int

    def read(self, window: Window) -> tuple[Image, Mask | None]:
        """Return DN (C, h, w) and valid (ratio·h, ratio·w) of a window of the target grid.

        Valid is None where all pixels are.
        """
        cols, rows = self._positions(window, 1)
        block = self._block(cols, rows)
        if block is None:
            shape = (self.raster.count, *window.shape)
            return np.zeros(shape, np.float32), np.zeros(window.refine(self.ratio).shape, np.bool_)
        source, dn, usable = block
        cols, rows = cols - source.col, rows - source.row
        values, weight = self._weighted_sums(dn, usable, cols, rows)
        low, high = self.raster.dn_range
        if (weight > 0).all():
            shares = np.divide(values, weight, out=values)
            np.clip(shares, low, high, out=shares)
        else:
            shares = values / np.where(weight > 0, weight, 1)
            shares = np.where(weight > 0, np.clip(shares, low, high), np.float32(0))
        return shares, self._valid(window, source, usable)

    def _positions(self, window: Window, split: int) -> tuple[Floats, Floats]:
        """Source positions of (sub-)pixel centers: (1, w) and (h, 1) if separable, else (h, w)."""
        cols = window.col + (np.arange(window.width * split) + 0.5)[np.newaxis] / split
        rows = window.row + (np.arange(window.height * split) + 0.5)[:, np.newaxis] / split
        if self.pixel_map.is_separable:
            return self.pixel_map(cols, np.zeros_like(cols))[0], self.pixel_map(
                np.zeros_like(rows), rows
            )[1]
        return self.pixel_map(*np.broadcast_arrays(cols, rows))

    def _block(self, cols: Floats, rows: Floats) -> tuple[Window, NDArray[Any], Mask | None] | None:
        """Read the source pixels that any kernel around the positions can touch."""
        left, right = _span(cols, self._radius(0), self.raster.grid.width)
        top, bottom = _span(rows, self._radius(1), self.raster.grid.height)
        if right <= left or bottom <= top:
            return None
        window = Window(left, top, right - left, bottom - top)
        return window, *self.raster.read_raw(window)

    def _radius(self, axis: int) -> float:
        return 2 * max(1.0, self.pixel_map.scale[axis])

    def _weighted_sums(
        self, dn: NDArray[Any], usable: Mask | None, cols: Floats, rows: Floats
    ) -> tuple[Image, Image]:
        """Return sums (C, h, w) of weighted DN around each position, and of the weights (h, w).

        DN of pixels that are not usable are 0.
        """
        image = dn.astype(np.float32, copy=False)
        across, down = self._taps(cols, rows, dn.shape, cubic)
        values = self._convolve(image, across, down)
        weight = self._sums_of_weights(usable, dn.shape, across, down)
        thin = weight <= _FULL_WEIGHT
        if thin.any():  # beside what is invalid or beyond the border: positive weights, as wide
            across, down = self._taps(cols, rows, dn.shape, tent)
            values = np.where(thin, self._convolve(image, across, down), values)
            weight = np.where(thin, self._sums_of_weights(usable, dn.shape, across, down), weight)
        return values, weight

    def _sums_of_weights(
        self, usable: Mask | None, shape: tuple[int, ...], across: Taps, down: Taps
    ) -> Image:
        """Return the sum (h, w) of the weights of an image's (C, h, w) usable pixels."""
        if usable is None and self.pixel_map.is_separable:  # every row of pixels gives the same
            one_row = across.sums(np.ones((1, 1, shape[2]), np.float32), axis=2)
            every_row = np.broadcast_to(one_row, (1, shape[1], one_row.shape[2]))
            sums = down.sums(every_row, axis=1)
        else:
            seen = np.ones(shape[1:], np.bool_) if usable is None else usable
            sums = self._convolve(seen[np.newaxis].astype(np.float32), across, down)
        return np.asarray(sums[0])

    def _taps(
        self,
        cols: Floats,
        rows: Floats,
        shape: tuple[int, ...],
        kernel: Callable[[Floats], Floats],
    ) -> tuple[Taps, Taps]:
        """Return the kernel around each position along columns and rows of an image (C, h, w)."""
        return (
            Taps(cols, self._radius(0), shape[2], kernel),
            Taps(rows, self._radius(1), shape[1], kernel),
        )

    def _convolve(self, image: Image, across: Taps, down: Taps) -> Image:
        """Return weighted sums (C, h, w) of the source block ``image`` around each position."""
        if self.pixel_map.is_separable:
            return down.sums(across.sums(image, axis=2), axis=1)
        total = np.zeros((image.shape[0], *across.shape), np.float32)
        for row, row_weight in down:
            for col, col_weight in across:
                total += image[:, row, col] * (row_weight * col_weight)
        return total

    def _valid(self, window: Window, source: Window, usable: Mask | None) -> Mask | None:
        if usable is None and self._is_inside(window):
            return None
        cols, rows = self._positions(window, self.ratio)
        col, has_col = _containing(cols, source.col, source.width)
        row, has_row = _containing(rows, source.row, source.height)
        valid = has_col & has_row
        if usable is not None:
            valid = valid & usable[row, col]
        return None if valid.all() else np.asarray(valid)

    def _is_inside(self, window: Window) -> bool:
        """True where the window lies in the source with a pixel to spare."""
        cols, rows = self._positions(window, 1)
        grid = self.raster.grid
        spare_cols, spare_rows = (1 + s for s in self.pixel_map.scale)
        return bool(
            cols.min() > spare_cols
            and cols.max() < grid.width - spare_cols
            and rows.min() > spare_rows
            and rows.max() < grid.height - spare_rows
        )


def _apply(transform: Affine, xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
    t = transform
    return t.a * xs + t.b * ys + t.c, t.d * xs + t.e * ys + t.f


def _span(centers: Floats, radius: float, size: int) -> tuple[int, int]:
    """Return the first and the last-but-one index in 0…size within reach of the positions."""
    finite = centers[np.isfinite(centers)]
    if finite.size == 0:
        return 0, 0
    low = math.floor(max(NOWHERE, finite.min()) - radius - 1)
    high = math.ceil(min(-NOWHERE, finite.max()) + radius + 1)
    return max(0, low), min(size, high)


def _containing(
    positions: Floats, origin: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return indices of the pixels that contain the positions, and where those exist."""
    safe = np.where(np.isfinite(positions), positions, NOWHERE)
    index = np.floor(safe + EDGE_TOLERANCE_PX).astype(np.int64) - origin
    exists = (index >= 0) & (index < size)
    return np.clip(index, 0, size - 1), exists
