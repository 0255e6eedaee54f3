"""Which parameters a training moves, and how fast: groups of them, and the rate of every step."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from ...models.mamba import Mamba
from .schedule import Cycle

_FACTOR = "rate_factor"
_HELD = "held_until"


def make_optimizer(
    network: nn.Module,
    rate: float,
    decay: float,
    *,
    fresh: Collection[str] = (),
    fresh_rate: float = 0.0,
    held_until: float = 0.0,
) -> torch.optim.AdamW:
    """Return AdamW with the peak ``rate`` for the parameters of ``network`` that are trained.

    Those named in ``fresh`` start from random values while all others have learned before: their
    peak is ``fresh_rate``, and until step ``held_until`` they learn alone.
    """
    groups = parameter_groups(network, decay, fresh)
    for group in groups:
        is_fresh = group.pop("fresh")
        group[_FACTOR] = fresh_rate / rate if is_fresh else 1.0
        group[_HELD] = 0.0 if is_fresh or not fresh else held_until
    return torch.optim.AdamW(groups, lr=rate)


def set_rate(optimizer: torch.optim.Optimizer, cycle: Cycle, place: float) -> None:
    """Give every group of parameters the learning rate and the momentum of a place in the cycle."""
    rate, momentum = cycle.at(place)
    for group in optimizer.param_groups:
        group["lr"] = rate * group[_FACTOR] if place >= group[_HELD] else 0.0
        group["betas"] = (momentum, group["betas"][1])


def parameter_groups(
    network: nn.Module, decay: float, fresh: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return the parameters that are trained: weights with decay, and those that must not have it.

    Exempt are biases, scales, and what Mamba says of its own (``Mamba.undecayed``). Parameters
    named in ``fresh`` are in groups of their own, whose ``fresh`` is True.
    """
    states = {id(p) for m in network.modules() if isinstance(m, Mamba) for p in m.undecayed()}
    groups = []
    for is_fresh in (False, True):
        heavy, light = list[Tensor](), list[Tensor]()
        for name, parameter in network.named_parameters():
            if parameter.requires_grad and (name in fresh) == is_fresh:
                is_light = parameter.ndim <= 1 or id(parameter) in states
                (light if is_light else heavy).append(parameter)
        if heavy or light or not is_fresh:
            groups += [
                {"params": heavy, "weight_decay": decay, "fresh": is_fresh},
                {"params": light, "weight_decay": 0.0, "fresh": is_fresh},
            ]
    return groups
