"""What is compared: the networks with their arguments, and the yardsticks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from baselines import CLASSIFIERS, SCALINGS

from panloom.models.fusion import FUSIONS

STEPS = 300
"""Steps of a training in comparisons; the shipped model is trained longer."""
CROP_PX = 32
"""MS pixels of a training crop's side in comparisons."""


@dataclass(frozen=True)
class NetworkMethod:
    """A network to train: ``arguments`` are kept, ``training_only`` ones are gone afterwards.

    With ``stage_one_steps`` its branches, or its prior, are first trained without labels.
    ``average_share`` and ``warm_average`` are those of ``TrainingOptions``.
    """

    network: str = "adcdnet"
    arguments: dict[str, Any] = field(default_factory=dict)
    training_only: dict[str, Any] = field(default_factory=dict)
    stage_one_steps: int = 0
    steps: int = STEPS
    crop_px: int = CROP_PX
    average_share: float = 0.1
    warm_average: bool = False


@dataclass(frozen=True)
class BaselineMethod:
    """A pixel classifier on bands, PAN texture and indices."""

    classifier: str
    scaling: str


FUSION_METHODS = {
    "adcdnet" if f == "concat" else f"adcdnet-{f}": NetworkMethod(arguments={"fusion": f})
    for f in FUSIONS
}
NETWORK_METHODS = {n: NetworkMethod(n) for n in ("cafmnet", "danet", "dsnet", "mscn")}
ABLATIONS = {
    "adcdnet-without-dia": NetworkMethod(arguments={"dia": False}),
    "danet-heads": NetworkMethod("danet", training_only={"branch_heads": True}),
    "adcdnet-dtm": NetworkMethod(training_only={"depth_heads": True}),
    "adcdnet-stage1": NetworkMethod(arguments={"prior": True}, stage_one_steps=150),
    "adcdnet-stage1-dtm": NetworkMethod(
        arguments={"prior": True}, training_only={"depth_heads": True}, stage_one_steps=150
    ),
}
SHIPPED = NetworkMethod(steps=1000, crop_px=40)
"""The recipe of ``landsat-5class``: the decay of its mean of weights is 0.98."""
AVERAGES = {
    "landsat-5class-last": replace(SHIPPED, average_share=0.0),
    "landsat-5class-mean-200": replace(SHIPPED, average_share=0.2),
    "landsat-5class-mean-400": replace(SHIPPED, average_share=0.4, warm_average=True),
}
"""That training with other means of its weights: their decay is 0.5, 0.99, and 0.995."""
BASELINES = {f"{c}-{s}": BaselineMethod(c, s) for c in CLASSIFIERS for s in SCALINGS}
METHODS: dict[str, NetworkMethod | BaselineMethod] = {
    "landsat-5class": SHIPPED,
    **AVERAGES,
    **FUSION_METHODS,
    **NETWORK_METHODS,
    **ABLATIONS,
    **BASELINES,
}
