"""The mean of the weights, against its formula written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from panloom.engine.training.crops import CropSource
from panloom.engine.training.loop import TrainingOptions, train
from panloom.engine.training.weight_mean import WeightMean
from panloom.models.contract import FusionNetwork
from panloom.models.networks import build_network

from .test_crops import SPEC, STILL, make_scene

State = dict[str, np.ndarray]


class Little(FusionNetwork):
    """A layer with statistics, and something that only training has."""

    bands, ratio, classes, halo_px, lattice_px = 1, 1, 2, 0, 1

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.mix: nn.Module | None = nn.Linear(4, 2)

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        return self.norm(ms)

    def finish(self) -> None:
        self.mix = None


def state(network: nn.Module) -> State:
    """Return a copy of all weights and statistics that are no counts, in float64."""
    found = network.state_dict().items()
    return {n: t.detach().double().numpy().copy() for n, t in found if t.is_floating_point()}


def mean(states: list[State], decays: list[float]) -> State:
    """Return the mean as a weighted sum, which starts from the weights after the first step.

    Step s counts 1 − dₛ, the first one 1, times the decays of all steps after it.
    """
    shares = [1.0 if s == 0 else 1.0 - d for s, d in enumerate(decays)]
    weights = [share * np.prod(decays[s + 1 :]) for s, share in enumerate(shares)]
    assert sum(weights) == pytest.approx(1.0, abs=1e-12)
    return {n: sum(w * s[n] for w, s in zip(weights, states, strict=True)) for n in states[0]}


def assert_equal(found: State, expected: State, names: set[str]) -> None:
    assert set(found) == names
    for name in names:
        assert np.abs(found[name] - expected[name]).max() < 2e-6, name


RISING = [1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 7 / 16, 8 / 17]


@pytest.mark.parametrize(
    ("share", "warm", "decays"),
    [
        (0.1, False, [0.98] * 10),
        (0.2, False, [0.99] * 10),
        (0.0, False, [0.5] * 10),
        (0.1, True, [*RISING, 9 / 18, 10 / 19]),
        (0.001, True, [*RISING, 0.5, 0.5]),
    ],
)
def test_the_mean_is_its_formula(share: float, warm: bool, decays: list[float]) -> None:
    """Of weights and of the statistics of batch normalization, over the first 10 of 1,000 steps."""
    torch.manual_seed(0)
    network, states = Little(), list[State]()
    averaged = WeightMean(network, share, warm=warm)
    for step in range(10):
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.data = torch.randn_like(tensor)
        states.append(state(network))
        averaged.take(network, step, 1000)
    found = averaged.finished()
    assert not found.training
    kept = {"norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"}
    assert_equal(state(found), mean(states, decays), kept)
    assert network.mix is not None


def test_looking_at_the_mean_does_not_change_it() -> None:
    network = Little()
    averaged = WeightMean(network, 0.1)
    averaged.take(network, 0, 100)
    before = state(averaged.finished())
    averaged.finished().norm.weight.data += 1.0  # type: ignore[union-attr, operator]
    network.norm.bias.data += 1.0
    assert_equal(state(averaged.finished()), before, set(before))


def test_a_training_gives_the_mean_of_the_weights_after_each_step() -> None:
    built, states = list[FusionNetwork](), list[State]()

    def build() -> FusionNetwork:
        arguments = {"width": 8, "deep_width": 8}
        built.append(build_network("adcdnet", arguments, bands=3, ratio=2, classes=3))
        return built[0]

    source = CropSource([make_scene("a", "a", 0, (0, 1, 2))], SPEC, 3, STILL, 0)
    options = TrainingOptions(steps=60, batch_size=2, average_share=0.5, settle_share=0.1)
    found = train(build, source, options, lambda step, loss: states.append(state(built[0])))
    expected = mean(states, [1 - 2 / 30] * 60)
    assert_equal(state(found), expected, set(expected))
    last = state(built[0])
    assert max(np.abs(last[name] - expected[name]).max() for name in last) > 1e-3
