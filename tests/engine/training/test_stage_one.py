"""Stage I trains the branches alone, stays alive by its own terms, and is stopped without them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from panloom.engine.errors import PanloomError
from panloom.engine.training.agreement import AgreementWeights
from panloom.engine.training.collapse import Check
from panloom.engine.training.crops import CropSource
from panloom.engine.training.scenes import LabelledScene
from panloom.engine.training.stage_one import StageOneOptions, StageOneRecord, train_stage_one
from panloom.engine.training.unlabelled_crops import unlabelled_crops
from panloom.models.contract import FusionNetwork
from panloom.models.networks import NETWORKS, build_network

from .test_crops import SPEC, STILL, make_scene

CROPS = replace(STILL, noise=0.05, haze=0.02)
QUICK = StageOneOptions(steps=3, batch_size=2, pixels=200, projection_width=16)


def landscape() -> LabelledScene:
    """Return a scene of smooth hills, each band and PAN a function of two of them."""
    scene = make_scene("a", "a", 0, (0, 1, 2))
    rows, cols = np.mgrid[:96, :112] / 96
    hills = np.sin(9 * rows + 4 * cols), np.cos(11 * cols - 5 * rows)
    pan = 100 + 40 * hills[0] + 20 * hills[1]
    bands = [60 + 30 * hills[0], 80 + 30 * hills[1], 90 - 20 * hills[0] * hills[1]]
    ms = np.stack([b.reshape(48, 2, 56, 2).mean(axis=(1, 3)) for b in bands])
    return replace(scene, ms=ms.astype(np.float32), pan=pan[None].astype(np.float32))


def network_of(name: str = "adcdnet", **arguments: Any) -> FusionNetwork:
    torch.manual_seed(0)
    sizes = {"width": 16, "deep_width": 16} if name == "adcdnet" else {}
    return build_network(name, {**sizes, **arguments}, bands=3, ratio=2, classes=3)


def crops(seed: int = 0) -> CropSource:
    return unlabelled_crops([landscape()], SPEC, CROPS, seed)


def learn(network: FusionNetwork, options: StageOneOptions = QUICK) -> StageOneRecord:
    return train_stage_one(network, crops(), options)


def states(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(network: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {n for n, t in network.state_dict().items() if not torch.equal(t, before[n])}


LONG = StageOneOptions(steps=60, batch_size=4, pixels=512, rate=6e-3, check_steps=5)


@pytest.mark.parametrize("prior", [True, False])
def test_features_stay_alive(prior: bool) -> None:
    checks: list[Check] = []
    record = train_stage_one(network_of(prior=prior), crops(), LONG, on_check=checks.append)
    assert record.checks == tuple(checks)
    assert [c.step for c in checks] == [*range(1, 60, 5), 60]
    first, last = checks[0], checks[-1]
    assert last.similarity < 0.5 * first.similarity
    for spread in (s for c in checks for s in (c.ms, c.pan)):
        assert spread.std > 0.5
        assert spread.rank > 0.65 * spread.channels


@pytest.mark.parametrize("prior", [True, False])
def test_without_the_terms_against_it_features_collapse_and_the_training_ends(prior: bool) -> None:
    alone = replace(LONG, weights=AgreementWeights(variance=0, covariance=0))
    steps: list[int] = []
    with pytest.raises(PanloomError) as caught:
        train_stage_one(
            network_of(prior=prior), crops(), alone, lambda step, loss: steps.append(step)
        )
    assert caught.value.code == "collapse"
    assert "features nearly equal everywhere: at step" in caught.value.message
    assert len(steps) < 59


@pytest.mark.parametrize("name", NETWORKS)
def test_only_encoders_change(name: str) -> None:
    network = network_of(name)
    before = states(network)
    learn(network)
    inside = {id(p) for e in network.encoders() for p in (*e.parameters(), *e.buffers())}
    named = [*network.named_parameters(), *network.named_buffers()]
    own = {n for n, t in named if id(t) in inside}
    found = changed(network, before)
    assert found <= own
    trained = {n for n, _ in network.named_parameters()} & own
    assert trained <= found
    assert network.training


def test_a_prior_is_frozen_afterwards_and_the_branches_are_as_they_were() -> None:
    network = network_of(prior=True)
    before = states(network)
    learn(network)
    found = changed(network, before)
    assert found
    assert all(n.startswith("prior.") for n in found)
    assert not any(p.requires_grad for p in network.encoders()[0].parameters())
    before = states(network)
    network.train()(*(torch.rand(2, c, s, s) for c, s in ((3, 16), (1, 32)))).sum().backward()
    assert not any(n.startswith("prior.") for n in changed(network, before))


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second, other = (network_of() for _ in range(3))
    assert learn(first).checks == learn(second).checks
    learn(other, replace(QUICK, seed=1))
    assert changed(first, states(second)) == set()
    assert changed(first, states(other))


def test_what_is_drawn_afterwards_does_not_depend_on_it() -> None:
    network = network_of()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    learn(network)
    assert torch.equal(torch.rand(3), expected)


def test_invalid_pixels_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    network, seen = network_of(), list[Tensor]()
    source = crops()
    batch = source.batch(2)
    batch.labels[:] = -1
    batch.labels[1, 4, 6:9] = 0
    monkeypatch.setattr(source, "batch", lambda size: batch)
    marks = torch.zeros(2, 16, 16, 16)
    marks[1, :, 4, 6:9] = torch.arange(1.0, 4.0)

    def encode(ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        features = marks[: len(ms), :, : ms.shape[2], : ms.shape[3]] * ms.new_ones(1)
        seen.append(features)
        return features.requires_grad_(), features.requires_grad_()

    monkeypatch.setattr(network, "encode", encode)
    record = train_stage_one(network, source, replace(QUICK, steps=1))
    assert record.checks[0].ms.std == pytest.approx(1.0)  # of 1, 2 and 3, in every channel
    assert record.checks[0].ms.rank == pytest.approx(1.0)


def test_reporting_can_stop_it() -> None:
    def stop(step: int, loss: float) -> None:
        if step == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train_stage_one(network_of(), crops(), replace(QUICK, steps=50), stop)


def test_a_network_without_encoders_has_no_stage_one(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of()
    monkeypatch.setattr(network, "encoders", tuple)
    with pytest.raises(ValueError, match="AdcdNet has no encoders, so no stage I"):
        learn(network)


def test_the_record_of_a_card_is_plain() -> None:
    record = learn(network_of())
    body = record.to_json()
    assert body["steps"] == 3
    assert (body["first"]["step"], body["last"]["step"]) == (1, 3)
    assert set(body["last"]["pan"]) == {"std", "least_std", "rank", "channels"}
