"""How the Landsat model is trained: the same for validation and for the shipped weights."""

from __future__ import annotations

from typing import Any

import torch

from panloom.engine.training.crops import CropOptions, CropSource
from panloom.engine.training.loop import Clock, TrainingOptions, train
from panloom.engine.training.scenes import LabelledScene
from panloom.models.contract import FusionNetwork
from panloom.models.networks import build_network

from landsat_data import BANDS, CLASSES, RATIO  # isort: skip

NETWORK = "adcdnet"
ARGUMENTS: dict[str, Any] = {}
RADIOMETRY: dict[str, Any] = {"kind": "dark-object"}
NIR = 3
CROPS = CropOptions(crop_px=40, light=0.15, band=0.12, haze=0.03, stepped_bands=(NIR,))


def train_on(scenes: list[LabelledScene], steps: int, seed: int, name: str = "") -> FusionNetwork:
    """Return the network trained on ``scenes``; the same seed and machine give the same weights."""
    source = CropSource(scenes, RADIOMETRY, len(CLASSES), CROPS, seed)
    network = train(_build, source, TrainingOptions(steps=steps, seed=seed), Clock(100, name))
    assert isinstance(network, FusionNetwork)
    return network


def _build() -> torch.nn.Module:
    return build_network(NETWORK, ARGUMENTS, bands=len(BANDS), ratio=RATIO, classes=len(CLASSES))
