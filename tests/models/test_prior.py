"""The prior masks by its formula, is left alone by stage II, and fits the contract of a network."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from panloom.models.adcdnet import AdcdNet
from panloom.models.bundle import load_bundle, save_model
from panloom.models.card import Band, ModelCard
from panloom.models.classes import ClassScheme, LandClass
from panloom.models.folding import fold_batch_norm
from panloom.models.networks import build_network
from panloom.models.prior import apply_prior

SMALL: dict[str, Any] = {"width": 16, "deep_width": 16, "prior": True}


def network_of(ratio: int = 2, **arguments: Any) -> AdcdNet:
    """Return a network, in training mode, none of whose values hides what depends on it."""
    torch.manual_seed(0)
    network = build_network("adcdnet", {**SMALL, **arguments}, bands=4, ratio=ratio, classes=5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0.1, 0.3)
    assert isinstance(network, AdcdNet)
    return network


def pair(batch: int, ratio: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(batch, 4, height, width), torch.rand(batch, 1, ratio * height, ratio * width)


def states(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_mask_is_its_formula() -> None:
    torch.manual_seed(0)
    features, prior = torch.randn(2, 2, 3, 4, 5)
    masked = apply_prior(features, prior)
    for index in range(features.numel()):
        f, r = float(features.flatten()[index]), float(prior.flatten()[index])
        expected = f / (1 + math.exp(-r)) + f
        assert float(masked.flatten()[index]) == pytest.approx(expected, rel=1e-6)


def test_the_gain_has_its_whole_range() -> None:
    """The published form, σ of a rectified map, gives 1.5 for everything below zero."""
    prior = torch.linspace(-8, 8, 101).reshape(1, 1, 1, -1)
    gain = apply_prior(torch.ones_like(prior), prior)
    published = apply_prior(torch.ones_like(prior), prior.relu())
    assert (float(published.min()), float(gain.min()) < 1.001) == (1.5, True)
    assert float(gain.max()) > 1.999


def test_stage_one_makes_features_that_are_normalized_and_not_rectified() -> None:
    network = build_network("adcdnet", SMALL, bands=4, ratio=2, classes=5)
    for features in (x.detach() for x in network.encode(*pair(4, 2, 16, 20))):
        torch.testing.assert_close(features.mean((0, 2, 3)), torch.zeros(16), atol=1e-3, rtol=0)
        spread = features.square().mean((0, 2, 3))
        assert float(spread.min()) > 0.7  # the variance floor of the normalization takes a little
        assert float((features < 0).float().mean()) > 0.3


def test_the_masks_are_on_what_goes_into_the_fusion() -> None:
    network = network_of().eval()
    seen: list[Tensor] = []
    network.fusion.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
    ms, pan = pair(1, 2, 12, 14)
    network(ms, pan)
    features = network.ms_branch(ms).attended, network.pan_branch(pan)[1].attended
    for masked, f, r in zip(seen, features, network.encode(ms, pan), strict=True):
        torch.testing.assert_close(masked, f * (1 + torch.sigmoid(r)))


@pytest.mark.parametrize("frozen", [False, True])
def test_stage_two_leaves_the_prior_as_it_is(frozen: bool) -> None:
    """Statistics too, whether or not someone forgot to end stage I."""
    network = network_of(depth_heads=True)
    if frozen:
        network.end_stage_one()
    prior, rest = states(network.encoders()[0]), states(network.ms_branch)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.1, weight_decay=0.5)
    for _ in range(3):
        network.train()
        logits, auxiliary = network.train_logits(*pair(2, 2, 16, 16), torch.rand(2, 16, 16) < 0.3)
        sum(x.square().mean() for x in (logits, *auxiliary)).backward()
        optimizer.step()
    assert same(prior, network.encoders()[0].state_dict())
    assert not same(rest, network.ms_branch.state_dict())


def test_stage_one_moves_the_prior_and_nothing_else_until_it_ends() -> None:
    network = network_of()
    before = states(network)
    for x in network.encode(*pair(2, 2, 16, 16)):
        x.square().sum().backward(retain_graph=True)
    got = {n for n, p in network.named_parameters() if p.grad is not None}
    assert got == {n for n, _ in network.named_parameters() if n.startswith("prior.")}
    changed = {n for n, t in network.state_dict().items() if not torch.equal(t, before[n])}
    assert changed
    assert all((n.startswith("prior.") and ".running_" in n) or "tracked" in n for n in changed)
    network.end_stage_one()
    before = states(network)
    assert not any(x.requires_grad for x in network.encode(*pair(2, 2, 16, 16)))
    assert same(before, network.state_dict())


def test_modes_come_back_as_they_were() -> None:
    network = network_of()
    prior = network.encoders()[0]
    assert not any(m.training for m in prior.modules())
    network.encode(*pair(2, 2, 8, 8))
    assert not any(m.training for m in prior.modules())
    assert deepcopy(network).train().context.training
    assert not any(m.training for m in deepcopy(network).train().encoders()[0].modules())


@pytest.mark.parametrize("ratio", [2, 3, 4, 5])
@pytest.mark.parametrize("arguments", [{}, {"dia": False}], ids=str)
def test_a_pixel_has_the_same_bits_in_every_patch(ratio: int, arguments: dict[str, Any]) -> None:
    network = network_of(ratio, width=32, deep_width=64, **arguments).eval()
    fold_batch_norm(network)
    network = network.to(memory_format=torch.channels_last)
    halo, lattice = network.halo_px, network.lattice_px
    ms, pan = pair(1, ratio, 2 * halo + 33, 2 * halo + 42)
    edge = slice(ratio * halo, -ratio * halo)
    with torch.inference_mode():
        whole = network(ms, pan)
        for row, col, height, width, batch in ((0, 2, 9, 12, 3), (6, 4, 1, 7, 1), (8, 0, 24, 5, 2)):
            assert row % lattice == col % lattice == 0
            rows, cols = slice(row, row + 2 * halo + height), slice(col, col + 2 * halo + width)
            fine = (
                ...,
                slice(ratio * rows.start, ratio * rows.stop),
                slice(ratio * cols.start, ratio * cols.stop),
            )
            parts = network(
                ms[..., rows, cols].repeat(batch, 1, 1, 1), pan[fine].repeat(batch, 1, 1, 1)
            )[..., edge, edge]
            assert all(torch.equal(one, whole[fine][0][..., edge, edge]) for one in parts)


@pytest.mark.parametrize("dia", [False, True])
def test_the_prior_sees_no_further_than_the_halo(dia: bool) -> None:
    """By itself: a branch that sees as far would hide it."""
    network = network_of(dia=dia).eval().double()
    size = 2 * network.halo_px + 3
    ms, pan = (x.double().requires_grad_() for x in pair(1, 2, size, size))
    prior = network.prior
    assert prior is not None
    seen = prior._features(ms, pan)
    middle = size // 2
    for features, x, step in zip(seen, (ms, pan), (1, 2), strict=True):
        gradient = torch.autograd.grad(features[..., middle, middle].abs().sum(), x)[0]
        rows, cols = torch.nonzero(gradient.abs().sum((0, 1)), as_tuple=True)
        reach = max((rows // step - middle).abs().max(), (cols // step - middle).abs().max())
        assert 2 < reach <= prior.reach_px < network.halo_px


def test_it_is_folded_and_saved_with_the_network(tmp_path: Path) -> None:
    network, inputs = network_of(depth_heads=True).eval(), pair(1, 2, 16, 24)
    network.end_stage_one()
    network.finish()
    card = ModelCard(
        name="test", title="Test", network="adcdnet", arguments=SMALL,
        bands=tuple(Band(r, 0.5) for r in ("blue", "green", "red", "nir")), ratio=2,
        gsd_range_m=(20.0, 40.0), radiometry={"kind": "dark-object"},
        classes=ClassScheme(tuple(LandClass(k, f"Class {k}", "#336699") for k in range(1, 6))),
    )  # fmt: skip
    save_model(tmp_path / "model.safetensors", network, card)
    loaded = load_bundle(tmp_path / "model.safetensors").network
    assert any(name.startswith("prior.") for name in loaded.state_dict())
    with torch.inference_mode():
        expected = network(*inputs)
        assert torch.equal(loaded(*inputs), expected)
        fold_batch_norm(loaded)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in loaded.modules())
        torch.testing.assert_close(loaded(*inputs), expected, atol=1e-4, rtol=1e-4)
