"""The bands of open files: which hold data, which pixels of them are usable, and reading them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window as FileWindow

from ..errors import InputError
from .raster_files import file_name

Mask = NDArray[np.bool_]

_TYPES = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"}


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

    @property
    def dn_range(self) -> tuple[float, float]:
        """The least and the greatest DN that the data type can hold."""
        if self.dtype.startswith("float"):
            return -math.inf, math.inf
        info = np.iinfo(self.dtype)
        return float(info.min), float(info.max)

    @property
    def possible_nodata(self) -> float | None:
        """The nodata value that pixels of the data type can have, None where there is none."""
        if self.nodata is None or not math.isfinite(self.nodata):
            return None
        low, high = self.dn_range
        is_possible = low == -math.inf or (self.nodata.is_integer() and low <= self.nodata <= high)
        return self.nodata if is_possible else None

    @property
    def may_hide(self) -> bool:
        """True where some pixels can be invalid."""
        is_real = self.dtype.startswith("float")
        return self.has_mask or is_real or self.possible_nodata is not None


def band_source(dataset: Any, index: int, one_of_many: bool) -> BandSource:
    """Return a data band of an open file; raises InputError for a data type that cannot be used."""
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


def alpha_bands(dataset: Any) -> list[tuple[Any, int]]:
    """Return a file's alpha bands, as the file and the band's index in it."""
    return [
        (dataset, index)
        for index, color in zip(dataset.indexes, dataset.colorinterp, strict=True)
        if color == ColorInterp.alpha
    ]


def fill(
    bands: Iterable[BandSource],
    alphas: list[tuple[Any, int]],
    window: FileWindow,
    dn: NDArray[Any],
) -> Mask | None:
    """Read all data bands into ``dn`` (C, h, w), in its type, as they lie in the files.

    Return where all of them are usable, None where they are everywhere. Integers keep their values:
    ``dn`` is of the bands' own type, or float32.
    """
    valid: Mask | None = None
    start = 0
    for group in (list(g) for _, g in groupby(bands, key=lambda band: id(band.dataset))):
        part = dn[start : start + len(group)]
        start += len(group)
        valid = _both(valid, _fill_from_file(group, window, part))
        if any(band.has_mask for band in group):  # one for all bands of a file
            mask = group[0].dataset.read_masks(group[0].index, window=window)
            valid = _both(valid, mask != 0)
    for dataset, index in alphas:
        valid = _both(valid, dataset.read(index, window=window) != 0)
    return None if valid is None or valid.all() else valid


def _fill_from_file(bands: list[BandSource], window: FileWindow, dn: NDArray[Any]) -> Mask | None:
    if all(band.dtype == dn.dtype for band in bands) and dn.dtype != np.float32:
        bands[0].dataset.read([band.index for band in bands], window=window, out=dn)
        masks = [_not_nodata(values, band) for values, band in zip(dn, bands, strict=True)]
    else:
        masks = [_read_as_float(band, window, out) for band, out in zip(bands, dn, strict=True)]
    valid = None
    for mask in masks:
        valid = _both(valid, mask)
    return valid


def _not_nodata(values: NDArray[Any], band: BandSource) -> Mask | None:
    nodata = band.possible_nodata
    if nodata is None:
        return None
    if not np.issubdtype(values.dtype, np.floating):
        return np.asarray(values != int(nodata))
    with np.errstate(over="ignore"):  # declared as a double, stored with the band's precision
        return np.asarray(values != values.dtype.type(nodata))


def _read_as_float(band: BandSource, window: FileWindow, out: NDArray[np.float32]) -> Mask | None:
    """Read a band into ``out``; return where it is usable, None where it is everywhere."""
    values = band.dataset.read(band.index, window=window)
    with np.errstate(over="ignore", invalid="ignore"):
        out[...] = values
    usable = _not_nodata(values, band)
    if np.issubdtype(values.dtype, np.floating):
        usable = _both(usable, np.isfinite(out))  # float64 beyond float32 becomes infinite
    return usable


def _both(first: Mask | None, second: Mask | None) -> Mask | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second
