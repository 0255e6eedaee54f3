"""Networks that nothing has trained, whose logits still scatter as a trained one's do."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from panloom.engine.radiometry import Radiometry
from panloom.engine.runtimes.map_step import MapForm, MapStep
from panloom.engine.scene.pair import TileData
from panloom.models.card import Band, ModelCard
from panloom.models.classes import ClassScheme, LandClass
from panloom.models.contract import FusionNetwork
from panloom.models.folding import fold_batch_norm
from panloom.models.fusion import FUSIONS
from panloom.models.networks import NETWORKS, build_network

BANDS, RATIO, CODES = 4, 2, (3, 7, 12, 200)
LOOK = Radiometry((500.0,) * BANDS, (1e-4,) * BANDS, 300.0, 1e-4, (-1.0, 6.0))
EACH_NETWORK = [(name, "") for name in NETWORKS]
"""Between them they have every fusion that looks at neighborhoods."""
KINDS = EACH_NETWORK + [("adcdnet", f) for f in FUSIONS if f != "concat"]
SELECTING = [("mscn", ""), ("adcdnet", "msc")]
"""Networks that select the largest of many numbers: a last bit changes what they select."""


@lru_cache(maxsize=2)
def network_of(name: str, fusion: str) -> FusionNetwork:
    """Return a network ready for inference, its normalization and logits of usual size."""
    torch.manual_seed(0)
    arguments = {"fusion": fusion} if fusion else {}
    network = build_network(name, arguments, bands=BANDS, ratio=RATIO, classes=len(CODES)).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.momentum = None  # the plain mean over all batches
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0.1, 0.3)
    with torch.no_grad():
        for number in range(3):
            tile = tile_of(48, 48, seed=number)
            masks = (torch.from_numpy(m)[None, None] for m in (tile.ms_valid, tile.pan_valid))
            images = (torch.from_numpy(i)[None] for i in (tile.ms, tile.pan))
            logits = network(*LOOK.apply(*images, *masks))
        last = [m for m in network.modules() if isinstance(m, nn.Conv2d)][-1]
        assert last.out_channels == len(CODES)
        assert last.bias is not None
        spread, mean = torch.std_mean(logits, (0, 2, 3))
        last.weight *= (3 / spread)[:, None, None, None]
        last.bias.copy_((last.bias - mean) * 3 / spread)
    fold_batch_norm(network.eval())
    return network


def card_of(name: str, fusion: str) -> ModelCard:
    """Return a card as a model file of that network would have."""
    return ModelCard(
        name="random", title="", network=name, arguments={"fusion": fusion} if fusion else {},
        bands=tuple(Band(str(n), 0.5) for n in range(BANDS)), ratio=RATIO,
        gsd_range_m=(1.0, 60.0), radiometry={"kind": "dark-object"},
        classes=ClassScheme(tuple(LandClass(c, f"Class {c}", "#808080") for c in CODES)),
        weights_sha256=f"{name}-{fusion}",
    )  # fmt: skip


def halo_of(network: FusionNetwork) -> int:
    """Return the halo as tile plans have it: in whole steps of the lattice."""
    return -(-network.halo_px // network.lattice_px) * network.lattice_px


def step_of(network: nn.Module, margin_px: int, grid: str = "pan") -> MapStep:
    """Return the map step that a run of ``network`` has."""
    return MapStep(network, MapForm(RATIO, grid, margin_px, CODES, LOOK.limits, 1.3)).eval()


def tile_of(height: int, width: int, *, seed: int = 9, valid: float = 1.0) -> TileData:
    """Return fields of a landscape in DN; part of it flat, and a share of it not valid."""
    rng = np.random.default_rng(seed)
    rows, cols = -(-height // 6), -(-width // 6)
    fields = np.kron(rng.uniform(1e3, 1e4, (BANDS + 1, rows, cols)), np.ones((6, 6)))
    fields = fields[:, :height, :width]
    ms = fields[:-1] + rng.normal(0, 200, (BANDS, height, width))
    pan = np.kron(fields[-1:], np.ones((RATIO, RATIO)))
    pan = pan + rng.normal(0, 200, pan.shape)
    ms[:, : height // 3, : width // 3] = 5000
    pan[:, : RATIO * (height // 3), : RATIO * (width // 3)] = 5000
    known = rng.random(pan.shape[1:]) < valid
    return TileData(ms.astype(np.float32), pan.astype(np.float32), known, known, known)


def crop(tile: TileData, row: int, col: int, height: int, width: int) -> TileData:
    """Return a window of a tile, in MS pixels."""
    coarse = np.s_[..., row : row + height, col : col + width]
    fine = np.s_[..., RATIO * row : RATIO * (row + height), RATIO * col : RATIO * (col + width)]
    masks: list[NDArray[Any]] = [tile.ms_valid[fine], tile.pan_valid[fine], tile.valid[fine]]
    return TileData(tile.ms[coarse].copy(), tile.pan[fine].copy(), *(m.copy() for m in masks))
