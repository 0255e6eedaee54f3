"""MS and PAN as one raster on the PAN grid: what tools for one raster take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window as RasterioWindow

from panloom.engine.grid import Window
from panloom.engine.scene.pair import ScenePair

STRIP_MS_PX = 256


def write_stacked(scene: ScenePair, path: Path) -> None:
    """Write MS, each pixel repeated to the PAN grid, and PAN below it as one uint16 raster.

    The MS are those of the working grid, where the engine puts them for the network: what the
    network sees is the same but for rounding to whole numbers.
    """
    grid, ratio = scene.pan.grid, scene.ratio
    bands = scene.ms.raster.count + 1
    with rasterio.open(
        path, "w", driver="GTiff", width=grid.width, height=grid.height, count=bands,
        dtype="uint16", crs=grid.crs, transform=grid.transform, tiled=True, compress="deflate",
        predictor=2, zlevel=1, bigtiff="if_safer",
    ) as target:  # fmt: skip
        for row in range(0, scene.ms.grid.height, STRIP_MS_PX):
            height = min(STRIP_MS_PX, scene.ms.grid.height - row)
            tile = scene.read(Window(0, row, scene.ms.grid.width, height))
            fine = np.asarray(tile.ms).repeat(ratio, axis=1).repeat(ratio, axis=2)
            stacked = np.rint(np.concatenate([fine, np.asarray(tile.pan)])).astype(np.uint16)
            window = RasterioWindow(0, row * ratio, grid.width, height * ratio)
            target.write(stacked, window=window)
