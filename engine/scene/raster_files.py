"""From what the user names to open datasets: a path, a GDAL name, or several joined by commas."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from ..errors import InputError

GDAL_CACHE_BYTES = 64 * 2**20
"""Cap of GDAL's block cache; its default is 5 % of the memory, which grows with the machine."""


def open_datasets(spec: str) -> Iterator[Any]:
    """Yield the open datasets that ``spec`` names: itself if it opens, else its parts at commas.

    Raises InputError for a part that is missing or no raster.
    """
    prepare_gdal()
    whole = _try_open(spec)
    if whole is not None:
        yield whole
        return
    parts = _split(spec)
    for part in parts:
        dataset = _try_open(part) if len(parts) > 1 else None
        if dataset is None:
            raise _cannot_open(part)
        yield dataset


def _try_open(name: str) -> Any:
    try:
        return rasterio.open(name)
    except (RasterioIOError, ValueError, TypeError):
        return None


def _split(spec: str) -> list[str]:
    """Split at commas, but never inside the longest part that is the name of an existing file."""
    pieces = spec.split(",")
    parts, start = [], 0
    while start < len(pieces):
        for end in range(len(pieces), start, -1):
            part = ",".join(pieces[start:end]).strip()
            if end == start + 1 or os.path.exists(part):
                parts.append(part)
                start = end
                break
    return [part for part in parts if part] or [spec]


def _cannot_open(name: str) -> InputError:
    if os.path.exists(name) or name.startswith("/vsi") or ":" in name[2:]:
        return InputError(
            f"`{file_name(name)}` is not a raster that GDAL can read.",
            "not-a-raster",
            "Choose a raster such as a GeoTIFF or a VRT.",
        )
    return InputError(
        f"There is no file `{name}`.", "missing-file", "Check the path, or choose another file."
    )


def no_bands(spec: str, datasets: list[Any]) -> InputError:
    """Return the error for a raster without an image band."""
    inside = [name for dataset in datasets for name in dataset.subdatasets]
    if inside:
        return InputError(
            f"`{file_name(spec)}` is a container of {len(inside)} rasters and none itself.",
            "no-bands",
            f"Choose the rasters in it by their GDAL names, such as {inside[0]}",
        )
    return InputError(
        f"`{file_name(spec)}` has no image band.", "no-bands", "Choose a raster with image bands."
    )


def require_same_grid(first: Any, other: Any) -> None:
    same = first.shape == other.shape and first.crs == other.crs
    if same and first.transform.almost_equals(other.transform, precision=1e-6):
        return
    raise InputError(
        f"`{file_name(first.name)}` ({first.width} × {first.height} pixels) and "
        f"`{file_name(other.name)}` ({other.width} × {other.height} pixels) are not on one grid; "
        "the bands of a raster need the same size, position and CRS.",
        "band-grids",
        "Give bands of one resolution only, or bring them to one grid first (gdalwarp -tr).",
    )


def label(spec: str, files: int) -> str:
    """Return what to call a raster of so many files in messages."""
    if files == 1:
        return file_name(spec)
    return f"{file_name(_split(spec)[0])} and {files - 1} more"


def file_name(name: str) -> str:
    """Return the last part of a path or GDAL name."""
    return PurePath(name.replace("\\", "/")).name or name


def prepare_gdal() -> None:
    """Silence GDAL's note on missing georeference."""
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


@contextmanager
def gdal_cache() -> Iterator[None]:
    """Cap GDAL's block cache during a run, unless the user set it; also a decorator.

    Afterwards it is as it was: other runs of the process, and programs around it, see no change.
    """
    options = {} if "GDAL_CACHEMAX" in os.environ else {"GDAL_CACHEMAX": GDAL_CACHE_BYTES}
    with rasterio.Env(**options):
        yield
