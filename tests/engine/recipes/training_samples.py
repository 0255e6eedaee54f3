"""Polygons of known classes on a sample pair, from its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely

from panloom.engine.events import Event
from panloom.engine.recipes.train import TrainOptions
from panloom.engine.sample.pair import TRUTH_CLASSES, SamplePair, write_sample_pair

SIDE_PX = 8


def make_pair(folder: Path, size_px: int = 96, seed: int = 5) -> SamplePair:
    return write_sample_pair(folder, size_ms_px=(size_px, size_px), seed=seed)


def make_polygons(
    pair: SamplePair, codes: tuple[int, ...] = (1, 2, 3, 4, 5), per_class: int = 6
) -> Path:
    """Write squares that lie in one class, with their class as ``code`` and ``cover``."""
    with rasterio.open(pair.truth) as file:
        truth, transform, crs = file.read(1), file.transform, file.crs
    rng = np.random.default_rng(0)
    rows = []
    for code in codes:
        starts = np.argwhere(_share(truth == code) > 0.95)
        assert len(starts) > 0, f"no square of class {code}"
        for row, col in starts[rng.permutation(len(starts))[:per_class]]:
            corners = transform @ (col, row), transform @ (col + SIDE_PX, row + SIDE_PX)
            rows.append((code, TRUTH_CLASSES.names[code], shapely.box(*corners[0], *corners[1])))
    found, names, squares = zip(*rows, strict=True)
    path = pair.ms.with_name(f"polygons{len(codes)}.gpkg")
    layer = geopandas.GeoDataFrame({"code": found, "cover": names}, geometry=list(squares), crs=crs)
    layer.to_file(path)
    return path


def options(pair: SamplePair, samples: Path, output: Path, **more: Any) -> TrainOptions:
    given: dict[str, Any] = {"class_field": "cover", "epochs": 2, "device": "cpu", **more}
    return TrainOptions(
        output=str(output), ms=str(pair.ms), pan=str(pair.pan), samples=str(samples), **given
    )


def silent(event: Event) -> None:
    """Hear nothing."""


def _share(inside: np.ndarray) -> np.ndarray:
    """Return the share of True in the square that starts at each pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(inside, (SIDE_PX, SIDE_PX))
    return windows.mean(axis=(2, 3))
