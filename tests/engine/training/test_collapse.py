"""Spread and rank against numpy, and the sentence that ends a training that has collapsed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from panloom.engine.errors import PanloomError
from panloom.engine.training.collapse import (
    Check,
    CollapseGuard,
    CollapseLimits,
    Spread,
    effective_rank,
)


def features(channels: int = 6) -> Tensor:
    rng = np.random.default_rng(0)
    x = rng.normal(2, 1, (50, channels)) * rng.uniform(0.1, 3, channels)
    x[:, 2] = x[:, 0] - 0.5 * x[:, 1]
    return torch.from_numpy(x)


def test_effective_rank_is_the_formula_of_numpy() -> None:
    x = features().numpy()
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    share = values[values > 1e-9] / values.sum()
    expected = np.exp(-np.sum(share * np.log(share)))
    assert effective_rank(features()) == pytest.approx(expected, rel=1e-9)
    assert 1 < expected < 5


def test_effective_rank_goes_from_one_to_the_channels() -> None:
    even = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).normal(size=(50, 6)))[0])
    even = torch.cat([even, -even])  # mean 0
    assert effective_rank(even) == pytest.approx(6)
    assert effective_rank(even[:, :1].repeat(1, 6)) == pytest.approx(1)
    assert effective_rank(torch.full((50, 6), 3.0)) == 1


def test_spread_is_that_of_numpy() -> None:
    x = features()
    std = x.numpy().std(axis=0, ddof=1)
    found = Spread.of(x)
    assert (found.std, found.least_std) == pytest.approx((std.mean(), std.min()))
    assert found.rank == effective_rank(x)
    assert found.channels == 6


ALIVE = Spread(1.0, 0.8, 20.0, 32)
FLAT = Spread(0.0123, 0.001, 17.0, 32)
THIN = Spread(0.9, 0.5, 3.21, 32)


def look(*spreads: tuple[Spread, Spread]) -> CollapseGuard:
    guard = CollapseGuard(CollapseLimits(std=0.05, rank_share=0.25, patience=3))
    for number, (ms, pan) in enumerate(spreads):
        guard.look(Check(10 * number + 1, 0.5, 0.4, ms, pan))
    return guard


def test_features_without_spread_are_told_of() -> None:
    with pytest.raises(PanloomError) as caught:
        look((ALIVE, ALIVE), *[(FLAT, ALIVE)] * 3)
    assert str(caught.value) == (
        "Stage I made the MS features nearly equal everywhere: at step 31 their mean standard "
        "deviation was 0.012 and their effective rank 17.0 of 32, for 3 checks in a row below "
        "what they need, 0.05 and 8. Train without stage I (`--stage1 off`), or with scenes that "
        "show more than one kind of ground."
    )
    assert caught.value.code == "collapse"


def test_features_of_low_rank_are_told_of() -> None:
    with pytest.raises(PanloomError) as caught:
        look(*[(ALIVE, THIN)] * 3)
    assert caught.value.message.startswith(
        "Stage I made the PAN features nearly equal everywhere: at step 21 their mean standard "
        "deviation was 0.900 and their effective rank 3.2 of 32"
    )


def test_a_dip_is_not_a_collapse() -> None:
    look(*[(THIN, ALIVE), (FLAT, ALIVE), (ALIVE, ALIVE)] * 3)
    look(*[(THIN, ALIVE), (ALIVE, FLAT)] * 4)  # never one modality for long
