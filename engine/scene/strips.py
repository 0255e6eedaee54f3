"""Strips of a scene that a row of tiles is cut from: each row of pixels is read once.

Tiles overlap by their halo. A tile read by itself would decode the pixels of its neighbors again,
and of a file in strips whole rows again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..grid import Window
from ..tiling import Tile
from .pair_images import PairImages
from .reflected import ReflectedImage
from .tile_data import Mask, Pixels, part


@dataclass(frozen=True)
class Strip:
    """Neighbors in one row of tiles; ``next_row`` is where the reads of the next row begin."""

    tiles: tuple[Tile, ...]
    next_row: int | None

    @property
    def window(self) -> Window:
        """What all tiles read together, on the MS grid."""
        first, last = self.tiles[0].read, self.tiles[-1].read
        return Window(first.col, first.row, last.right - first.col, first.height)


def plan_strips(
    tiles: Sequence[Tile], bytes_per_ms_px: int, most_bytes: int, least_tiles: int = 1
) -> Iterator[Strip]:
    """Yield strips of tiles in their order, of ``most_bytes`` unless ``least_tiles`` have more.

    Tiles of one strip read the same rows and columns without a gap: of an area of interest no more
    is read than its tiles.
    """
    start = 0
    while start < len(tiles):
        first = tiles[start].read
        widest = most_bytes // (bytes_per_ms_px * first.height)
        stop = start + 1
        while stop < len(tiles) and _continues(tiles, stop):
            if stop - start >= least_tiles and tiles[stop].read.right - first.col > widest:
                break
            stop += 1
        later = (tile.read.row for tile in tiles[stop:] if tile.read.row != first.row)
        yield Strip(tuple(tiles[start:stop]), next(later, None))
        start = stop


def kept_bytes(tiles: Sequence[Tile], bytes_per_ms_px: int) -> int:
    """Return what ``StripReader`` keeps of a row of tiles for the next one, at most."""
    if not tiles:
        return 0
    width = max(tile.read.right for tile in tiles) - min(tile.read.col for tile in tiles)
    return 2 * tiles[0].halo_px * width * bytes_per_ms_px


class StripReader:
    """Reads strips from the top down, keeping the rows that the next ones need again."""

    def __init__(self, images: PairImages, check: Callable[[], None] = lambda: None) -> None:
        """``check`` is called between any two reads; what it raises ends the reading."""
        self._images = images
        self._ms = _RowReader(images.ms, check)
        self._pan = _RowReader(images.pan, check)

    def read(self, strip: Strip) -> Pixels:
        """Return the pixels of a strip, the same as ``PairImages.read`` of its window does."""
        window, ratio = strip.window, self._images.alignment.ratio
        next_row = window.bottom if strip.next_row is None else strip.next_row
        ms = self._ms.read(window, next_row)
        pan = self._pan.read(window.refine(ratio), next_row * ratio)
        return Pixels(window, ms.dn, pan.dn, ms.valid, pan.valid, self._images.alignment.map_window)


class _Rows:
    """Pixels of a window of one image, and where they are valid: None while all of them are."""

    def __init__(self, image: ReflectedImage, window: Window) -> None:
        self.window = window
        self.dn = image.empty(window)
        self.valid: Mask | None = None
        self._split = image.split

    def at(self, window: Window) -> tuple[NDArray[Any], Mask | None]:
        """Return views of a window inside this one."""
        dn = self.dn[(slice(None), *part(window, self.window))]
        return dn, None if self.valid is None else self.valid[self._fine(window)]

    def mark(self, window: Window, valid: Mask | None) -> None:
        """Set what is valid in a window inside this one."""
        if valid is None:
            return
        if self.valid is None:
            self.valid = np.ones(self.window.refine(self._split).shape, np.bool_)
        self.valid[self._fine(window)] = valid

    def copy_from(self, other: _Rows, window: Window) -> None:
        """Set pixels of a window inside both."""
        dn, valid = other.at(window)
        self.at(window)[0][...] = dn
        self.mark(window, valid)

    def _fine(self, window: Window) -> tuple[slice, slice]:
        return part(window.refine(self._split), self.window.refine(self._split))


class _RowReader:
    """Reads windows of one image from the top down."""

    def __init__(self, image: ReflectedImage, check: Callable[[], None]) -> None:
        self._image, self._check = image, check
        self._kept: list[_Rows] = []

    def read(self, window: Window, next_row: int) -> _Rows:
        """Return a window's pixels; those from ``next_row`` on are kept for later windows."""
        rows = _Rows(self._image, window)
        rest = self._take_kept(rows)
        for piece in [] if rest is None else self._image.pieces.of(rest):
            self._check()
            rows.mark(piece, self._image.fill(piece, rows.at(piece)[0]))
        if next_row < window.bottom:
            kept = _Rows(self._image, _below(window, next_row))
            kept.copy_from(rows, kept.window)
            self._kept.append(kept)
        return rows

    def _take_kept(self, rows: _Rows) -> Window | None:
        """Copy what is kept of a window; return what is still to be read, None if nothing is."""
        window, first = rows.window, rows.window.row
        self._kept = [kept for kept in self._kept if kept.window.row >= first]
        for kept in self._kept:
            shared = kept.window.intersect(window)
            if shared and shared.row == first and shared.width == window.width:
                rows.copy_from(kept, shared)
                if kept.window.width == window.width:  # no other window needs it
                    self._kept.remove(kept)
                return _below(window, shared.bottom) if shared.bottom < window.bottom else None
        return window


def _below(window: Window, row: int) -> Window:
    return Window(window.col, row, window.width, window.bottom - row)


def _continues(tiles: Sequence[Tile], index: int) -> bool:
    """True where a tile reads the same rows as the one before and leaves no column out."""
    before, window = tiles[index - 1].read, tiles[index].read
    return (window.row, window.height) == (
        before.row,
        before.height,
    ) and before.col < window.col <= before.right <= window.right
