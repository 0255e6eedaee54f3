"""What ADCD-Net has for training only: depth heads; and that its switches do what they say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from panloom.models.adcdnet import AdcdNet
from panloom.models.dia import CrossGate
from panloom.models.dtm import DepthHead
from panloom.models.fusion import FUSIONS
from panloom.models.networks import build_network

SMALL: dict[str, Any] = {"width": 16, "deep_width": 16}


def network_of(**arguments: Any) -> AdcdNet:
    torch.manual_seed(0)
    network = build_network("adcdnet", {**SMALL, **arguments}, bands=4, ratio=2, classes=5)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0.1, 0.3)
    assert isinstance(network, AdcdNet)
    return network


def inputs(batch: int = 2, height: int = 16, width: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    where = torch.rand(batch, height, width) < 0.2
    ms, pan = torch.rand(batch, 4, height, width), torch.rand(batch, 1, 2 * height, 2 * width)
    return ms, pan, where


def test_without_depth_heads_there_is_the_map_alone() -> None:
    network = network_of().eval()
    ms, pan, where = inputs()
    logits, auxiliary = network.train_logits(ms, pan, where)
    assert auxiliary == ()
    assert torch.equal(logits, network(ms, pan))


@pytest.mark.parametrize("prior", [False, True])
def test_depth_heads_read_every_depth_and_then_the_prior(prior: bool) -> None:
    network = network_of(depth_heads=True, prior=prior).eval()
    heads = network.depth_heads
    assert heads is not None
    ms, pan, where = inputs()
    logits, auxiliary = network.train_logits(ms, pan, where)
    assert torch.equal(logits, network(ms, pan))
    found = network.ms_branch(ms), network.pan_branch(pan)[1]
    last = network.encode(ms, pan) if prior else (found[0].attended, found[1].attended)
    for head, depths, r, given in zip((heads.ms, heads.pan), found, last, auxiliary, strict=True):
        tokens = [depths.shallow, depths.middle, depths.deep, depths.attended, r]
        assert len(head.tokenizers) == len(tokens) == 5  # L = stages + 1
        rows = [t.permute(0, 2, 3, 1)[where] for t in tokens]
        sequence = torch.stack([f(x) for f, x in zip(head.tokenizers, rows, strict=True)], dim=1)
        expected = head.classify(head.mamba(head.norm(sequence))[:, -1])
        torch.testing.assert_close(given, expected)


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_trained_parameter_gets_a_gradient(fusion: str, prior: bool) -> None:
    network = network_of(fusion=fusion, prior=prior, depth_heads=True).train()
    network.end_stage_one()
    logits, auxiliary = network.train_logits(*inputs(2, 24, 24))
    sum(x.square().sum() for x in (logits, *auxiliary)).backward()
    trained = {n: p.grad for n, p in network.named_parameters() if p.requires_grad}
    assert [n for n, g in trained.items() if g is None or not g.any()] == []
    assert any(n.startswith("prior.") for n in trained) is False
    assert "depth_heads.ms.tokenizers.4.0.weight" in trained  # the prior's own layer


@pytest.mark.parametrize("prior", [False, True])
def test_no_gradient_flows_through_the_last_token(prior: bool) -> None:
    """With all other tokenizers at zero, the depth heads' loss moves no branch."""
    network = network_of(depth_heads=True, prior=prior).train()
    network.end_stage_one()
    for head in network.modules():
        if isinstance(head, DepthHead):
            for tokenize in list(head.tokenizers)[:-1]:
                nn.init.zeros_(tokenize[0].weight)
    _, auxiliary = network.train_logits(*inputs())
    sum(x.square().sum() for x in auxiliary).backward()
    branches = [*network.ms_branch.parameters(), *network.pan_branch.parameters()]
    assert not any(p.grad is not None and p.grad.any() for p in branches)


@pytest.mark.parametrize("prior", [False, True])
def test_finish_leaves_what_the_card_describes(prior: bool) -> None:
    network = network_of(depth_heads=True, prior=prior).eval()
    ms, pan, where = inputs()
    with torch.inference_mode():
        before = network(ms, pan)
        network.finish()
        assert torch.equal(network(ms, pan), before)
        assert network.train_logits(ms, pan, where)[1] == ()
    assert set(network.state_dict()) == set(network_of(prior=prior).state_dict())
    assert network.prior is not None or not prior


def test_switches_that_are_off_add_nothing() -> None:
    plain = network_of()
    assert not any(n.startswith(("prior", "depth_heads")) for n, _ in plain.named_modules())
    more = network_of(prior=True, depth_heads=True).state_dict()
    for name, tensor in plain.state_dict().items():
        assert more[name].shape == tensor.shape


@pytest.mark.parametrize("prior", [False, True])
def test_without_dia_there_is_none_and_less_is_seen(prior: bool) -> None:
    network, without = network_of(prior=prior), network_of(dia=False, prior=prior)
    kinds = [sum(isinstance(m, CrossGate) for m in n.modules()) for n in (network, without)]
    assert kinds == [4 if prior else 2, 0]
    assert (without.halo_px, without.lattice_px) == (network.halo_px - 6, network.lattice_px)
    ms, _, _ = inputs()
    depths = without.ms_branch(ms)
    assert torch.equal(depths.attended, depths.deep)


def test_without_a_prior_stage_one_trains_the_branches_and_stage_two_goes_on() -> None:
    network = network_of().train()
    ms, pan, _ = inputs()
    assert network.encoders() == (network.ms_branch, network.pan_branch)
    before = network.encode(ms, pan)
    assert before[0].shape == before[1].shape == (2, 16, 16, 20)
    sum(x.square().sum() for x in before).backward()
    for encoder in network.encoders():
        assert [n for n, p in encoder.named_parameters() if p.grad is None] == []
    network.end_stage_one()
    assert all(p.requires_grad for p in network.parameters())
