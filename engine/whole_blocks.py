"""Windows in, whole blocks out: a raster written in tiles, so that each block is written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .grid import Window

BLOCK = 256
"""Pixels along the side of a block, in the map and its overviews."""

LAYOUT: dict[str, Any] = {
    "driver": "GTiff",
    "dtype": "uint8",
    "count": 1,
    "tiled": True,
    "blockxsize": BLOCK,
    "blockysize": BLOCK,
    "compress": "deflate",
    "zlevel": 1,
    "bigtiff": "if_safer",
}
"""What rasterio needs to create a raster of one band in such blocks.

The codec: docs/decisions/0010-codec-of-the-map.md.
"""

Sink = Callable[[Window, NDArray[np.uint8]], None]
"""Takes a rectangle of whole blocks and its values (h, w)."""


class WholeBlocks:
    """Passes on what ``write`` gets as rectangles of whole blocks, as soon as they are whole.

    Windows come in any order and cover no pixel twice. Blocks at the right and lower border are
    whole when they are filled up to it. Only blocks that a window covers in part are kept: with
    tiles row by row, about one row of blocks.
    """

    def __init__(self, width: int, height: int, sink: Sink) -> None:
        self._raster = Window(0, 0, width, height)
        self._sink = sink
        self._partial: dict[tuple[int, int], _Partial] = {}

    def write(self, window: Window, values: NDArray[np.uint8]) -> None:
        """Take ``values`` (h, w) of ``window``, which lies in the raster."""
        inner = self._whole_part(window)
        if inner is not None:
            self._sink(inner, _part(values, window, inner))
        for col, row in _touched(window):
            if inner is None or not (
                inner.col <= col < inner.right and inner.row <= row < inner.bottom
            ):
                self._fill(col, row, window, values)

    def _whole_part(self, window: Window) -> Window | None:
        """Return the largest rectangle of whole blocks in ``window``."""
        col, row = -(-window.col // BLOCK) * BLOCK, -(-window.row // BLOCK) * BLOCK
        right = _block_end(window.right, self._raster.width)
        bottom = _block_end(window.bottom, self._raster.height)
        if right <= col or bottom <= row:
            return None
        return Window(col, row, right - col, bottom - row)

    def _fill(self, col: int, row: int, window: Window, values: NDArray[np.uint8]) -> None:
        block = Window(col, row, BLOCK, BLOCK).intersect(self._raster)
        assert block is not None
        part = block.intersect(window)
        assert part is not None
        partial = self._partial.get((col, row))
        if partial is None:
            partial = _Partial(np.empty(block.shape, np.uint8), block.width * block.height)
            self._partial[col, row] = partial
        _part(partial.values, block, part)[:] = _part(values, window, part)
        partial.missing_px -= part.width * part.height
        if not partial.missing_px:
            del self._partial[col, row]
            self._sink(block, partial.values)


@dataclass
class _Partial:
    values: NDArray[np.uint8]
    missing_px: int


def _block_end(end: int, border: int) -> int:
    return border if end == border else end // BLOCK * BLOCK


def _touched(window: Window) -> list[tuple[int, int]]:
    """Return (column, row) of the upper left pixel of every block that ``window`` touches."""
    rows = range(window.row // BLOCK * BLOCK, window.bottom, BLOCK)
    cols = range(window.col // BLOCK * BLOCK, window.right, BLOCK)
    return [(col, row) for row in rows for col in cols]


def _part(values: NDArray[np.uint8], window: Window, part: Window) -> NDArray[np.uint8]:
    """Return the view of ``values``, which fill ``window``, that lies in ``part``."""
    return values[
        part.row - window.row : part.bottom - window.row,
        part.col - window.col : part.right - window.col,
    ]
