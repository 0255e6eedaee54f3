"""The losses against their formulas, written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from panloom.engine.training import losses
from panloom.engine.training.crops import Batch
from panloom.engine.training.losses import balanced_loss, training_loss
from panloom.models.contract import FusionNetwork


def cross_entropy(rows: list[tuple[np.ndarray, int]], classes: int) -> float:
    """Return Σ loss/√(pixels of the class) ÷ Σ 1/√(pixels of the class)."""
    counts = [sum(k == target for _, target in rows) for k in range(classes)]
    total = weight = 0.0
    for scores, k in rows:
        total += (np.log(np.exp(scores).sum()) - scores[k]) / np.sqrt(counts[k])
        weight += 1 / np.sqrt(counts[k])
    return total / weight


def map_rows(logits: np.ndarray, labels: np.ndarray) -> list[tuple[np.ndarray, int]]:
    ratio = logits.shape[-1] // labels.shape[-1]
    places = np.ndindex(logits.shape[0], *logits.shape[2:])
    pairs = [(logits[b, :, y, x], labels[b, y // ratio, x // ratio]) for b, y, x in places]
    return [(scores, int(k)) for scores, k in pairs if k >= 0]


def test_the_loss_weighs_a_class_by_the_root_of_its_pixels() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 8, 8))
    labels = rng.choice([-1, 0, 0, 0, 2], (2, 4, 4))
    found = balanced_loss(torch.from_numpy(logits), torch.from_numpy(labels))
    assert float(found) == pytest.approx(cross_entropy(map_rows(logits, labels), 3))


class Fixed(FusionNetwork):
    """Gives logits and auxiliary logits that were drawn before."""

    def __init__(self, logits: Tensor, maps: list[Tensor]) -> None:
        super().__init__()
        self.logits, self.maps = nn.Parameter(logits), maps

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        return self.logits

    def train_logits(
        self, ms: Tensor, pan: Tensor, where: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        heads = tuple(m.permute(0, 2, 3, 1)[where] for m in self.maps)
        return self.logits, heads


def test_auxiliary_heads_count_four_fifths_of_their_mean() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 4, 6, 6))
    heads = [rng.normal(size=(2, 4, 3, 3)) for _ in range(2)]
    labels = rng.choice([-1, 0, 1, 1, 3], (2, 3, 3))
    batch = Batch(torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 6, 6), torch.from_numpy(labels))
    tensors = [torch.from_numpy(h).float() for h in heads]
    found = training_loss(Fixed(torch.from_numpy(logits).float(), tensors), batch)
    parts = [cross_entropy(map_rows(h, labels), 4) for h in heads]
    wanted = cross_entropy(map_rows(logits, labels), 4) + 0.8 * sum(parts) / 2
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_auxiliary_heads_look_at_every_kth_labelled_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "AUXILIARY_PIXELS", 4)
    rng = np.random.default_rng(2)
    logits, head = rng.normal(size=(2, 2, 6, 6)), rng.normal(size=(2, 2, 3, 3))
    labels = np.array([[[0, 1, -1], [1, 0, -1], [0, 0, 1]], [[-1, 1, 1], [-1, -1, -1], [0, 1, -1]]])
    batch = Batch(torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 6, 6), torch.from_numpy(labels))
    network = Fixed(torch.from_numpy(logits).float(), [torch.from_numpy(head).float()])
    found = training_loss(network, batch)
    kept = map_rows(head, labels)[::3]  # of 11 labelled pixels, 4 at most
    assert len(kept) == 4
    wanted = cross_entropy(map_rows(logits, labels), 2) + 0.8 * cross_entropy(kept, 2)
    assert found.item() == pytest.approx(wanted, rel=1e-5)
