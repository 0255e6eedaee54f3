"""The two images of a pair on their working grids, resampled where they must be, and reflected."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..grid import Grid, Window
from .align import Alignment
from .pixel_indices import blocks
from .raster import Raster
from .reflected import Pieces, ReflectedImage
from .resample import Resampler
from .tile_data import Mask, Pixels

_PIECE_BYTES = 16 * 2**20
"""Read at once, or one row of blocks where that is more: between two such reads a run can end."""

_STRIP_BYTES = 160 * 2**20
_TILED_STRIP_BYTES = 32 * 2**20
_LEAST_STRIP_BYTES = 8 * 2**20
"""Of files in tiles a strip is narrower by half of what is kept beside two of them, down to this:
memory depends little on the scene's width."""

_RESAMPLED = Pieces(128, 1024)
"""Small enough for a processor's cache, and for what is read around a piece on a turned grid."""


class PairImages:
    """MS and PAN as images without an end; ``ms`` is on the MS grid and ``pan`` on the PAN grid."""

    def __init__(self, ms: Raster, pan: Raster, alignment: Alignment) -> None:
        self.alignment = alignment
        self.rasters = (ms, pan)
        self._resampler = Resampler(ms, alignment.pixel_map, alignment.ratio)
        ms_dtype = ms.dtype if self.is_exact else np.dtype(np.float32)
        read_ms = self._read_exact_ms if self.is_exact else self._read_resampled_ms
        ms_pieces = (
            _whole_blocks(ms, alignment.ms_grid, alignment.ms_origin)
            if alignment.ms_origin
            else _RESAMPLED
        )
        self.ms = ReflectedImage(
            alignment.ms_grid.window, ms.count, ms_dtype, alignment.ratio, read_ms, ms_pieces
        )
        self.pan = ReflectedImage(
            alignment.map_window, 1, pan.dtype, 1, self._read_pan,
            _whole_blocks(pan, alignment.pan_grid, alignment.pan_origin),
        )  # fmt: skip

    @property
    def is_exact(self) -> bool:
        """True where the MS is read as it is, in its own type."""
        return self.alignment.ms_origin is not None

    @property
    def bytes_per_ms_px(self) -> int:
        """Bytes that an MS pixel takes with its PAN pixels and the masks of both, where needed."""
        ms, pan = self.rasters
        fine = self.alignment.ratio**2
        masks = fine * (ms.may_hide + pan.may_hide)
        return self.ms.count * self.ms.dtype.itemsize + fine * self.pan.dtype.itemsize + masks

    def strip_bytes(self, kept_bytes: int) -> int:
        """Return the most that a strip should take while so much is kept for the next ones.

        Of files in tiles, columns can be read for less.
        """
        if not all(raster.is_tiled for raster in self.rasters):
            return _STRIP_BYTES
        return max(_LEAST_STRIP_BYTES, _TILED_STRIP_BYTES - kept_bytes // 2)

    def read(self, window: Window) -> Pixels:
        """Return the pixels of a window on the MS grid, which may reach beyond the scene."""
        fine = window.refine(self.alignment.ratio)
        ms, pan = self.ms.empty(window), self.pan.empty(fine)
        ms_valid, pan_valid = self.ms.fill(window, ms), self.pan.fill(fine, pan)
        return Pixels(window, ms, pan, ms_valid, pan_valid, self.alignment.map_window)

    def _read_exact_ms(self, window: Window, out: NDArray[Any]) -> Mask | None:
        assert self.alignment.ms_origin is not None
        valid = self.rasters[0].read_raw(_moved(window, self.alignment.ms_origin), out)[1]
        if valid is None:
            return None
        return valid.repeat(self.alignment.ratio, axis=0).repeat(self.alignment.ratio, axis=1)

    def _read_resampled_ms(self, window: Window, out: NDArray[Any]) -> Mask | None:
        out[...], valid = self._resampler.read(window)
        if valid is not None:
            some: Mask = blocks(valid, self.alignment.ratio).any(axis=(1, 3))
            np.copyto(out, 0, where=~some)
        return valid

    def _read_pan(self, fine: Window, out: NDArray[Any]) -> Mask | None:
        return self.rasters[1].read_raw(_moved(fine, self.alignment.pan_origin), out)[1]


def _whole_blocks(raster: Raster, grid: Grid, origin: tuple[int, int]) -> Pieces:
    """Return pieces over the whole width that end where blocks of the file do."""
    wide = grid.width * raster.count * raster.dtype.itemsize
    blocks_at_once = max(1, _PIECE_BYTES // (wide * raster.block_rows))
    first = raster.first_block_row - origin[1]
    return Pieces(raster.block_rows * blocks_at_once, sys.maxsize, first)


def _moved(window: Window, origin: tuple[int, int]) -> Window:
    return Window(window.col + origin[0], window.row + origin[1], window.width, window.height)
