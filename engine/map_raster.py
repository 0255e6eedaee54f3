"""A one-band GeoTIFF with overviews, written tile by tile in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from .errors import OutputError
from .grid import Grid, Window
from .overviews import Halve, Overviews
from .whole_blocks import BLOCK, LAYOUT, WholeBlocks


class MapRaster:
    """A uint8 raster being written; ``halve`` makes each overview of the one before.

    ``dataset`` takes tags and colors until the first pixels come. ``threads`` compress beside the
    caller's; None: the caller's compresses, which takes least time in all.
    """

    def __init__(
        self, path: Path, grid: Grid, nodata: int, halve: Halve, threads: int | None = None
    ) -> None:
        layout = LAYOUT if threads is None else {**LAYOUT, "num_threads": threads}
        self.dataset: Any = rasterio.open(
            path,
            "w",
            width=grid.width,
            height=grid.height,
            crs=grid.crs,
            transform=grid.transform,
            nodata=nodata,
            **layout,
        )
        self._blocks = WholeBlocks(grid.width, grid.height, self._take)
        self._overviews = Overviews(path, (grid.width, grid.height), nodata, halve, layout)
        self._path, self._width, self._height = path, grid.width, grid.height
        self._written_px = 0
        self._whole_rows = 0

    def write(self, window: Window, values: NDArray[np.uint8]) -> None:
        """Take ``values`` (h, w) of ``window``, row of tiles by row of tiles, each pixel once.

        Raises ValueError where the shapes differ, a window reaches beyond the raster, a row was
        finished before, or a row of tiles has holes.
        """
        if values.shape != window.shape:
            raise ValueError(f"{values.shape} values for a window of {window.shape}")
        if window.col < 0 or window.right > self._width or window.bottom > self._height:
            raise ValueError(f"{window} reaches beyond {self._width} × {self._height} pixels")
        if window.row < self._whole_rows:
            raise ValueError(f"row {window.row} was written already")
        self._count(window)
        self._blocks.write(window, values)

    def close(self) -> None:
        """Finish the file; after an error ``discard`` it.

        Raises ValueError where rows are missing, OutputError where the disk has not taken all.
        """
        if self._whole_rows != self._height:
            raise ValueError(f"{self._whole_rows} of {self._height} rows were written")
        self.dataset.close()
        _require_whole(self._path)
        self._overviews.close()

    def discard(self) -> None:
        """Stop writing: the file stays unfinished, and nothing else stays."""
        self.dataset.close()
        self._overviews.discard()

    def _count(self, window: Window) -> None:
        written_px = self._written_px + window.width * window.height
        if window.right == self._width:
            needed_px = window.bottom * self._width
            if written_px != needed_px:
                raise ValueError(
                    f"{written_px} pixels lie above row {window.bottom}; {needed_px} are needed"
                )
            self._whole_rows = window.bottom
        self._written_px = written_px

    def _take(self, window: Window, values: NDArray[np.uint8]) -> None:
        place = RasterioWindow(window.col, window.row, window.width, window.height)
        self.dataset.write(values[None], [1], window=place)  # as (h, w) rasterio copies it first
        self._overviews.add(window, values)


def _require_whole(path: Path) -> None:
    """Raise OutputError where blocks are not in the file.

    Blocks that wait in GDAL's cache are written when a dataset is closed, and rasterio does not say
    that this failed.
    """
    try:
        is_whole = _is_whole(path)
    except rasterio.errors.RasterioIOError:  # there is not even a directory of blocks
        is_whole = False
    if not is_whole:
        raise OutputError(
            "The map could not be written completely: the disk is full, or takes no file as large.",
            "disk-full",
            "Make room on the disk, or choose another folder.",
        )


def _is_whole(path: Path) -> bool:
    size = path.stat().st_size
    with rasterio.open(path) as dataset:
        for row in range(-(-dataset.height // BLOCK)):
            for col in range(-(-dataset.width // BLOCK)):
                place = [
                    int(dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1) or 0)
                    for what in ("OFFSET", "SIZE")
                ]
                if 0 in place or sum(place) > size:
                    return False
    return True
