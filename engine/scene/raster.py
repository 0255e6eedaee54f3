"""One raster scene: its bands, its grid, and reads that say which pixels are usable."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.windows import Window as FileWindow

from ..errors import InputError
from ..grid import Grid, Window
from .band import BandSource, Mask, alpha_bands, band_source, fill
from .raster_files import label, no_bands, open_datasets, require_same_grid

RAW_TYPES = ("uint8", "uint16", "int16")
"""Data types that are kept as they are until the device; all others are read as float32."""

_LOOK = 256
"""Rows and columns to look at, at most, to tell a mask from an image."""


class Raster:
    """A scene of one or more bands on one grid; use it as a context manager, in one thread.

    Rows are flipped where a file's rows run north (columns where they run west), so that ``grid``
    is north-up whenever it is not rotated, and every window is on that grid.
    """

    def __init__(
        self, spec: str, bands: list[BandSource], alphas: list[tuple[Any, int]], stack: ExitStack
    ) -> None:
        first = bands[0].dataset
        self.spec = spec
        self.label = label(spec, len({id(band.dataset) for band in bands}))
        self.bands = tuple(bands)
        self.is_georeferenced = first.transform != Affine.identity()
        self.has_control_points = bool(first.gcps[0]) or first.rpcs is not None
        self._alphas = alphas
        self._stack = stack
        self.file_shape = (first.height, first.width)
        t = first.transform
        straight = t.b == 0 and t.d == 0 and self.is_georeferenced
        self._flip_rows, self._flip_cols = straight and t.e > 0, straight and t.a < 0
        try:
            self.grid = Grid(first.crs, self._unflipped(t), first.width, first.height)
        except ValueError as error:
            raise InputError(
                f"`{self.label}` has a geotransform that cannot be used: {error}.",
                "transform",
                "Repair its georeference, for example with gdal_edit.py -a_ullr.",
            ) from error

    @classmethod
    def open(cls, spec: str, *, alpha_as_band: bool = False) -> Raster:
        """Open a path, a GDAL name, or several of them joined by commas (one file per band).

        An alpha band says which pixels are usable and is no data band, unless ``alpha_as_band``.
        Raises InputError for what cannot be opened or has a data type that cannot be used.
        """
        with ExitStack() as stack:
            datasets = [stack.enter_context(dataset) for dataset in open_datasets(spec)]
            for dataset in datasets[1:]:
                require_same_grid(datasets[0], dataset)
            alphas = [] if alpha_as_band else [a for d in datasets for a in alpha_bands(d)]
            skipped = {(id(dataset), index) for dataset, index in alphas}
            bands = [
                band_source(dataset, index, len(datasets) > 1)
                for dataset in datasets
                for index in dataset.indexes
                if (id(dataset), index) not in skipped
            ]
            if not bands:
                raise no_bands(spec, datasets)
            raster = cls(spec, bands, alphas, stack)
            raster._stack = stack.pop_all()
            return raster

    @property
    def count(self) -> int:
        """Number of data bands."""
        return len(self.bands)

    @property
    def alpha_count(self) -> int:
        """Number of alpha bands, which are no data bands."""
        return len(self._alphas)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Data type of each data band."""
        return tuple(band.dtype for band in self.bands)

    @property
    def dn_range(self) -> tuple[float, float]:
        """The least and the greatest DN that the data types can hold."""
        lows, highs = zip(*(band.dn_range for band in self.bands), strict=True)
        return min(lows), max(highs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of ``read_raw``: the bands' own where they share one of ``RAW_TYPES``."""
        shared = set(self.dtypes)
        is_raw = len(shared) == 1 and shared <= set(RAW_TYPES)
        return np.dtype(shared.pop() if is_raw else np.float32)

    @property
    def may_hide(self) -> bool:
        """True where some pixels can be invalid; False says that none can."""
        return bool(self._alphas) or any(band.may_hide for band in self.bands)

    @property
    def block_rows(self) -> int:
        """Rows of the blocks that the first file is stored in."""
        first = self.bands[0]
        return int(first.dataset.block_shapes[first.index - 1][0])

    @property
    def is_tiled(self) -> bool:
        """True where some columns can be read without decoding whole rows."""
        blocks = (band.dataset.block_shapes[band.index - 1] for band in self.bands)
        return all(width < self.file_shape[1] for _, width in blocks)

    @property
    def first_block_row(self) -> int:
        """A row of the grid that a block begins at."""
        return self.file_shape[0] % self.block_rows if self._flip_rows else 0

    def read(self, window: Window) -> tuple[NDArray[np.float32], Mask]:
        """Return DN (C, h, w) as float32 and valid (h, w) of a window inside the grid.

        A pixel is valid where every data band has a finite value that is not nodata and no mask or
        alpha band hides it. DN of invalid pixels is 0.
        """
        dn, valid = self.read_raw(window)
        as_float: NDArray[np.float32] = dn.astype(np.float32, copy=False)
        return as_float, np.ones(window.shape, np.bool_) if valid is None else valid

    def read_raw(
        self, window: Window, out: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], Mask | None]:
        """Return what ``read`` does with DN in ``dtype``, into ``out`` if given.

        Valid is None where all pixels are.
        """
        try:
            return self._read(window, out)
        except RasterioIOError as error:
            raise InputError(
                f"`{self.label}` cannot be read: {error}.",
                "unreadable",
                "The file is damaged or was not copied completely; fetch it again.",
            ) from error

    def _read(self, window: Window, out: NDArray[Any] | None) -> tuple[NDArray[Any], Mask | None]:
        file_window = self._file_window(window)
        is_flipped = self._flip_rows or self._flip_cols
        shape = (self.count, *window.shape)
        dn = np.empty(shape, self.dtype) if out is None or is_flipped else out
        valid = fill(self.bands, self._alphas, file_window, dn)
        if valid is not None:
            np.copyto(dn, 0, where=~valid)
        if is_flipped:
            steps = np.s_[:: -1 if self._flip_rows else 1, :: -1 if self._flip_cols else 1]
            dn, valid = dn[(slice(None), *steps)], None if valid is None else valid[steps]
            if out is not None:
                out[...] = dn
                dn = out
        return dn, valid

    def elements(
        self, rows: NDArray[np.float64], cols: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return row and column in the file of points in pixels of ``grid``, −1 beyond it."""
        height, width = self.file_shape
        inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        row, col = (np.where(inside, v, -1).astype(np.int64) for v in (rows, cols))
        if self._flip_rows:
            row = np.where(inside, height - 1 - row, -1)
        if self._flip_cols:
            col = np.where(inside, width - 1 - col, -1)
        return row, col

    def alpha_is_image(self) -> bool:
        """Say whether the alpha band holds an image: many values, where a mask has two.

        Programs that write arrays of four bands mark the last one as alpha.
        """
        if len(self._alphas) != 1:
            return False
        dataset, index = self._alphas[0]
        shape = tuple(min(n, _LOOK) for n in self.file_shape)
        _, counts = np.unique(dataset.read(index, out_shape=shape), return_counts=True)
        return bool(np.sort(counts)[-2:].sum() < 0.9 * counts.sum())

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> Raster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _unflipped(self, transform: Affine) -> Affine:
        height, width = self.file_shape
        if self._flip_rows:
            transform = transform @ Affine.translation(0, height) @ Affine.scale(1, -1)
        if self._flip_cols:
            transform = transform @ Affine.translation(width, 0) @ Affine.scale(-1, 1)
        return transform

    def _file_window(self, window: Window) -> FileWindow:
        height, width = self.file_shape
        if window.intersect(self.grid.window) != window:
            raise ValueError(f"{window} reaches beyond the raster of {width} × {height}")
        row = height - window.bottom if self._flip_rows else window.row
        col = width - window.right if self._flip_cols else window.col
        return FileWindow(col, row, window.width, window.height)
