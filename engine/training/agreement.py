"""What stage I minimizes: modalities that agree, and features that must not collapse into that.

The papers' semantic perception similarity alone has constant features as a minimum. The variance
and covariance terms of VICReg (Bardes, Ponce and LeCun 2022, arXiv:2105.04906) rule that out: they
are zero only where every channel varies by 1 or more and no two channels go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WANTED_STD = 1.0
"""The standard deviation of a channel above which the variance term is zero."""

_TINY = 1e-4


class Projection(nn.Module):
    """Features of one modality to several layers of projections, pixel by pixel, without bias.

    φ_1 = W_1 f and φ_l = W_l ReLU(φ_{l−1}). It is thrown away after stage I.
    """

    def __init__(self, channels: int, width: int, layers: int) -> None:
        super().__init__()
        widths = (channels, *(width,) * layers)
        self.layers = nn.ModuleList(
            nn.Linear(into, out, bias=False) for into, out in zip(widths[:-1], widths[1:])
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return φ_1, φ_2 …, each (n, width), for features (n, channels)."""
        found: list[Tensor] = []
        for layer in self.layers:
            found.append(layer(found[-1].relu() if found else features))
        return found


@dataclass(frozen=True)
class AgreementWeights:
    """Weights of the three terms.

    VICReg's 25 to 25 to 1 would be 1, 1 and 0.04; with these the effective rank of features of
    Landsat scenes still halves within 200 steps, with 1, 5 and 0.5 it stays.
    """

    similarity: float = 1.0
    variance: float = 5.0
    covariance: float = 0.5


def agreement_loss(
    ms: Sequence[Tensor], pan: Sequence[Tensor], weights: AgreementWeights
) -> tuple[Tensor, Tensor]:
    """Return the loss and, of it, the similarity, for both modalities' features and projections.

    The features, which come first, have to be alive, and only the projections to agree: what one
    modality knows alone may stay in its features.
    """
    similarity = torch.stack(
        [dissimilarity(a, b) for a, b in zip(ms[1:], pan[1:], strict=True)]
    ).mean()
    layers = [*ms, *pan]
    variance = torch.stack([variance_term(x) for x in layers]).mean()
    covariance = torch.stack([covariance_term(x) for x in layers]).mean()
    loss = (
        weights.similarity * similarity
        + weights.variance * variance
        + weights.covariance * covariance
    )
    return loss, similarity


def dissimilarity(first: Tensor, second: Tensor) -> Tensor:
    """Return E[2 − 2 cos(x, y)] over the pixels of both (n, C), 0 for equal directions.

    It is the squared distance of vectors brought to length 1, as in the papers; here their mean
    over the pixels is taken off before, since an offset in common would make any two alike.
    """
    x, y = first - first.mean(dim=0), second - second.mean(dim=0)
    return (2 - 2 * F.cosine_similarity(x, y, dim=1)).mean()


def variance_term(x: Tensor) -> Tensor:
    """Return the mean over channels of max(0, 1 − √(var + ε)), for x (n, C)."""
    return F.relu(WANTED_STD - (x.var(dim=0) + _TINY).sqrt()).mean()


def covariance_term(x: Tensor) -> Tensor:
    """Return Σ_{i≠j} cov_ij² / C, for x (n, C)."""
    centered = x - x.mean(dim=0)
    covariance = centered.T @ centered / (len(x) - 1)  # (C, C)
    together = covariance.square().sum() - covariance.diagonal().square().sum()
    return together / x.shape[1]
