"""Scenes of one pixel, one row, one tile and a little more: the map is that of the whole scene.

The reference mirrors the scene with numpy, scales it with the card's numbers, and runs the network
once over all of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray

from panloom.engine.recipes.classify import ClassifyOptions, run
from panloom.models.bundle import save_model
from panloom.models.card import Band, ModelCard
from panloom.models.classes import ClassScheme, LandClass
from panloom.models.contract import FusionNetwork
from panloom.models.networks import build_network

BANDS, RATIO, TILE = 2, 2, 16
CODES = (4, 9, 200)
OFFSET, SCALE = 100.0, 0.01
SIZES = [
    (1, 1), (1, 40), (40, 1), (2, 3), (TILE - 1, TILE - 1), (TILE, TILE), (TILE + 1, TILE + 1),
    (TILE, 2 * TILE + 1),
]  # fmt: skip


@pytest.fixture(scope="module")
def network() -> FusionNetwork:
    torch.manual_seed(3)
    network = build_network("adcdnet", {}, bands=BANDS, ratio=RATIO, classes=len(CODES)).eval()
    with torch.no_grad():
        network.decoder.classify.weight.mul_(50)  # type: ignore[union-attr, operator]
    return network


@pytest.fixture(scope="module")
def model(network: FusionNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    card = ModelCard(
        name="random", title="", network="adcdnet", arguments={},
        bands=tuple(Band(f"band{n}", 0.5) for n in range(BANDS)), ratio=RATIO,
        gsd_range_m=(1.0, 60.0),
        radiometry={
            "kind": "fixed", "ms_offset": [OFFSET] * BANDS, "ms_scale": [SCALE] * BANDS,
            "pan_offset": OFFSET, "pan_scale": SCALE, "limits": [-6, 6],
        },
        classes=ClassScheme(tuple(LandClass(c, f"Class {c}", "#808080") for c in CODES)),
    )  # fmt: skip
    save_model(path, network, card)
    return path


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_map_is_that_of_the_whole_scene(
    network: FusionNetwork, model: Path, tmp_path: Path, size: tuple[int, int], runtime: str
) -> None:
    rng = np.random.default_rng(5)
    ms = rng.integers(50, 250, (BANDS, *size), dtype=np.uint16)
    pan = rng.integers(50, 250, (1, RATIO * size[0], RATIO * size[1]), dtype=np.uint16)
    _write(tmp_path / "ms.tif", ms, RATIO)
    _write(tmp_path / "pan.tif", pan, 1)
    options = ClassifyOptions(
        ms=str(tmp_path / "ms.tif"), pan=str(tmp_path / "pan.tif"),
        output=str(tmp_path / "map.tif"), model=str(model), tile_px=TILE, runtime=runtime,
    )  # fmt: skip
    run(options, lambda event: None)
    with rasterio.open(options.output) as dataset:
        found = dataset.read(1)
    logits = _whole(network, ms, pan)
    first, second = np.sort(logits, axis=0)[-2:][::-1]
    sure = first - second > 1e-3  # the runtime rounds its own way
    assert sure.mean() > 0.9
    assert min(size) < TILE or len(np.unique(found)) > 1
    np.testing.assert_array_equal(found[sure], np.array(CODES)[logits.argmax(axis=0)][sure])


def _whole(network: FusionNetwork, ms: NDArray[np.uint16], pan: NDArray[np.uint16]) -> NDArray:
    """Return logits (K, r·h, r·w) of the mirrored scene."""
    halo = network.halo_px + 1
    images = [
        np.pad((x.astype(np.float32) - OFFSET) * SCALE, ((0, 0), (edge, edge), (edge, edge)), how)
        for x, edge, how in ((ms, halo, "reflect"), (pan, RATIO * halo, "reflect"))
    ]
    with torch.inference_mode():
        logits = network(*(torch.from_numpy(x)[None] for x in images))[0].numpy()
    return logits[:, RATIO * halo : -RATIO * halo, RATIO * halo : -RATIO * halo]


def _write(path: Path, image: NDArray[np.uint16], pixel_m: int) -> None:
    count, height, width = image.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype="uint16",
        crs="EPSG:32633", transform=Affine(pixel_m * 5, 0, 500_000, 0, -pixel_m * 5, 5_000_000),
    ) as dataset:  # fmt: skip
        dataset.write(image)
