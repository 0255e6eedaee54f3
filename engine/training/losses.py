"""What a training step minimizes: the map's loss and that of auxiliary heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.contract import FusionNetwork
from .crops import Batch
from .scenes import UNLABELLED

AUXILIARY_SHARE = 0.8
"""Weight of the mean loss of the auxiliary heads beside that of the map."""

AUXILIARY_PIXELS = 1024
"""Most labelled MS pixels of a batch that auxiliary heads look at.

Heads that read a sequence for every pixel would otherwise take most of a step's time.
"""


def training_loss(network: FusionNetwork, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """Return the map's balanced loss + 0.8 · the mean balanced loss of the auxiliary heads.

    The network runs in mixed precision (bfloat16), the losses in single. Auxiliary heads look at
    every k-th labelled pixel, so that these are at most ``AUXILIARY_PIXELS``.
    """
    where = _thinned(batch.labels != UNLABELLED, AUXILIARY_PIXELS)  # (B, h, w)
    with torch.autocast(batch.ms.device.type, torch.bfloat16):
        logits, auxiliary = network.train_logits(batch.ms, batch.pan, where)  # (B, K, r·h, r·w)
    loss = balanced_loss(logits.float(), batch.labels, smoothing)
    return loss + AUXILIARY_SHARE * _mean_loss(auxiliary, batch.labels[where], smoothing)


def balanced_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy over labelled pixels, rare classes of the batch weighing more.

    ``logits`` are (B, K, r·h, r·w), ``labels`` (B, h, w) class indices with −1 for none. A class
    weighs 1/√(its pixels): halfway between every pixel and every class being equal.
    """
    weights = _class_weights(labels[labels != UNLABELLED], logits)
    ratio = logits.shape[-1] // labels.shape[-1]
    fine = labels.repeat_interleave(ratio, 1).repeat_interleave(ratio, 2)
    return F.cross_entropy(
        logits, fine, weights, ignore_index=UNLABELLED, label_smoothing=smoothing
    )


def _thinned(where: Tensor, most: int) -> Tensor:
    """Return ``where`` with every k-th of its True pixels, at most ``most``, row by row."""
    found = torch.nonzero(where.flatten())[:, 0]
    kept = torch.zeros_like(where).flatten()
    kept[found[:: max(1, -(-len(found) // most))]] = True
    return kept.reshape(where.shape)


def _mean_loss(heads: Sequence[Tensor], labels: Tensor, smoothing: float) -> Tensor | float:
    """Return the mean over heads of the balanced loss of logits (n, K) and labels (n,)."""
    losses = [
        F.cross_entropy(
            head.float(), labels, _class_weights(labels, head.float()), label_smoothing=smoothing
        )
        for head in heads
    ]
    return torch.stack(losses).mean() if losses else 0.0


def _class_weights(labels: Tensor, logits: Tensor) -> Tensor:
    """Return 1/√(pixels) of each class (K,), 0 for a class that is not there."""
    counts = torch.bincount(labels, minlength=logits.shape[1]).to(logits.dtype)
    return torch.where(counts > 0, counts.clamp(min=1).rsqrt(), 0.0)
