"""How a network is trained on labelled scenes: the same for validation and for shipped weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from methods import NetworkMethod
from torch import Tensor

from panloom.engine.training.crops import CropOptions, CropSource
from panloom.engine.training.loop import SETTLE_SHARE, Clock, TrainingOptions, train
from panloom.engine.training.scenes import LabelledScene
from panloom.engine.training.stage_one import StageOneOptions, train_stage_one
from panloom.engine.training.unlabelled_crops import unlabelled_crops
from panloom.models.contract import FusionNetwork
from panloom.models.networks import build_network

RADIOMETRY: dict[str, Any] = {"kind": "dark-object"}
NIR = 3
FINE_TUNE_RATE = 2e-3
"""Peak learning rate of trained weights; a last layer that starts anew has that of a new network.

Chosen on pairs 01 and 32 and on a part of Liverpool's training rectangles, with other seeds than
those of the table.
"""
CROPS = CropOptions(light=0.15, band=0.12, haze=0.03, stepped_bands=(NIR,))


def train_on(
    scenes: list[LabelledScene],
    method: NetworkMethod,
    seed: int,
    *,
    classes: int,
    crops: CropOptions = CROPS,
    name: str = "",
    watch: Callable[[int, FusionNetwork], None] = lambda step, network: None,
) -> FusionNetwork:
    """Return the network trained on ``scenes``; the same seed and machine give the same weights.

    ``watch`` is given the network in training after every step, from 0, and must not change it.
    """
    built = list[FusionNetwork]()
    clock = Clock(100, name)
    crops = replace(crops, crop_px=method.crop_px)
    source = CropSource(scenes, RADIOMETRY, classes, crops, seed)

    def build() -> FusionNetwork:
        network = build_network(
            method.network,
            {**method.arguments, **method.training_only},
            bands=len(scenes[0].ms),
            ratio=scenes[0].ratio,
            classes=classes,
        )
        if method.stage_one_steps:
            _stage_one(network, scenes, crops, method.stage_one_steps, seed)
        built.append(network)
        return network

    def report(step: int, loss: float) -> None:
        clock(step, loss)
        watch(step, built[0])

    options = TrainingOptions(
        steps=method.steps,
        seed=seed,
        average_share=method.average_share,
        warm_average=method.warm_average,
    )
    return train(build, source, options, report)


def fine_tune_on(
    scenes: list[LabelledScene],
    state: dict[str, Tensor],
    method: NetworkMethod,
    seed: int,
    *,
    classes: int,
    crops: CropOptions,
    same_classes: bool,
) -> FusionNetwork:
    """Return a network that starts from ``state``; other classes get a new last layer.

    The same classes keep the statistics of batch normalization too, other ones adapt them.
    """
    source = CropSource(scenes, RADIOMETRY, classes, replace(crops, crop_px=method.crop_px), seed)
    head = () if same_classes else ("decoder.classify.weight", "decoder.classify.bias")

    def build() -> FusionNetwork:
        bands, ratio = len(scenes[0].ms), scenes[0].ratio
        network = build_network(
            method.network, method.arguments, bands=bands, ratio=ratio, classes=classes
        )
        kept = {k: v for k, v in state.items() if k not in head}
        network.load_state_dict({**network.state_dict(), **kept})
        return network

    options = TrainingOptions(
        steps=method.steps,
        seed=seed,
        rate=FINE_TUNE_RATE,
        settle_share=0.0 if same_classes else SETTLE_SHARE,
        fresh=frozenset(head),
    )
    return train(build, source, options, Clock(100, "fine-tuned"))


def _stage_one(
    network: FusionNetwork,
    scenes: list[LabelledScene],
    crops: CropOptions,
    steps: int,
    seed: int,
) -> None:
    source = unlabelled_crops(scenes, RADIOMETRY, crops, seed)
    record = train_stage_one(network, source, StageOneOptions(steps=steps, seed=seed))
    print("stage I", record.to_json(), flush=True)
