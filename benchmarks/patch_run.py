"""The engine's whole run over a made-up scene, from reading to class codes, for `patchwise.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine

from panloom.engine.device import Device
from panloom.engine.patchwise import PATCH_TILE_PX
from panloom.engine.predict import Predictor
from panloom.engine.radiometry import fit_radiometry
from panloom.engine.scene.pair import ScenePair
from panloom.engine.tiling import default_tile_px, plan_tiles
from panloom.models.bundle import ModelBundle
from panloom.models.card import Band, ModelCard
from panloom.models.classes import ClassScheme, LandClass
from panloom.models.networks import build_network

SIDE_PX = 256
BANDS, RATIO = 4, 4
CARD = ModelCard(
    name="patchwise",
    title="",
    network="adcdnet_patch",
    arguments={},
    bands=tuple(Band(role, 0.5) for role in ("blue", "green", "red", "nir")),
    ratio=RATIO,
    gsd_range_m=(1.0, 10.0),
    radiometry={"kind": "dark-object"},
    classes=ClassScheme(tuple(LandClass(n, f"Class {n}", "#808080") for n in range(1, 8))),
)


def whole_run(folder: Path, evaluation: str) -> Callable[[], int]:
    """Return a function that classifies part of the scene and says how many MS pixels it has.

    Dense: all of it, in tiles of the usual size. Patch by patch: one tile of those used for that.
    """
    pair = ScenePair.open(*_scene(folder), ratio=RATIO)
    sample = pair.sample()
    network = build_network(CARD.network, {}, bands=BANDS, ratio=RATIO, classes=7).eval()
    predictor = Predictor(
        ModelBundle(CARD, network),
        fit_radiometry(CARD.radiometry, sample.ms, sample.pan),
        Device(torch.device("cpu"), ""),
        evaluation=evaluation,
    )
    tile_px = PATCH_TILE_PX if evaluation == "patch" else default_tile_px(8, is_cpu=True)
    tiles = plan_tiles(SIDE_PX, SIDE_PX, tile_px, network.halo_px, network.lattice_px)
    part = tiles[:1] if evaluation == "patch" else tiles

    def run() -> int:
        written = [prediction.tile.write for prediction in predictor.predict(pair, part)]
        return sum(window.width * window.height for window in written)

    return run


def _scene(folder: Path) -> tuple[str, str]:
    """Write MS and PAN of noise, unless they are there, and return their paths."""
    rng = np.random.default_rng(0)
    paths = folder / "ms.tif", folder / "pan.tif"
    for path, bands, scale in zip(paths, (BANDS, 1), (1, RATIO), strict=True):
        if path.exists():
            continue
        side = SIDE_PX * scale
        with rasterio.open(
            path, "w", driver="GTiff", width=side, height=side, count=bands, dtype="uint16",
            crs="EPSG:32630", transform=Affine(2 / scale, 0, 5e5, 0, -2 / scale, 5e6), tiled=True,
        ) as dataset:  # fmt: skip
            dataset.write(rng.integers(200, 2000, (bands, side, side)).astype(np.uint16))
    return str(paths[0]), str(paths[1])
