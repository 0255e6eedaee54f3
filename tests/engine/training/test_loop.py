"""The loss against its formula, and a network that learns what can be learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from panloom.engine.training.crops import CropSource
from panloom.engine.training.loop import TrainingOptions, balanced_loss, train
from panloom.models.networks import build_network

from .test_crops import SPEC, STILL, make_scene


def test_the_loss_weighs_a_class_by_the_root_of_its_pixels() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 8, 8))
    labels = rng.choice([-1, 0, 0, 0, 2], (2, 4, 4))
    counts = [(labels == k).sum() for k in range(3)]
    total = weight = 0.0
    for b, row, col in np.ndindex(2, 8, 8):
        k = labels[b, row // 2, col // 2]
        if k >= 0:
            scores = logits[b, :, row, col]
            loss = np.log(np.exp(scores).sum()) - scores[k]
            total += loss / np.sqrt(counts[k])
            weight += 1 / np.sqrt(counts[k])
    found = balanced_loss(torch.from_numpy(logits), torch.from_numpy(labels))
    assert float(found) == pytest.approx(total / weight)


def learn(steps: int, seed: int) -> nn.Module:
    scenes = [make_scene("a", "a", 0, (0, 1, 2))]
    return train(
        lambda: build_network(
            "adcdnet", {"width": 16, "deep_width": 16}, bands=3, ratio=2, classes=3
        ),
        CropSource(scenes, SPEC, 3, STILL, seed),
        TrainingOptions(steps=steps, batch_size=4, seed=seed),
    )


def test_a_network_learns_what_the_bands_say() -> None:
    network = learn(60, 0)
    batch = CropSource([make_scene("b", "b", 7, (0, 1, 2))], SPEC, 3, STILL, 3).batch(8)
    with torch.no_grad():
        logits = nn.functional.avg_pool2d(network(batch.ms, batch.pan), 2)
    known = batch.labels >= 0
    assert (logits.argmax(1)[known] == batch.labels[known]).float().mean() > 0.85


def test_the_same_seed_trains_the_same_weights() -> None:
    first, second, other = learn(3, 1), learn(3, 1), learn(3, 2)
    assert not first.training
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_reporting_can_stop_the_training() -> None:
    def stop(step: int, loss: float) -> None:
        assert np.isfinite(loss)
        if step == 1:
            raise InterruptedError

    scenes = [make_scene("a", "a", 0, (0, 1, 2))]
    with pytest.raises(InterruptedError):
        train(
            lambda: build_network("adcdnet", {"width": 16}, bands=3, ratio=2, classes=3),
            CropSource(scenes, SPEC, 3, STILL, 0),
            TrainingOptions(steps=50, batch_size=2),
            stop,
        )
