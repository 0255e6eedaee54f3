"""A network that learns what can be learned, and a loop that ends as it was asked to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from panloom.engine.errors import PanloomError
from panloom.engine.training.crops import CropSource
from panloom.engine.training.loop import EpochEnd, TrainingOptions, train
from panloom.models.contract import FusionNetwork
from panloom.models.networks import build_network

from .test_crops import SPEC, STILL, make_scene


def small(width: int = 16) -> FusionNetwork:
    arguments = {"width": width, "deep_width": 16}
    return build_network("adcdnet", arguments, bands=3, ratio=2, classes=3)


def crops(seed: int) -> CropSource:
    return CropSource([make_scene("a", "a", 0, (0, 1, 2))], SPEC, 3, STILL, seed)


def learn(
    steps: int, seed: int, after_epoch: Callable[[EpochEnd], bool] = lambda end: True
) -> FusionNetwork:
    options = TrainingOptions(steps=steps, batch_size=4, seed=seed, epoch_steps=2)
    return train(small, crops(seed), options, after_epoch=after_epoch)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_network_learns_what_the_bands_say() -> None:
    network = learn(60, 0)
    batch = CropSource([make_scene("b", "b", 7, (0, 1, 2))], SPEC, 3, STILL, 3).batch(8)
    with torch.no_grad():
        logits = nn.functional.avg_pool2d(network(batch.ms, batch.pan), 2)
    known = batch.labels >= 0
    assert (logits.argmax(1)[known] == batch.labels[known]).float().mean() > 0.85


def test_the_same_seed_trains_the_same_weights() -> None:
    first, second, other = learn(6, 1), learn(6, 1), learn(6, 2)
    assert not first.training
    assert same(first, second)
    assert not same(first, other)


def test_reporting_can_stop_the_training() -> None:
    def stop(step: int, loss: float) -> None:
        assert np.isfinite(loss)
        if step == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(small, crops(0), TrainingOptions(steps=50, batch_size=2), stop)


def test_epochs_are_told_of_and_looking_at_them_changes_nothing() -> None:
    ends: list[EpochEnd] = []
    networks: list[FusionNetwork] = []

    def look(end: EpochEnd) -> bool:
        ends.append(end)
        networks.append(end.network())
        return True

    result = learn(5, 1, look)
    assert [(e.number, e.step, e.share) for e in ends] == [(1, 2, 0.4), (2, 4, 0.8), (3, 5, 1.0)]
    assert all(np.isfinite(e.loss) for e in ends)
    assert same(networks[-1], result)
    assert not same(networks[0], result)
    assert same(result, learn(5, 1))


def test_a_warm_mean_forgets_the_beginning_sooner() -> None:
    def distance(warm: bool) -> float:
        """Return how far the mean after few of many steps is from where the training began."""
        found: list[FusionNetwork] = []
        options = TrainingOptions(
            steps=2000, batch_size=2, seed=1, epoch_steps=6, warm_average=warm
        )
        torch.manual_seed(1)
        began = small()
        train(
            small, crops(1), options,
            after_epoch=lambda end: found.append(end.network()),  # type: ignore[func-returns-value]
        )  # fmt: skip
        pairs = zip(began.parameters(), found[0].parameters(), strict=True)
        return sum(float((a - b).detach().square().sum()) for a, b in pairs)

    assert distance(True) > 4 * distance(False)


def test_an_epoch_can_be_the_last() -> None:
    steps: list[int] = []
    options = TrainingOptions(steps=40, batch_size=2, epoch_steps=2)
    train(
        small, crops(0), options, lambda step, loss: steps.append(step),
        after_epoch=lambda end: end.number < 2,
    )  # fmt: skip
    assert steps == [0, 1, 2, 3]


def test_seconds_end_a_training_without_steps() -> None:
    shares: list[float] = []
    options = TrainingOptions(steps=None, batch_size=2, seconds=0.5)
    train(small, crops(0), options, place=shares.append)
    assert len(shares) >= 1
    assert shares[-1] == 1.0
    assert shares == sorted(shares)


def test_a_loss_that_is_no_number_is_a_sentence() -> None:
    source = crops(0)
    for scene in source.scenes:
        scene.ms[:] = np.nan
    with pytest.raises(PanloomError) as caught:
        train(small, source, TrainingOptions(steps=5, batch_size=2))
    assert str(caught.value) == (
        "The training diverged: at step 1 the loss was nan. Look for pixels of extreme value in "
        "the rasters that are not marked as nodata."
    )


def test_what_has_learned_before_waits_for_what_has_not() -> None:
    """In the first steps only the new last layer learns, afterwards all of it."""
    torch.manual_seed(0)
    began = small().state_dict()
    fresh = frozenset({"decoder.classify.weight", "decoder.classify.bias"})
    options = TrainingOptions(
        steps=8, batch_size=2, epoch_steps=4, settle_share=0.0, average_share=0.0,
        fresh=fresh, alone_share=0.5,
    )  # fmt: skip
    changed: list[set[str]] = []

    def look(end: EpochEnd) -> bool:
        now = end.network().state_dict()
        changed.append({name for name in began if not torch.equal(began[name], now[name])})
        return True

    train(small, crops(0), options, after_epoch=look)
    assert changed[0] == fresh
    assert {name for name, _ in small().named_parameters()} <= changed[1]
