"""Pixels of windows: DN of both images and where they are valid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ..grid import Window
from .pixel_indices import blocks

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class TileData:
    """Pixels of one window: ``ms`` (C, h, w) and ``pan`` (1, r·h, r·w), DN.

    The masks are (r·h, r·w). ``ms_valid`` and ``pan_valid`` say where the content is usable; beyond
    the scene's border both describe the reflected content. ``valid`` is True where the map has a
    class: PAN pixels of ``map_window`` where both are usable. DN of invalid pixels is 0; an MS
    pixel keeps its DN where at least one of its PAN pixels is valid.

    DN are float32 or, of ``read_raw``, in the type of the files (uint8, uint16 or int16). Arrays of
    ``read_raw`` can be parts of larger ones that other tiles share, and masks without an invalid
    pixel are views of one True: never write to them.
    """

    ms: NDArray[Any]
    pan: NDArray[Any]
    ms_valid: Mask
    pan_valid: Mask
    valid: Mask
    source: Source | None = None
    """What all this was cut from, where somebody asked to know: see ``Pixels.cut``."""

    @property
    def is_all_valid(self) -> bool:
        """True where no mask has a False, without looking at pixels; ``read`` never says so."""
        return self.valid.strides == (0, 0)

    def has_class(self, margin_px: int, *, on_ms_grid: bool) -> bool:
        """True where a map has a class somewhere within a margin in MS pixels on every side.

        On the MS grid that takes an MS pixel whose PAN pixels are all valid.
        """
        ratio = self.valid.shape[0] // self.ms.shape[1]
        edge = margin_px * ratio
        height, width = self.valid.shape
        inner = self.valid[edge : height - edge, edge : width - edge]
        return bool(blocks(inner, ratio).all(axis=(1, 3)).any() if on_ms_grid else inner.any())

    def as_float(self) -> TileData:
        """Return a copy with DN as float32 and masks of its own."""
        return replace(
            self,
            ms=self.ms.astype(np.float32),
            pan=self.pan.astype(np.float32),
            ms_valid=self.ms_valid.copy(),
            pan_valid=self.pan_valid.copy(),
            valid=self.valid.copy(),
            source=None,
        )


@dataclass(frozen=True)
class Source:
    """The pixels that a tile was cut from and its window there, on the MS grid."""

    pixels: Pixels
    window: Window


@dataclass(frozen=True, eq=False)
class Pixels:
    """What was read of ``window`` on the MS grid, to cut tiles from.

    ``ms`` (C, h, w) and ``pan`` (1, r·h, r·w) are DN in the files' types. The masks are
    (r·h, r·w), None where all pixels are valid. ``map_window`` is on the PAN grid. Two are the
    same only where they are one object.
    """

    window: Window
    ms: NDArray[Any]
    pan: NDArray[Any]
    ms_valid: Mask | None
    pan_valid: Mask | None
    map_window: Window

    @property
    def ratio(self) -> int:
        """PAN pixels per MS pixel along a side."""
        return int(self.pan.shape[-1]) // self.window.width

    def cut(self, window: Window, *, with_source: bool = False) -> TileData:
        """Return the pixels of a window inside this one, as views.

        With ``with_source`` they know where they come from, and keep all that was read.
        """
        fine = window.refine(self.ratio)
        ms_valid, pan_valid = (self._mask(mask, fine) for mask in (self.ms_valid, self.pan_valid))
        return TileData(
            ms=self.ms[(slice(None), *part(window, self.window))],
            pan=self.pan[(slice(None), *part(fine, self.window.refine(self.ratio)))],
            ms_valid=ms_valid,
            pan_valid=pan_valid,
            valid=_both(_both(ms_valid, pan_valid), self._in_map(fine)),
            source=Source(self, window) if with_source else None,
        )

    def _mask(self, mask: Mask | None, fine: Window) -> Mask:
        if mask is None:
            return _all_true(fine)
        cut = mask[part(fine, self.window.refine(self.ratio))]
        return _all_true(fine) if cut.all() else cut

    def _in_map(self, fine: Window) -> Mask:
        """Return where a window on the PAN grid lies in the map."""
        inside = fine.intersect(self.map_window)
        if inside == fine:
            return _all_true(fine)
        mask = np.zeros(fine.shape, np.bool_)
        if inside is not None:
            mask[part(inside, fine)] = True
        return mask


def part(window: Window, whole: Window) -> tuple[slice, slice]:
    """Return rows and columns of a window in an array of the pixels of ``whole``."""
    top, left = window.row - whole.row, window.col - whole.col
    return slice(top, top + window.height), slice(left, left + window.width)


def _all_true(window: Window) -> Mask:
    return as_strided(np.ones(1, np.bool_), window.shape, (0, 0))


def _both(first: Mask, second: Mask) -> Mask:
    """Return where both masks are True, without work where one is True everywhere."""
    if first.strides == (0, 0):
        return second
    return first if second.strides == (0, 0) else first & second
