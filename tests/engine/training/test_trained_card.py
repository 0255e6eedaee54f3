"""What a trained model says of itself."""

from __future__ import annotations

import pytest
import torch

from panloom.engine.assessment.confusion import ConfusionMatrix
from panloom.engine.training.calibration import LIMITS
from panloom.engine.training.trained_card import map_temperature
from panloom.engine.training.validation import Evaluation


@pytest.mark.parametrize(("sign", "expected"), [(1, 1.0), (-1, LIMITS[1])])
def test_perfect_samples_make_a_model_no_surer_of_a_map(sign: int, expected: float) -> None:
    counts = ConfusionMatrix((1, 2, 3), ("a", "b", "c"), torch.eye(3, dtype=torch.int64).numpy())
    found = Evaluation(counts, sign * 5 * torch.eye(3), torch.arange(3))
    assert (found.temperature < 1) == (sign == 1)
    assert map_temperature(found) == pytest.approx(expected, abs=1e-3)


def test_without_validation_nothing_is_calibrated() -> None:
    assert map_temperature(None) == 1.0
