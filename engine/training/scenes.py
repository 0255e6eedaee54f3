"""Labelled scenes in memory, on the two grids that the network works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import Resampling, reproject

from ..errors import InputError
from ..grid import Grid
from ..radiometry import Radiometry, fit_radiometry
from ..scene.pair import ScenePair

UNLABELLED = -1


@dataclass(frozen=True)
class LabelledScene:
    """One scene to train on or to test with.

    ``ms`` (C, h, w) and ``pan`` (1, r·h, r·w) are DN as float32; the masks are (r·h, r·w);
    ``labels`` (h, w) holds class indices, −1 where unlabelled or invalid. ``group`` names what must
    not be split between training and test, such as a path/row.
    """

    name: str
    group: str
    ms: NDArray[np.float32]
    pan: NDArray[np.float32]
    ms_valid: NDArray[np.bool_]
    pan_valid: NDArray[np.bool_]
    labels: NDArray[np.int64]
    sample_ms: NDArray[np.float32]
    sample_pan: NDArray[np.float32]

    @property
    def ratio(self) -> int:
        """MS GSD ÷ PAN GSD."""
        return int(self.pan.shape[-1] // self.ms.shape[-1])

    def radiometry(self, spec: dict[str, object]) -> Radiometry:
        """Return the scene's radiometry as ``classify`` would fit it."""
        return fit_radiometry(spec, self.sample_ms, self.sample_pan)


def load_scene(
    name: str, group: str, ms: str, pan: str, labels: str, *, codes: tuple[int, ...], ratio: int
) -> LabelledScene:
    """Open a pair and its label raster (class codes, 0 unlabelled) and read all of it.

    Labels are brought to the pair's MS grid by nearest neighbor. Raises InputError for a pair that
    does not fit, or labels with a code that is not in ``codes``.
    """
    with ScenePair.open(ms, pan, ratio=ratio) as pair:
        tile = pair.read(pair.ms.grid.window)
        sample = pair.sample()
        index = _class_index(_labels_on(labels, pair.ms.grid), codes, labels)
    blocks = tile.valid.reshape(index.shape[0], ratio, index.shape[1], ratio)
    index[~blocks.all(axis=(1, 3))] = UNLABELLED
    return LabelledScene(
        name, group, tile.ms, tile.pan, tile.ms_valid, tile.pan_valid, index, sample.ms, sample.pan
    )


def _labels_on(path: str, grid: Grid) -> NDArray[np.uint8]:
    """Return the label codes (h, w) on ``grid``."""
    with rasterio.open(path) as source:
        codes: NDArray[np.uint8] = source.read(1)
        crs, transform = source.crs, source.transform
    if crs is None or (codes.shape == grid.shape and transform == grid.transform):
        if codes.shape != grid.shape:
            raise InputError(
                f"The labels `{path}` have {codes.shape[1]} × {codes.shape[0]} pixels; without a "
                f"CRS they need the MS raster's {grid.width} × {grid.height}.",
                "label-grid",
            )
        return codes
    target = np.zeros(grid.shape, np.uint8)
    reproject(
        codes,
        target,
        src_transform=transform,
        src_crs=crs,
        dst_transform=grid.transform,
        dst_crs=grid.crs,
        resampling=Resampling.nearest,
    )
    return target


def _class_index(labels: NDArray[np.uint8], codes: tuple[int, ...], path: str) -> NDArray[np.int64]:
    strange = sorted(set(np.unique(labels).tolist()) - {0, *codes})
    if strange:
        raise InputError(
            f"The labels `{path}` hold the codes {strange}; the classes have {list(codes)}.",
            "label-codes",
        )
    table = np.full(256, UNLABELLED, np.int64)
    for index, code in enumerate(codes):
        table[code] = index
    return table[labels]
