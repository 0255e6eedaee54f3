"""One raster scene: its bands, its grid, and reads that say which pixels are usable."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.windows import Window as FileWindow

from ..errors import InputError
from ..grid import Grid, Window
from .raster_files import file_name, label, no_bands, open_datasets, require_same_grid

_TYPES = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"}
_LOOK = 256
"""Rows and columns to look at, at most, to tell a mask from an image."""


@dataclass(frozen=True)
class BandSource:
    """One data band of a file; ``index`` counts from 1, ``nodata`` is None if none is declared."""

    dataset: Any
    index: int
    name: str
    color: str
    dtype: str
    nodata: float | None
    has_mask: bool


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
            alphas = [] if alpha_as_band else [a for d in datasets for a in _alphas(d)]
            skipped = {(id(dataset), index) for dataset, index in alphas}
            bands = [
                _band(dataset, index, len(datasets) > 1)
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
        lows, highs = zip(*(_type_range(dtype) for dtype in self.dtypes), strict=True)
        return min(lows), max(highs)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return DN (C, h, w) and valid (h, w) of a window inside the grid.

        A pixel is valid where every data band has a finite value that is not nodata and no mask or
        alpha band hides it. DN of invalid pixels is 0.
        """
        try:
            return self._read(self._file_window(window), window.shape)
        except RasterioIOError as error:
            raise InputError(
                f"`{self.label}` cannot be read: {error}.",
                "unreadable",
                "The file is damaged or was not copied completely; fetch it again.",
            ) from error

    def _read(
        self, file_window: FileWindow, shape: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        dn = np.empty((self.count, *shape), np.float32)
        valid = np.ones(shape, np.bool_)
        for out, band in zip(dn, self.bands, strict=True):
            values = band.dataset.read(band.index, window=file_window)
            valid &= _usable(values, band.nodata)
            if band.has_mask:
                valid &= band.dataset.read_masks(band.index, window=file_window) != 0
            with np.errstate(over="ignore", invalid="ignore"):
                out[...] = values
        for dataset, index in self._alphas:
            valid &= dataset.read(index, window=file_window) != 0
        valid &= np.isfinite(dn).all(axis=0)  # float64 beyond float32 becomes infinite
        dn[:, ~valid] = 0
        steps = (-1 if self._flip_rows else 1, -1 if self._flip_cols else 1)
        return dn[:, :: steps[0], :: steps[1]], valid[:: steps[0], :: steps[1]]

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


def _alphas(dataset: Any) -> list[tuple[Any, int]]:
    return [
        (dataset, index)
        for index, color in zip(dataset.indexes, dataset.colorinterp, strict=True)
        if color == ColorInterp.alpha
    ]


def _band(dataset: Any, index: int, one_of_many: bool) -> BandSource:
    dtype = str(dataset.dtypes[index - 1])
    if dtype not in _TYPES:
        raise InputError(
            f"`{file_name(dataset.name)}` holds {dtype} values; integers of up to 32 bits or real "
            "floating-point numbers are needed.",
            "data-type",
            "Convert it first, for example with gdal_translate -ot Float32.",
        )
    stem = PurePath(dataset.name).stem if one_of_many else f"band {index}"
    flags = dataset.mask_flag_enums[index - 1]
    return BandSource(
        dataset=dataset,
        index=index,
        name=dataset.descriptions[index - 1] or stem,
        color=dataset.colorinterp[index - 1].name,
        dtype=dtype,
        nodata=dataset.nodatavals[index - 1],
        has_mask=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
    )


def _usable(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    is_real = np.issubdtype(values.dtype, np.floating)
    usable: NDArray[np.bool_] = np.isfinite(values) if is_real else np.ones(values.shape, np.bool_)
    if nodata is None or not math.isfinite(nodata):
        return usable
    if is_real:  # declared as a double, stored with the precision of the band
        with np.errstate(over="ignore"):
            return np.asarray(usable & (values != values.dtype.type(nodata)))
    if not float(nodata).is_integer():
        return usable
    return np.asarray(usable & (values != int(nodata)))


def _type_range(dtype: str) -> tuple[float, float]:
    if dtype.startswith("float"):
        return -math.inf, math.inf
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)
