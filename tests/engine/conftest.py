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

from panloom.engine.scene.pair import ScenePair

WriteRaster = Callable[..., str]
LEFT, TOP = 700_000.0, 5_930_000.0


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


def _ms_place(name: str) -> tuple[Affine, int]:
    places = {
        "exact": (Affine(2, 0, LEFT, 0, -2, TOP), 32630),
        "offset": (Affine(2, 0, LEFT + 9.0, 0, -2, TOP + 7.5), 32630),
        "south-up": (Affine(2, 0, LEFT, 0, 2, TOP - 90), 32630),
        "half a pixel": (Affine(2, 0, LEFT + 0.25, 0, -2, TOP - 0.25), 32630),
        "ratio 3.7": (Affine(1.85, 0, LEFT - 3.1, 0, -1.85, TOP + 2.2), 32630),
        "rotated": (
            Affine.translation(LEFT - 4, TOP + 7) @ Affine.rotation(9) @ Affine.scale(2, -2), 32630,
        ),
        "degrees": (Affine(2.7e-5, 0, 0.0, 0, -1.8e-5, 0.0), 4326),
    }  # fmt: skip
    return places[name]


@pytest.fixture
def open_pair(write_raster: WriteRaster) -> Callable[..., ScenePair]:
    """Return a function that writes and opens a pair of ratio 4, of ``size`` MS pixels.

    ``place`` is one of ``_ms_place``; ``hide`` is ``nothing``, ``nodata`` or ``mask``.
    """

    def open_(
        place: str = "exact",
        dtypes: tuple[str, str] = ("uint16", "uint16"),
        hide: str = "nothing",
        size: tuple[int, int] = (45, 52),
        **profile: Any,
    ) -> ScenePair:
        from pyproj import Transformer

        rng = np.random.default_rng(4)
        transform, epsg = _ms_place(place)
        if epsg == 4326:
            x, y = Transformer.from_crs(32630, 4326, always_xy=True).transform(LEFT, TOP)
            transform = Affine.translation(x - 9e-5, y + 5e-5) @ transform
        ms = rng.integers(1, 250, (3, *size)).astype(dtypes[0])
        pan = rng.integers(1, 250, (size[0] * 4 - 1, size[1] * 4 - 2)).astype(dtypes[1])
        options: dict[str, Any] = {}
        if hide == "nodata":
            ms[:, 5:9, 7:30] = pan[60:64, 3:90] = 0
            options = {"nodata": 0}
        elif hide == "mask":
            options = {"mask": rng.random(size) < 0.9}
        paths = (
            write_raster("ms.tif", ms, transform, f"EPSG:{epsg}", **options, **profile),
            write_raster(
                "pan.tif", pan, Affine(0.5, 0, LEFT, 0, -0.5, TOP), nodata=options.get("nodata")
            ),
        )
        return ScenePair.open(*paths, ratio=4)

    return open_
