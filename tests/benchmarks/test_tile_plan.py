"""What the halos of tiles cost, counted by hand on a network that can be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from panloom.benchmarks.tile_plan import (
    computed_per_written,
    multiplications,
    plan,
    read_per_written,
)
from panloom.engine.device import Device
from panloom.engine.tiling import plan_tiles
from panloom.models.bundle import load_bundle
from panloom.models.contract import FusionNetwork
from panloom.models.file import find_model


class TwoLayers(FusionNetwork):
    """A 3×3 convolution of 2 bands to 4, and a 1×1 of 4 to 5 that skips the margin."""

    bands, ratio, classes, halo_px, lattice_px = 2, 2, 5, 1, 2

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 5, 1)

    def forward(self, ms: Tensor, pan: Tensor, margin_px: int = 0) -> Tensor:
        """Return logits on the MS grid within the margin."""
        edge = slice(margin_px, -margin_px or None)
        logits: Tensor = self.second(self.first(ms)[..., edge, edge])
        return logits


def test_multiplications_are_those_written_out() -> None:
    found = multiplications(TwoLayers(), width=10, height=6, margin_px=2)
    assert found == (10 + 4) * (6 + 4) * 9 * 2 * 4 + 10 * 6 * 4 * 5


def test_halos_count_by_what_is_computed_of_them() -> None:
    tiles = plan_tiles(40, 20, 10, 2, 2)
    inside = 9 * 2 * 4 + 4 * 5
    by_hand = 8 * (14 * 14 * 9 * 2 * 4 + 10 * 10 * 4 * 5) / (40 * 20 * inside)
    assert computed_per_written(TwoLayers(), tiles) == pytest.approx(by_hand)
    assert read_per_written(tiles) == pytest.approx(14 * 14 / (10 * 10))


def test_the_shipped_network_computes_at_most_a_third_twice() -> None:
    network = load_bundle(find_model("landsat-5class")).network
    tiles = plan((16_384, 16_384), network, Device(torch.device("cpu"), ""))
    assert 1.0 < computed_per_written(network, tiles) <= 1.35
