"""A raster of class codes as reference, whatever its grid and CRS."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as FileWindow

from ...models.classes import UNCLASSIFIED
from ..class_map import CLASSES_TAG
from ..errors import InputError
from ..grid import Grid, Window
from ..scene.raster_files import prepare_gdal
from .labels import RASTER, Labels, SampleTally
from .reference_classes import require_in_map


class RasterReference:
    """Each map pixel whose center lies on a labelled reference pixel is a sample.

    0, the declared nodata and what a mask hides are unlabelled. Only band 1 is used.
    """

    kind = RASTER

    def __init__(self, path: str, grid: Grid, names: dict[int, str], *, closed: bool) -> None:
        prepare_gdal()
        self.tally = SampleTally()
        self.notes: list[str] = []
        self._label = Path(path).name
        self._names, self._closed = names, closed
        with ExitStack() as stack:
            source = stack.enter_context(_open(path))
            _require_same_reference_system(source, grid, self._label)
            transform = _transform(source, grid, self._label)
            if grid.crs is None:
                self._view: Any = _SamePlane(source, transform, grid)
            else:
                self._view = stack.enter_context(_warped(source, grid))
            own = Grid(source.crs, transform, source.width, source.height)
            self.pixels_per_sample = max(1.0, (own.gsd_m / grid.gsd_m) ** 2)
            self._note_bands_and_names(source)
            self._stack = stack.pop_all()

    def labels(self, window: Window) -> Labels:
        """Return the labelled pixels of ``window``; raises InputError for unknown classes."""
        read = self._view.read(1, window=_file_window(window), masked=True)
        values = np.where(np.ma.getmaskarray(read), UNCLASSIFIED, read.data)
        if np.issubdtype(values.dtype, np.floating):
            values[~np.isfinite(values)] = UNCLASSIFIED
        row, col = np.nonzero(values != UNCLASSIFIED)
        found = values[row, col]
        codes, counts = np.unique(found, return_counts=True)
        require_in_map(codes, counts, self._names, self._label, closed=self._closed)
        return Labels(
            row + window.row, col + window.col, found.astype(np.uint8), np.full(len(row), -1)
        )

    def finish(self) -> None:
        """Nothing is left to count."""

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _note_bands_and_names(self, source: Any) -> None:
        if source.count > 1:
            self.notes.append(
                f"`{self._label}` has {source.count} bands; the first one holds the classes."
            )
        text = source.tags().get(CLASSES_TAG)
        for item in json.loads(text) if text else []:
            ours = self._names.get(item["code"])
            if ours is not None and ours.strip().casefold() != item["name"].strip().casefold():
                self.notes.append(
                    f"Class {item['code']} is `{item['name']}` in the reference and `{ours}` in "
                    "the map; they were compared by code."
                )


class _SamePlane:
    """The nearest pixels of a raster in the map's own coordinates, for rasters without CRS."""

    def __init__(self, source: Any, transform: Affine, grid: Grid) -> None:
        self._source = source
        self._to_source = ~transform @ grid.transform

    def read(self, band: int, window: FileWindow, masked: bool) -> Any:
        """Return (h, w) values of the source on a window of the map, masked beyond the source."""
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


def _open(path: str) -> Any:
    if not Path(path).exists() and not path.startswith("/vsi"):
        raise InputError(
            f"There is no file `{path}`.", "missing-file", "Check the path, or choose another file."
        )
    try:
        return rasterio.open(path)
    except RasterioError as error:
        raise InputError(
            f"The reference `{Path(path).name}` is neither a vector layer nor a raster that can be "
            "read.",
            "reference-unreadable",
            "Choose points, polygons or a raster of class codes.",
        ) from error


def _require_same_reference_system(source: Any, grid: Grid, label: str) -> None:
    if grid.crs is not None and source.crs is None:
        raise InputError(
            f"The reference `{label}` has no CRS; the map has one.",
            "reference-no-crs",
            "Assign the raster's CRS, for example with gdal_edit.py -a_srs.",
        )
    if grid.crs is None and source.crs is not None:
        raise InputError(
            f"The map has no CRS; the reference `{label}` has one.",
            "map-no-crs",
            "Assign the map's CRS, for example with gdal_edit.py -a_srs.",
        )


def _transform(source: Any, grid: Grid, label: str) -> Affine:
    """Return the reference's transform; without georeference it covers what the map covers."""
    if source.crs or source.transform != Affine.identity() or grid.transform != Affine.identity():
        transform: Affine = source.transform
        return transform
    across, down = grid.width / source.width, grid.height / source.height
    if across != down:
        raise InputError(
            f"Neither the map ({grid.width} × {grid.height} pixels) nor the reference `{label}` "
            f"({source.width} × {source.height} pixels) is georeferenced, and the "
            "shapes differ.",
            "reference-size",
            "Give a reference of the map's size, or georeference both.",
        )
    return Affine.scale(across)
