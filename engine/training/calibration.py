"""The temperature that makes confidence honest on samples that were not trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LIMITS = (0.3, 4.0)
"""Temperatures beyond these say more about few or perfectly separated samples than of the model."""

_HALVINGS = 40


def calibrate(logits: Tensor, targets: Tensor) -> float:
    """Return the temperature T of least mean negative log-likelihood of softmax(logits / T).

    ``logits`` are (n, K), ``targets`` (n,) class indices. The likelihood is concave in 1/T, so the
    place where its slope changes sign is the best one; it is looked for within ``LIMITS``. Without
    samples T is 1. (Guo et al. 2017, arXiv:1706.04599.)
    """
    if len(targets) == 0:
        return 1.0
    scores = logits.double()
    reached = scores.gather(1, targets[:, None])[:, 0]  # (n,)
    low, high = (math.log(limit) for limit in LIMITS)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = ((scores / math.exp(middle)).softmax(dim=1) * scores).sum(dim=1)
        # d NLL / d(1/T) = E[z] − z_target: above 0, the model is too sure of itself.
        if float((expected - reached).mean()) > 0:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def mean_nll(logits: Tensor, targets: Tensor, temperature: float) -> float:
    """Return the mean negative log-likelihood of targets (n,) under softmax(logits (n, K) / T)."""
    if len(targets) == 0:
        return 0.0
    return float(torch.nn.functional.cross_entropy(logits.double() / temperature, targets))
