"""Class maps read strip by strip, with the confidence raster beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from ..errors import InputError
from ..grid import Grid
from .runs import IntArray

STRIP_PIXELS = 2_000_000
"""Pixels of a strip: enough to keep NumPy busy, few enough for 200 MB of working arrays."""

_CACHE_BYTES = 16 * 2**20
_MASKED = -(2**31)
_DTYPES = ("uint8", "int8", "uint16", "int16", "int32")


@dataclass(frozen=True)
class Strip:
    """Whole rows of a class map from ``row`` on.

    ``codes`` (h, width), ``confidence`` (h, width) percent with 255 where there is none, or None.
    """

    row: int
    codes: IntArray
    confidence: IntArray | None


class ClassMapReader:
    """An open class map: its ``grid``, the code that stands for nodata (``empty``), and its strips.

    Nodata is the declared nodata value or whatever the mask band hides; a map that declares neither
    has nodata 0.
    """

    def __init__(self, path: str, confidence_path: str | None = None) -> None:
        with ExitStack() as stack:
            self._map = _open(path, "class map", stack)
            # Strips are read once: blocks kept for longer would only fill the memory.
            row_of_blocks = self._map.width * self._map.block_shapes[0][0] * 4
            cache = max(_CACHE_BYTES, 2 * row_of_blocks)
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=cache))
            _require_codes(self._map, path)
            self.grid = Grid(self._map.crs, self._map.transform, self._map.width, self._map.height)
            self._confidence = None
            if confidence_path is not None:
                self._confidence = _open(confidence_path, "confidence raster", stack)
                _require_fit(self._confidence, confidence_path, self.grid, path)
            self._stack = stack.pop_all()
        self._masked = self._map.nodata is None and not (
            {MaskFlags.all_valid} <= set(self._map.mask_flag_enums[0])
        )
        nodata = _MASKED if self._masked else self._map.nodata
        self.empty = int(nodata) if nodata is not None and np.isfinite(nodata) else 0

    def __enter__(self) -> ClassMapReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def strips(self, rows: int | None = None) -> Iterator[Strip]:
        """Yield the map from top to bottom, ``rows`` at a time (default: about two megapixels)."""
        rows = rows or max(1, STRIP_PIXELS // self.grid.width)
        for row in range(0, self.grid.height, rows):
            window = Window(0, row, self.grid.width, min(rows, self.grid.height - row))
            yield Strip(row, self._read_codes(window), self._read_confidence(window))

    def _read_codes(self, window: Window) -> IntArray:
        codes: IntArray = self._map.read(1, window=window)
        if self._masked:
            codes = codes.astype(np.int32)
            codes[self._map.read_masks(1, window=window) == 0] = _MASKED
        return codes

    def _read_confidence(self, window: Window) -> IntArray | None:
        if self._confidence is None:
            return None
        percent: IntArray = self._confidence.read(1, window=window)
        return percent


def _open(path: str, what: str, stack: ExitStack) -> Any:
    if "://" not in path and not path.startswith("/vsi") and not Path(path).exists():
        raise InputError(f"The {what} `{path}` does not exist.", "no-file", "Check the path.")
    try:
        return stack.enter_context(rasterio.open(path))
    except RasterioError as error:
        raise InputError(
            f"`{path}` cannot be read as a {what}: {error}.", "not-a-raster", "Give a raster file."
        ) from error


def _require_codes(dataset: Any, path: str) -> None:
    dtype = dataset.dtypes[0]
    if dtype not in _DTYPES:
        raise InputError(
            f"The first band of `{path}` is {dtype}; a class map holds whole numbers of at most "
            "32 bits with a sign.",
            "not-a-class-map",
            "Give the class map, or convert it with `gdal_translate -ot Int32`.",
        )


def _require_fit(dataset: Any, path: str, grid: Grid, map_path: str) -> None:
    if dataset.dtypes[0] != "uint8":
        raise InputError(
            f"The confidence raster `{path}` is {dataset.dtypes[0]}; uint8 percent with 255 for "
            "nodata is needed.",
            "confidence-type",
            "Give the confidence raster that `classify` wrote.",
        )
    if (dataset.height, dataset.width) != grid.shape:
        raise InputError(
            f"The confidence raster `{path}` has {dataset.width} × {dataset.height} pixels and the "
            f"class map `{map_path}` {grid.width} × {grid.height}; both need the same grid.",
            "confidence-grid",
            "Give the confidence raster of the same run.",
        )
    if not dataset.transform.almost_equals(grid.transform, 1e-6 * abs(grid.transform.a or 1)):
        raise InputError(
            f"The confidence raster `{path}` and the class map `{map_path}` lie on different "
            "ground; both need the same grid.",
            "confidence-grid",
            "Give the confidence raster of the same run.",
        )


def require_class_map(path: str) -> None:
    """Raise InputError where ``path`` is no raster of whole numbers."""
    with ClassMapReader(path):
        pass
