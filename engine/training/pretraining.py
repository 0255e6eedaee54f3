"""Stage I as a part of ``panloom train``: how long it may take, and what the user hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch

from ...models.contract import FusionNetwork
from ..errors import InputError
from ..events import Message, Progress
from ..progress import Report
from .crops import CropOptions, CropSource
from .plan import ModelPlan
from .scenes import LabelledScene
from .stage_one import StageOneOptions, train_stage_one
from .unlabelled_crops import unlabelled_crops

SHARE = 0.3
"""Share of a time limit that stage I may take."""

_LEAST_STEPS = 20


def pretrain(
    network: FusionNetwork,
    plan: ModelPlan,
    scenes: list[LabelledScene],
    crops: CropOptions,
    options: StageOneOptions,
    seconds: float | None,
    device: torch.device,
    report: Report,
) -> tuple[dict[str, Any], float | None]:
    """Run stage I on ``network``, in place; return its record for the card, and the seconds left.

    It takes about a third of ``seconds`` at most. Branches of a base model have learned already and
    are left alone. Raises InputError for a network that has no branches to train by themselves, and
    PanloomError where what they learn collapses.
    """
    if plan.base is not None:
        report(Message("Stage I is left out: the base model's branches have learned already."))
        return {}, seconds
    if not network.encoders():
        raise InputError(
            f"Network `{plan.choice.name}` has no branches that stage I could train.",
            "no-stage-one",
            "Leave `--stage1` off, or choose another network.",
        )

    began = time.monotonic()

    def source() -> CropSource:
        return unlabelled_crops(scenes, plan.radiometry, crops, options.seed)

    if seconds is not None:
        options = _in_time(network, source, options, SHARE * seconds, device)

    def tell(step: int, loss: float) -> None:
        report(Progress((step + 1) / options.steps, "stage I: learning from unlabelled pixels"))

    record = train_stage_one(network, source(), options, tell, device=device)
    last = record.checks[-1]
    report(
        Message(
            f"Stage I: {record.steps} steps on unlabelled pixels, loss {record.checks[0].loss:.3f} "
            f"to {last.loss:.3f}."
        )
    )
    left = None if seconds is None else max(0.0, seconds - (time.monotonic() - began))
    return record.to_json(), left


def _in_time(
    network: FusionNetwork,
    source: Callable[[], CropSource],
    options: StageOneOptions,
    seconds: float,
    device: torch.device,
) -> StageOneOptions:
    """Return the options with as many steps as fit, by the time that a few of them take."""
    trial = replace(options, steps=3)
    began = time.monotonic()
    train_stage_one(deepcopy(network), source(), trial, device=device)
    step_s = (time.monotonic() - began) / trial.steps
    return replace(options, steps=max(_LEAST_STEPS, min(options.steps, int(seconds / step_s))))
