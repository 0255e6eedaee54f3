"""The temperature against a search over many, and where no search would do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from panloom.engine.training.calibration import LIMITS, calibrate, mean_nll


def samples(sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are ``sharpness`` times those by which the targets were drawn."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (4000, 4))
    chances = np.exp(log_softmax(logits, axis=1))
    targets = (chances.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    return logits * sharpness, targets


def nll(logits: np.ndarray, targets: np.ndarray, temperature: float) -> float:
    reached = log_softmax(logits / temperature, axis=1)[np.arange(len(targets)), targets]
    return float(-reached.mean())


@pytest.mark.parametrize("sharpness", [0.6, 1.0, 2.5])
def test_it_is_the_temperature_of_least_loss(sharpness: float) -> None:
    logits, targets = samples(sharpness)
    best = minimize_scalar(
        lambda t: nll(logits, targets, t), bounds=LIMITS, method="bounded", options={"xatol": 1e-9}
    )
    found = calibrate(torch.from_numpy(logits), torch.from_numpy(targets))
    assert found == pytest.approx(best.x, rel=1e-4)
    assert found == pytest.approx(sharpness, rel=0.1)
    assert mean_nll(torch.from_numpy(logits), torch.from_numpy(targets), found) == pytest.approx(
        best.fun
    )


def test_samples_that_are_all_right_or_all_wrong_stop_at_a_limit() -> None:
    logits, targets = torch.eye(3) * 5, torch.arange(3)
    assert calibrate(logits, targets) == pytest.approx(LIMITS[0])
    assert calibrate(-logits, targets) == pytest.approx(LIMITS[1])


def test_without_samples_nothing_changes() -> None:
    none = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)
    assert calibrate(*none) == 1.0
    assert mean_nll(*none, 1.0) == 0.0
