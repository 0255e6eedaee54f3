"""Overviews made while a raster is written: each level halves the one before, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from .grid import Window
from .tiff_pages import Page, append_pages
from .whole_blocks import BLOCK, LAYOUT, WholeBlocks

Halve = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""Makes of values (h, w) and the nodata value (⌈h/2⌉, ⌈w/2⌉) values."""

SMALLEST_PX = 512
"""The last level fits into so many pixels a side."""


class Overviews:
    """The levels of one raster of ``size`` (width, height), made of its blocks as they come.

    Finished blocks of every level wait, compressed, in one scratch GeoTIFF beside the raster; in
    memory there is about as much as one row of the raster's blocks.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        nodata: int,
        halve: Halve,
        layout: Mapping[str, Any] = LAYOUT,
    ) -> None:
        self._path = path
        self._scratch_path = path.with_name(path.name + ".ovr")
        """A name that ``Outputs`` removes with the draft, however the run ends."""
        self._nodata = nodata
        self._halve = halve
        self._levels: list[_Level] = []
        width, height = size
        rows = 0
        while max(width, height) > SMALLEST_PX:
            width, height = -(-width // 2), -(-height // 2)
            sink = self._sink(len(self._levels))
            self._levels.append(_Level(width, height, rows, WholeBlocks(width, height, sink)))
            rows += _whole(height)
        self._scratch: Any = None
        if self._levels:
            self._scratch = rasterio.open(
                self._scratch_path,
                "w",
                width=_whole(self._levels[0].width),
                height=rows,
                transform=Affine.scale(2),  # anything: rasterio warns of files without
                **layout,
            )

    def add(self, window: Window, values: NDArray[np.uint8]) -> None:
        """Take whole blocks of the raster itself: ``values`` (h, w) of ``window``."""
        self._reduce_into(0, window, values)

    def close(self) -> None:
        """Put the levels into the raster, which is finished and closed."""
        if self._scratch is None:
            return
        self._scratch.close()
        with rasterio.open(self._scratch_path) as scratch:
            pages = [level.page(scratch) for level in self._levels]
        append_pages(self._path, self._scratch_path, pages)
        self._scratch_path.unlink()

    def discard(self) -> None:
        """Forget the levels; the raster has none."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch_path.unlink(missing_ok=True)

    def _reduce_into(self, index: int, window: Window, values: NDArray[np.uint8]) -> None:
        if index == len(self._levels):
            return
        halved = self._halve(values, self._nodata)
        # Blocks begin at even pixels, so blocks of 2 × 2 never cross their borders.
        part = Window(window.col // 2, window.row // 2, halved.shape[1], halved.shape[0])
        self._levels[index].blocks.write(part, halved)

    def _sink(self, index: int) -> Callable[[Window, NDArray[np.uint8]], None]:
        def take(window: Window, values: NDArray[np.uint8]) -> None:
            self._store(self._levels[index], window, values)
            self._reduce_into(index + 1, window, values)

        return take

    def _store(self, level: _Level, window: Window, values: NDArray[np.uint8]) -> None:
        height, width = values.shape
        if height % BLOCK or width % BLOCK:
            whole = np.full((_whole(height), _whole(width)), self._nodata, np.uint8)
            whole[:height, :width] = values
            values = whole
        place = RasterioWindow(window.col, level.row + window.row, *values.shape[::-1])
        self._scratch.write(values[None], [1], window=place)


@dataclass(frozen=True)
class _Level:
    """One level; its blocks lie in the scratch file from ``row`` on."""

    width: int
    height: int
    row: int
    blocks: WholeBlocks

    def page(self, scratch: Any) -> Page:
        """Return where the finished scratch file has the blocks."""
        top = self.row // BLOCK
        places = [
            (_number(scratch, "OFFSET", col, row), _number(scratch, "SIZE", col, row))
            for row in range(top, top + _whole(self.height) // BLOCK)
            for col in range(_whole(self.width) // BLOCK)
        ]
        return Page(self.width, self.height, places)


def _number(scratch: Any, what: str, col: int, row: int) -> int:
    return int(scratch.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1))


def _whole(pixels: int) -> int:
    """Return ``pixels`` rounded up to whole blocks."""
    return -(-pixels // BLOCK) * BLOCK
