"""Fixtures that write synthetic rasters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

WriteRaster = Callable[..., str]


@pytest.fixture
def write_raster(tmp_path: Path) -> WriteRaster:
    """Return a function that writes a GeoTIFF into a fresh folder and returns its path.

    ``array`` is (C, h, w) or (h, w); ``mask`` is written as a mask band, True = usable.
    """

    def write(
        name: str,
        array: np.ndarray,
        transform: Affine | None = None,
        crs: Any = "EPSG:32630",
        *,
        nodata: float | None = None,
        mask: np.ndarray | None = None,
        descriptions: tuple[str, ...] = (),
        colors: tuple[ColorInterp, ...] = (),
        **profile: Any,
    ) -> str:
        bands = array[np.newaxis] if array.ndim == 2 else array
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path, "w", driver="GTiff", count=len(bands), height=bands.shape[1],
                width=bands.shape[2], dtype=bands.dtype, crs=crs, transform=transform,
                nodata=nodata, **profile,
            ) as dataset,
        ):  # fmt: skip
            if colors:
                dataset.colorinterp = colors
            dataset.write(bands)
            if mask is not None:
                dataset.write_mask(mask)
            for index, text in enumerate(descriptions, 1):
                dataset.set_band_description(index, text)
        return str(path)

    return write
