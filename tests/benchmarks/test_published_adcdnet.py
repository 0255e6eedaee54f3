"""The published ADCD-Net that is raced against has the published size and cost."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from panloom.benchmarks.published_adcdnet import PublishedAdcdNet


@pytest.fixture(scope="module")
def network() -> PublishedAdcdNet:
    """The network with memory that is never written: 1 GB of weights that cost nothing."""
    with torch.device("meta"):
        network = PublishedAdcdNet(classes=7).eval()
    return network.to_empty(device="cpu")


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameters_are_those_of_the_published_code(network: PublishedAdcdNet) -> None:
    assert count(network.prior) == pytest.approx(128.06e6, abs=0.005e6)
    assert count(network.main) == pytest.approx(128.34e6, abs=0.005e6)
    assert count(network) == pytest.approx(256.4e6, abs=0.01e6)
    unused = [*network.prior.branches.ms_tokens, *network.prior.branches.pan_tokens]
    assert sum(count(layer) for layer in unused) == pytest.approx(125.84e6, abs=0.005e6)
    assert network.main.branches.pan_tokens[0][1].weight.shape == (512, 32 * 32 * 128)


def test_a_pixel_costs_what_the_published_code_costs(network: PublishedAdcdNet) -> None:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        logits = network(torch.zeros(1, 4, 16, 16), torch.zeros(1, 1, 64, 64))
    assert logits.shape == (1, 7)
    assert [z.shape for z in network.main.auxiliary] == [(1, 7), (1, 7)]
    assert counter.get_total_flops() / 2e6 == pytest.approx(482, rel=0.005)
    counts = counter.get_flop_counts()
    for part, mmac in (("prior", 217), ("main", 265)):
        found = sum(counts[f"PublishedAdcdNet.{part}"].values()) / 2e6
        assert found == pytest.approx(mmac, rel=0.005)
