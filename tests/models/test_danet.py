"""DaNet against the arrangement of its parts, its two further heads, and its tiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from panloom.models.danet import DaNet
from panloom.models.folding import fold_batch_norm
from panloom.models.networks import build_network

from .literal_units import (
    Array,
    conv_unit,
    correlate,
    hard_swish,
    numbers,
    repeat,
    settle,
    unsettle,
)
from .test_atrous import atrous_residual
from .test_dual_attention import published_cam, published_pam

SMALL: dict[str, Any] = {"width": 16, "rates": (1, 2), "context_rates": (2,)}
WHOLE: dict[str, Any] = {**SMALL, "window_px": None}
GAMMA = 0.75
FOUR_MILLION = 4_000_000


def network_of(bands: int = 4, ratio: int = 2, **arguments: Any) -> DaNet:
    """Return a network in eval mode whose attention counts: γ starts at 0, which hides it."""
    torch.manual_seed(0)
    network = build_network("danet", arguments, bands=bands, ratio=ratio, classes=5)
    assert isinstance(network, DaNet)
    unsettle(network)
    for attention in (network.attention.position, network.attention.channel):
        nn.init.constant_(attention.gamma, GAMMA)
    return network.eval()


def pair(batch: int, bands: int, ratio: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    pan_shape = (batch, 1, ratio * height, ratio * width)
    return torch.rand(batch, bands, height, width), torch.rand(pan_shape)


def trunk(x: Array, units: nn.Module, rates: tuple[int, ...]) -> Array:
    assert isinstance(units, nn.Sequential)
    for unit, rate in zip(units, rates, strict=True):
        x = atrous_residual(x, unit, rate)
    return x


def rectified(x: Array, unit: nn.Module) -> Array:
    return np.maximum(conv_unit(x, unit), 0)


def formula(network: DaNet, ms: Array, pan: Array) -> tuple[Array, Array, Array]:
    """Return logits and the summands of PAM and CAM for one patch, all of it one window."""
    ms_features = trunk(conv_unit(ms, network.ms_branch.stem), network.ms_branch.trunk, (1, 2))
    detail = hard_swish(correlate(pan, network.pan_branch.edges))
    down = conv_unit(detail, network.pan_branch.down)
    pan_features = trunk(down, network.pan_branch.trunk, (1, 2))
    both, head = np.concatenate([ms_features, pan_features]), network.attention
    position = published_pam(rectified(both, head.to_position), head.position)
    position = rectified(position, head.from_position)
    channel = published_cam(rectified(both, head.to_channel), GAMMA, "official")
    channel = rectified(channel, head.from_channel)
    context = trunk(position + channel, network.context, (2,))
    decoder, size = network.decoder, (pan.shape[1], pan.shape[2])
    fine = repeat(conv_unit(context, decoder.coarse), network.ratio, size)
    fine = hard_swish(fine + conv_unit(detail, decoder.fine))
    return correlate(conv_unit(fine, decoder.smooth), decoder.classify), position, channel


@pytest.mark.parametrize(("ratio", "size"), [(2, (9, 12)), (4, (5, 4))])
def test_a_whole_patch_is_the_formula(ratio: int, size: tuple[int, int]) -> None:
    network = network_of(3, ratio, **WHOLE).double()
    ms, pan = (x.double() for x in pair(2, 3, ratio, *size))
    settle(network, ms, pan)
    logits = numbers(network(ms, pan))
    for i in range(2):
        expected = formula(network, numbers(ms[i]), numbers(pan[i]))[0]
        np.testing.assert_allclose(logits[i], expected, atol=1e-10)


def test_the_further_heads_are_linear_in_the_summands() -> None:
    network = network_of(3, 2, **WHOLE, branch_heads=True).double()
    ms, pan = (x.double() for x in pair(2, 3, 2, 6, 8))
    settle(network, ms, pan)
    assert network.branch_heads is not None
    where = torch.rand(2, 6, 8) < 0.3
    logits, auxiliary = network.train_logits(ms, pan, where)
    torch.testing.assert_close(logits, network(ms, pan))
    parts = [formula(network, numbers(ms[i]), numbers(pan[i])) for i in range(2)]
    heads = (network.branch_heads.position, network.branch_heads.channel)
    for k, (found, head) in enumerate(zip(auxiliary, heads, strict=True), start=1):
        chosen = np.stack([parts[b][k][:, row, col] for b, row, col in where.nonzero().tolist()])
        expected = chosen @ numbers(head.weight).T + numbers(head.bias)
        np.testing.assert_allclose(numbers(found), expected, atol=1e-10)


def test_finish_takes_the_further_heads_out_and_changes_no_prediction() -> None:
    network = network_of(**SMALL, **DaNet.training_arguments)
    inputs = pair(1, 4, 2, 17, 11)
    where = torch.ones(1, 17, 11, dtype=torch.bool)
    assert any(name.startswith("branch_heads.") for name in network.state_dict())
    assert len(network.train_logits(*inputs, where)[1]) == 2
    with torch.inference_mode():
        before = network(*inputs)
        network.finish()
        assert torch.equal(network(*inputs), before)
    assert network.train_logits(*inputs, where)[1] == ()
    assert network.state_dict().keys() == network_of(**SMALL).state_dict().keys()


def test_attention_learns_what_to_look_at_once_its_gain_has_left_zero() -> None:
    """γ = 0 lets no gradient into query, key and value; the first step changes γ."""
    torch.manual_seed(0)
    network = build_network("danet", {**SMALL, "branch_heads": True}, bands=4, ratio=2, classes=5)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    ms, pan = pair(2, 4, 2, 24, 20)
    silent = []
    for _ in range(2):
        optimizer.zero_grad()
        logits, auxiliary = network.train_logits(ms, pan, torch.ones(2, 24, 20, dtype=torch.bool))
        sum(x.square().mean() for x in (logits, *auxiliary)).backward()
        named = network.named_parameters()
        silent.append({n for n, p in named if p.grad is None or not p.grad.any()})
        optimizer.step()
    layers = ("query", "key", "value")
    inner = {f"attention.position.{x}.{y}" for x in layers for y in ("weight", "bias")}
    # A softmax over keys does not see their bias: its gradient is rounding, or nothing.
    assert silent[0] == inner
    assert silent[1] <= {"attention.position.key.bias"}


@pytest.mark.parametrize(("bands", "ratio"), [(1, 4), (13, 2)])
def test_a_pixel_has_the_same_bits_in_every_patch(bands: int, ratio: int) -> None:
    network = network_of(bands, ratio)
    settle(network, *pair(2, bands, ratio, 32, 32))
    fold_batch_norm(network)
    compare_patches(network.to(memory_format=torch.channels_last))


def compare_patches(network: Any) -> None:
    """Assert that patches anywhere on the lattice repeat the bits of the whole beyond the halo."""
    halo, ratio = network.halo_px, network.ratio
    ms, pan = pair(1, network.bands, ratio, 2 * halo + 45, 2 * halo + 52)
    edge = slice(ratio * halo, -ratio * halo)
    origins = (0, 0, 1, 52, 1), (8, 16, 37, 9, 2), (24, 40, 21, 12, 1), (40, 8, 3, 30, 3)
    with torch.inference_mode():
        whole = network(ms, pan)
        for top, left, high, wide, batch in origins:
            assert top % network.lattice_px == left % network.lattice_px == 0
            bottom, right = top + 2 * halo + high, left + 2 * halo + wide
            part = network(
                ms[..., top:bottom, left:right].repeat(batch, 1, 1, 1),
                pan[..., ratio * top : ratio * bottom, ratio * left : ratio * right].repeat(
                    batch, 1, 1, 1
                ),
            )[..., edge, edge]
            same = whole[..., ratio * top : ratio * bottom, ratio * left : ratio * right]
            assert part.shape[2:] == (ratio * high, ratio * wide)
            assert all(torch.equal(one, same[0, :, edge, edge]) for one in part)


def test_nothing_beyond_the_halo_matters() -> None:
    network = network_of(**SMALL)
    settle(network, *pair(2, 4, 2, 32, 32))
    change_what_is_far(network)


def change_what_is_far(network: Any) -> None:
    """Assert that change beyond the halo changes nothing, and change just within it something."""
    halo, ratio, slack = network.halo_px, network.ratio, 2
    size = 2 * halo + network.lattice_px
    ms, pan = pair(1, network.bands, ratio, size, size)
    felt = []
    with torch.inference_mode():
        before = network(ms, pan)
        for at in range(halo, halo + network.lattice_px):  # every place in a block
            fine = slice(ratio * at, ratio * (at + 1))
            for reach in (halo, halo - slack):
                near = [max(at - reach, 0), at + reach + 1]
                other_ms, other_pan = 1 - ms, 1 - pan
                here = slice(*near)
                other_ms[..., here, here] = ms[..., here, here]
                here = slice(ratio * near[0], ratio * near[1])
                other_pan[..., here, here] = pan[..., here, here]
                after = network(other_ms, other_pan)
                same = torch.equal(after[..., fine, fine], before[..., fine, fine])
                assert same or reach < halo
                felt += [] if reach == halo else [not same]
    assert any(felt)


def test_attention_off_the_lattice_sees_another_neighborhood() -> None:
    """So the lattice is needed: the test above can fail."""
    network = network_of(**SMALL)
    settle(network, *pair(2, 4, 2, 32, 32))
    halo = network.halo_px
    ms, pan = pair(1, 4, 2, 2 * halo + 12, 2 * halo + 12)
    edge = slice(2 * halo, -2 * halo)
    with torch.inference_mode():
        whole = network(ms, pan)[..., 6:, 6:][..., edge, edge]
        part = network(ms[..., 3:, 3:], pan[..., 6:, 6:])[..., edge, edge]
    assert not torch.allclose(whole, part, atol=1e-4)


@pytest.mark.parametrize("size", [(7, 13), (1, 3), (40, 33)])
def test_one_patch_of_any_size_can_be_trained(size: tuple[int, int]) -> None:
    network = network_of(**SMALL, branch_heads=True).train()
    ms, pan = pair(1, 4, 2, *size)
    logits, auxiliary = network.train_logits(ms, pan, torch.ones(1, *size, dtype=torch.bool))
    sum(x.sum() for x in (logits, *auxiliary)).backward()
    assert logits.shape == (1, 5, 2 * size[0], 2 * size[1])
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)


def test_it_is_small() -> None:
    assert sum(p.numel() for p in network_of(13, 4).parameters()) < FOUR_MILLION
