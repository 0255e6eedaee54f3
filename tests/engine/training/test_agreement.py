"""The terms of stage I against their formulas, pixel by pixel in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from panloom.engine.training.agreement import (
    AgreementWeights,
    Projection,
    agreement_loss,
    covariance_term,
    dissimilarity,
    variance_term,
)

Array = NDArray[np.float64]


def features(seed: int, channels: int = 5) -> Tensor:
    """Return features (40, channels) with different means and spreads, some channels alike."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.5, 1, (40, channels)) * rng.uniform(0.1, 2, channels)
    x[:, 1] += 0.7 * x[:, 0]
    return torch.from_numpy(x)


def literal_dissimilarity(x: Array, y: Array) -> float:
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    total = 0.0
    for a, b in zip(x, y, strict=True):
        a, b = a / np.sqrt((a * a).sum()), b / np.sqrt((b * b).sum())
        total += ((a - b) ** 2).sum()
    return total / len(x)


def literal_variance(x: Array) -> float:
    terms = []
    for c in range(x.shape[1]):
        variance = sum((v - x[:, c].mean()) ** 2 for v in x[:, c]) / (len(x) - 1)
        terms.append(max(0.0, 1 - np.sqrt(variance + 1e-4)))
    return float(np.mean(terms))


def literal_covariance(x: Array) -> float:
    n, channels = x.shape
    mean, total = x.mean(axis=0), 0.0
    for i in range(channels):
        for j in range(channels):
            if i != j:
                pairs = ((x[p, i] - mean[i]) * (x[p, j] - mean[j]) for p in range(n))
                total += (sum(pairs) / (n - 1)) ** 2
    return total / channels


def test_every_term_is_its_formula() -> None:
    x, y = features(0), features(1)
    expected = literal_dissimilarity(x.numpy(), y.numpy())
    assert float(dissimilarity(x, y)) == pytest.approx(expected, rel=1e-12)
    assert float(variance_term(x)) == pytest.approx(literal_variance(x.numpy()), rel=1e-12)
    assert float(covariance_term(x)) == pytest.approx(literal_covariance(x.numpy()), rel=1e-12)


def test_the_loss_adds_up_layers_and_weights() -> None:
    ms, pan = [features(0), features(1, 7), features(2, 7)], [features(n + 5, 7) for n in range(3)]
    weights = AgreementWeights(similarity=1.5, variance=2.0, covariance=0.3)
    loss, similarity = agreement_loss(ms, pan, weights)
    pairs = [(a.numpy(), b.numpy()) for a, b in zip(ms[1:], pan[1:], strict=True)]
    agree = np.mean([literal_dissimilarity(a, b) for a, b in pairs])
    every = [x.numpy() for x in (*ms, *pan)]
    alive = 2.0 * np.mean([literal_variance(x) for x in every])
    apart = 0.3 * np.mean([literal_covariance(x) for x in every])
    assert float(similarity) == pytest.approx(agree, rel=1e-12)
    assert float(loss) == pytest.approx(1.5 * agree + alive + apart, rel=1e-12)


def test_projections_are_their_formula() -> None:
    torch.manual_seed(0)
    projection, x = Projection(5, 7, 3).double(), features(0)
    found = projection(x)
    first, second, third = (layer.weight.detach().numpy() for layer in projection.layers)
    y = x.numpy() @ first.T
    np.testing.assert_allclose(found[0].detach().numpy(), y)
    y = np.maximum(y, 0) @ second.T
    np.testing.assert_allclose(found[1].detach().numpy(), y)
    y = np.maximum(y, 0) @ third.T
    np.testing.assert_allclose(found[2].detach().numpy(), y)
    assert len(found) == 3


def test_an_offset_in_common_makes_no_agreement() -> None:
    """With the published form, of vectors as they are, an offset alone brings it to nothing."""
    x, y, offset = features(0), features(1), 1e3 * torch.ones(5, dtype=torch.float64)
    published = 2 - 2 * torch.cosine_similarity(x + offset, y + offset).mean()
    assert float(published) < 1e-3
    torch.testing.assert_close(dissimilarity(x + offset, y + offset), dissimilarity(x, y))
    assert float(dissimilarity(x, x)) < 1e-12


@pytest.mark.parametrize("kind", ["constant", "one for all"])
def test_what_has_collapsed_costs_more_than_what_has_not(kind: str) -> None:
    """Agreement is perfect in all three; only the other terms tell them apart."""
    rng = np.random.default_rng(0)
    alive = torch.from_numpy(np.linalg.qr(rng.normal(size=(40, 5)))[0] * 7)
    dead = torch.ones(40, 5).double() if kind == "constant" else alive[:, :1].repeat(1, 5)
    weights = AgreementWeights()
    lost, kept = (agreement_loss([x, x], [x, x], weights)[0] for x in (dead, alive))
    assert float(kept) < 0.05
    assert float(lost) > 10 * float(kept)
