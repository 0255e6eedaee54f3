"""An image that goes on beyond its border, as its own reflection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..grid import Window
from .pixel_indices import fine_indices, hull, reflect
from .tile_data import part

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """Windows to read a large window in: at most ``rows`` high and ``cols`` wide.

    They end ``first_row`` and multiples of ``rows`` after it: where a file's blocks end.
    """

    rows: int
    cols: int
    first_row: int = 0

    def of(self, window: Window) -> Iterator[Window]:
        """Yield windows that cover ``window`` once, row by row."""
        row = window.row
        while row < window.bottom:
            bottom = min(window.bottom, row + self.rows - (row - self.first_row) % self.rows)
            for col in range(window.col, window.right, self.cols):
                yield Window(col, row, min(self.cols, window.right - col), bottom - row)
            row = bottom


@dataclass(frozen=True)
class ReflectedImage:
    """Reads ``region`` of a grid, and reflections about the centers of its outermost pixels.

    ``read_inside(window, out)`` fills ``out`` (``count``, h, w) of ``dtype`` and returns valid
    (split·h, split·w), None where all pixels are; ``split`` is mask pixels per pixel along a side.
    ``pieces`` says how a large window is best read.
    """

    region: Window
    count: int
    dtype: np.dtype[Any]
    split: int
    read_inside: Callable[[Window, NDArray[Any]], Mask | None]
    pieces: Pieces

    def empty(self, window: Window) -> NDArray[Any]:
        """Return an array for the pixels of a window."""
        return np.empty((self.count, *window.shape), self.dtype)

    def fill(self, window: Window, out: NDArray[Any]) -> Mask | None:
        """Read a window into ``out``; return where it is valid, None where it is everywhere.

        What is read of a place never depends on the window.
        """
        cols = _indices(window.col, window.right, self.region.col, self.region.width)
        rows = _indices(window.row, window.bottom, self.region.row, self.region.height)
        inner = hull(cols, rows)
        if inner.intersect(window) == inner:
            at = part(inner, window)
            valid = self.read_inside(inner, out[(slice(None), *at)])
            _mirror(out, rows - window.row, cols - window.col, at)
        else:
            block = self.empty(inner)
            valid = self.read_inside(inner, block)
            out[...] = block[:, (rows - inner.row)[:, np.newaxis], cols - inner.col]
        if valid is None or inner == window:
            return valid
        fine_rows = fine_indices(rows - inner.row, self.split)
        return valid[np.ix_(fine_rows, fine_indices(cols - inner.col, self.split))]


def _indices(start: int, stop: int, first: int, size: int) -> Indices:
    return first + reflect(np.arange(start, stop) - first, size)


def _mirror(out: NDArray[Any], rows: Indices, cols: Indices, inner: tuple[slice, slice]) -> None:
    """Fill what lies around the inner part from it: ``rows`` and ``cols`` of each pixel's source.

    Only the margins are touched: most windows have none.
    """
    inside = out[:, inner[0]]
    for side in (slice(0, inner[1].start), slice(inner[1].stop, out.shape[2])):
        if side.start < side.stop:
            inside[:, :, side] = inside[:, :, cols[side]]
    for side in (slice(0, inner[0].start), slice(inner[0].stop, out.shape[1])):
        if side.start < side.stop:
            out[:, side] = out[:, rows[side]]
