"""What learns at which rate, and what weight decay must leave alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from panloom.engine.training.optimizer import make_optimizer, parameter_groups, set_rate
from panloom.engine.training.schedule import Cycle
from panloom.models.contract import FusionNetwork
from panloom.models.dtm import AuxiliaryHeads
from panloom.models.networks import build_network

LAST = ("decoder.classify.weight", "decoder.classify.bias")


def small() -> FusionNetwork:
    arguments = {"width": 16, "deep_width": 16}
    return build_network("adcdnet", arguments, bands=3, ratio=2, classes=3)


def test_what_weight_decay_would_spoil_is_left_out_of_it() -> None:
    network = small()
    network.depth_heads = AuxiliaryHeads([8, 8], [8, 8], 8, 3, token_width=16)
    frozen = next(network.parameters()).requires_grad_(False)
    decayed, kept = parameter_groups(network, 0.02)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.02, 0.0)
    inside = [{id(p) for p in group["params"]} for group in (decayed, kept)]
    for name, parameter in network.named_parameters():
        if parameter is frozen:
            assert id(parameter) not in inside[0] | inside[1]
            continue
        spoiled = parameter.ndim <= 1 or name.endswith("A_log")
        assert id(parameter) in inside[spoiled], name


def rates(optimizer: torch.optim.Optimizer, parameter: Tensor) -> tuple[float, float, float]:
    """Return rate, momentum and weight decay of a parameter, which is in one group only."""
    (group,) = (g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    return group["lr"], group["betas"][0], group["weight_decay"]


@pytest.mark.parametrize("place", [0, 3, 9, 10, 55.5, 99])
def test_fresh_parameters_have_a_rate_of_their_own_and_a_start_alone(place: float) -> None:
    network = small()
    optimizer = make_optimizer(network, 1e-3, 0.02, fresh=LAST, fresh_rate=4e-3, held_until=10)
    set_rate(optimizer, Cycle(1e-3, 100), place)
    rate, momentum = Cycle(1e-3, 100).at(place)
    for name, parameter in network.named_parameters():
        decay = 0.0 if parameter.ndim <= 1 else 0.02
        expected = 4 * rate if name in LAST else rate if place >= 10 else 0.0
        assert rates(optimizer, parameter) == (pytest.approx(expected), momentum, decay), name


def test_without_fresh_parameters_all_follow_the_cycle_to_the_bit() -> None:
    network = small()
    optimizer = make_optimizer(network, 4e-3, 0.02, fresh_rate=1.0, held_until=50)
    for place in range(100):
        set_rate(optimizer, Cycle(4e-3, 100), place)
        rate, momentum = Cycle(4e-3, 100).at(place)
        found = {(g["lr"], g["betas"]) for g in optimizer.param_groups}
        assert found == {(rate, (momentum, 0.999))}
