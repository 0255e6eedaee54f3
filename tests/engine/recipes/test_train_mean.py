"""What ``panloom train`` measures and keeps is the mean of the weights, not the latest ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from panloom.engine.recipes import train
from panloom.engine.sample.pair import SamplePair
from panloom.engine.training.validation import Validation
from panloom.engine.training.weight_mean import WeightMean
from panloom.models.bundle import load_bundle

from .training_samples import options, silent

pytestmark = pytest.mark.usefixtures("short_epochs")

EPOCHS, EPOCH_STEPS = 3, 2


def weights(network: nn.Module) -> np.ndarray:
    """Return a copy of all parameters, one after the other, in float64."""
    found = sorted(network.named_parameters())
    return np.concatenate([p.detach().double().numpy().ravel() for _, p in found])


def test_validation_sees_the_mean_and_the_best_mean_is_kept(
    pair: SamplePair, polygons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after, seen = list[np.ndarray](), list[np.ndarray]()
    take, evaluate = WeightMean.take, Validation.evaluate

    def watched_take(self: WeightMean, network: Any, step: int, steps: float) -> None:
        after.append(weights(network))
        take(self, network, step, steps)

    def watched_evaluate(self: Validation, network: Any, *rest: Any, **more: Any) -> Any:
        seen.append(weights(network))
        return evaluate(self, network, *rest, **more)

    monkeypatch.setattr(WeightMean, "take", watched_take)
    monkeypatch.setattr(Validation, "evaluate", watched_evaluate)
    model = tmp_path / "m.safetensors"
    result = train.run(options(pair, polygons, model, epochs=EPOCHS), silent)

    expected, mean = list[np.ndarray](), after[0]
    for step, now in enumerate(after):
        decay = min(0.5, (1 + step) / (10 + step))  # 0.5 is the least decay, of few steps
        mean = now if step == 0 else decay * mean + (1 - decay) * now
        if (step + 1) % EPOCH_STEPS == 0:
            expected.append(mean)
    assert len(after) == EPOCHS * EPOCH_STEPS
    for number in range(EPOCHS):
        assert np.abs(seen[number] - expected[number]).max() < 1e-6
        assert np.abs(seen[number] - after[(number + 1) * EPOCH_STEPS - 1]).max() > 1e-5
    best = expected[result.summary["best_epoch"] - 1]
    kept = weights(load_bundle(model).network)
    assert len(seen) == EPOCHS + 1
    assert np.abs(seen[-1] - best).max() < 1e-6
    assert np.array_equal(kept, seen[-1])
