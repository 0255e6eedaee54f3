"""ADCD-Net keeps its promises with every fusion that it can be given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from panloom.models.contract import FusionNetwork
from panloom.models.folding import fold_batch_norm
from panloom.models.fusion import FUSIONS
from panloom.models.networks import build_network

RATIO = 2


def network_of(fusion: str) -> FusionNetwork:
    torch.manual_seed(0)
    network = build_network("adcdnet", {"fusion": fusion}, bands=4, ratio=RATIO, classes=5)
    for name, parameter in network.named_parameters():
        if "_gate." in name or name.endswith("gamma"):
            nn.init.normal_(parameter, 0.3, 0.3)
    network.eval()
    fold_batch_norm(network)
    return network.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_pixel_has_the_same_bits_in_every_patch(fusion: str) -> None:
    network = network_of(fusion)
    lattice, halo = network.lattice_px, network.halo_px
    ms, pan = torch.rand(1, 4, 168, 176), torch.rand(1, 1, RATIO * 168, RATIO * 176)
    with torch.inference_mode():
        whole = network(ms, pan)
        for row, col, height, width in ((0, 8, 2 * halo + 20, 2 * halo + 33), (24, 16, 144, 129)):
            row, col = row // lattice * lattice, col // lattice * lattice
            rows, cols = slice(row, row + height), slice(col, col + width)
            fine = (..., slice(RATIO * row, RATIO * (row + height)))
            fine = (*fine, slice(RATIO * col, RATIO * (col + width)))
            part = network(ms[..., rows, cols], pan[fine])
            edge = slice(RATIO * halo, -RATIO * halo)
            assert torch.equal(part[..., edge, edge], whole[fine][..., edge, edge])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_no_fusion_makes_it_large(fusion: str) -> None:
    assert sum(p.numel() for p in network_of(fusion).parameters()) < 4_000_000
