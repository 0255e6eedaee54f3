"""A raster of class codes as labelled samples, whatever its grid and CRS."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as FileWindow

from ...models.classes import UNCLASSIFIED
from ..errors import InputError
from ..grid import Grid, Window
from ..scene.raster_files import prepare_gdal
from .class_names import class_names
from .tally import RASTER, Labels, SampleTally, count_codes
from .words import Words


class RasterLabels:
    """Each pixel of the grid whose center lies on a labelled pixel is a sample.

    0, the declared nodata, NaN and what a mask hides are unlabelled. Only band 1 is used. ``names``
    are the file's own names by class code; ``check`` gets the codes that occur, their counts and
    the file's name, and raises InputError for codes that cannot be used.
    """

    kind = RASTER

    def __init__(
        self,
        path: str,
        grid: Grid,
        check: Callable[[NDArray[Any], NDArray[Any], str], None],
        words: Words,
    ) -> None:
        prepare_gdal()
        self.tally = SampleTally()
        self.notes: list[str] = []
        self._label = Path(path).name
        self._check = check
        with ExitStack() as stack:
            source = stack.enter_context(open_label_raster(path, words))
            _require_same_reference_system(source, grid, self._label, words)
            transform = _transform(source, grid, self._label, words)
            if grid.crs is None:
                self._view: Any = _SamePlane(source, transform, grid)
            else:
                self._view = stack.enter_context(_warped(source, grid))
            own = Grid(source.crs, transform, source.width, source.height)
            self.pixels_per_sample = max(1.0, (own.gsd_m / grid.gsd_m) ** 2)
            self.names = class_names(source)
            self._note_bands(source)
            self._stack = stack.pop_all()

    def labels(self, window: Window) -> Labels:
        """Return the labelled pixels of ``window``; raises InputError for unknown classes."""
        read = self._view.read(1, window=_file_window(window), masked=True)
        values = np.where(np.ma.getmaskarray(read), UNCLASSIFIED, read.data)
        if np.issubdtype(values.dtype, np.floating):
            values[~np.isfinite(values)] = UNCLASSIFIED
        row, col = np.nonzero(values != UNCLASSIFIED)
        found = values[row, col]
        self._check(*count_codes(found), self._label)
        return Labels(
            row + window.row, col + window.col, found.astype(np.uint8), np.full(len(row), -1)
        )

    def finish(self) -> None:
        """Nothing is left to count."""

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _note_bands(self, source: Any) -> None:
        if source.count > 1:
            self.notes.append(
                f"`{self._label}` has {source.count} bands; the first one holds the classes."
            )


class _SamePlane:
    """The nearest pixels of a raster in the grid's own coordinates, for rasters without CRS."""

    def __init__(self, source: Any, transform: Affine, grid: Grid) -> None:
        self._source = source
        self._to_source = ~transform @ grid.transform

    def read(self, band: int, window: FileWindow, masked: bool) -> Any:
        """Return (h, w) values of the source on a window of the grid, masked beyond the source."""
        rows = np.arange(window.height)[:, None] + window.row_off + 0.5
        cols = np.arange(window.width)[None, :] + window.col_off + 0.5
        t = self._to_source
        col = np.floor(t.a * cols + t.b * rows + t.c).astype(np.int64)
        row = np.floor(t.d * cols + t.e * rows + t.f).astype(np.int64)
        height, width = self._source.height, self._source.width
        inside = (col >= 0) & (row >= 0) & (col < width) & (row < height)
        if not inside.any():
            return np.ma.array(np.zeros(inside.shape, np.uint8), mask=True)
        top, bottom = int(row[inside].min()), int(row[inside].max()) + 1
        values = self._source.read(
            band, window=FileWindow(0, top, width, bottom - top), masked=masked
        )
        taken = values[np.clip(row - top, 0, bottom - top - 1), np.clip(col, 0, width - 1)]
        return np.ma.masked_where(~inside, taken)


def _warped(source: Any, grid: Grid) -> WarpedVRT:
    return WarpedVRT(
        source,
        crs=grid.crs,
        transform=grid.transform,
        width=grid.width,
        height=grid.height,
        resampling=Resampling.nearest,
        tolerance=1e-6,  # of a pixel; 0 is refused
    )


def _file_window(window: Window) -> FileWindow:
    return FileWindow(window.col, window.row, window.width, window.height)


def open_label_raster(path: str, words: Words) -> Any:
    """Open a raster; raises InputError for what is none."""
    if not Path(path).exists() and not path.startswith("/vsi"):
        raise InputError(
            f"There is no file `{path}`.", "missing-file", "Check the path, or choose another file."
        )
    try:
        return rasterio.open(path)
    except RasterioError as error:
        raise InputError(
            f"The {words.labels} `{Path(path).name}` is neither a vector layer nor a raster "
            "that can be read.",
            words.code("unreadable"),
            "Choose points, polygons or a raster of class codes.",
        ) from error


def _require_same_reference_system(source: Any, grid: Grid, label: str, words: Words) -> None:
    if grid.crs is not None and source.crs is None:
        raise InputError(
            f"The {words.labels} `{label}` has no CRS; the {words.grid} has one.",
            words.code("no-crs"),
            "Assign the raster's CRS, for example with gdal_edit.py -a_srs.",
        )
    if grid.crs is None and source.crs is not None:
        raise InputError(
            f"The {words.grid} has no CRS; the {words.labels} `{label}` has one.",
            f"{words.grid}-no-crs",
            f"Assign the {words.grid}'s CRS, for example with gdal_edit.py -a_srs.",
        )


def _transform(source: Any, grid: Grid, label: str, words: Words) -> Affine:
    """Return the raster's transform; without georeference it covers what the grid covers."""
    if source.crs or source.transform != Affine.identity() or grid.transform != Affine.identity():
        transform: Affine = source.transform
        return transform
    across, down = grid.width / source.width, grid.height / source.height
    if across != down:
        raise InputError(
            f"Neither the {words.grid} ({grid.width} × {grid.height} pixels) nor the "
            f"{words.labels} `{label}` ({source.width} × {source.height} pixels) is "
            "georeferenced, and the shapes differ.",
            words.code("size"),
            f"Give a {words.labels} of the {words.grid}'s size, or georeference both.",
        )
    return Affine.scale(across)
