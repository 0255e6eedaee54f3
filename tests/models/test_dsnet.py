"""DsNet against the arrangement of its parts, and its tiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from panloom.models.dsnet import LATTICE_PX, AtrousEncoder, DsNet, reach_of_levels
from panloom.models.folding import fold_batch_norm
from panloom.models.networks import build_network
from panloom.models.windows import UNBOUNDED_PX

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
from .test_atrous import atrous_block, atrous_pyramid, atrous_residual
from .test_danet import change_what_is_far, compare_patches, pair
from .test_msaf import published

SMALL: dict[str, Any] = {"width": 16, "rates": (1, 2), "pyramid_rates": (1, 2)}
WHOLE: dict[str, Any] = {**SMALL, "local": False}
CONTEXTS = (4, 8, 16)
FOUR_MILLION = 4_000_000


def network_of(bands: int = 4, ratio: int = 2, **arguments: Any) -> DsNet:
    """Return a network in eval mode whose normalization is not at its start values."""
    torch.manual_seed(0)
    network = build_network("dsnet", arguments, bands=bands, ratio=ratio, classes=5)
    assert isinstance(network, DsNet)
    unsettle(network)
    return network.eval()


def encoder(x: Array, module: nn.Module, rates: tuple[int, ...]) -> Array:
    """Return s_n: c_i = MFACB(c_{i−1}), s_i = ReLU(MSAF(R s_{i−1}, C c_i)), s_0 = c_0 = x."""
    assert isinstance(module, AtrousEncoder)
    spatial, context = x, x
    for level, rate in zip(module.levels, rates, strict=True):
        context = atrous_block(context, level.far, rate)
        near, compressed = (
            atrous_residual(spatial, level.near, 1),
            conv_unit(context, level.compress),
        )
        spatial = np.maximum(published(near, compressed, level.fuse, CONTEXTS), 0)
    return spatial


def formula(network: DsNet, ms: Array, pan: Array) -> Array:
    """Return the logits of one patch, every mean of which is over all of it."""
    ms_branch, pan_branch = network.ms_branch, network.pan_branch
    ms_features = encoder(conv_unit(ms, ms_branch.stem), ms_branch.trunk, (1, 2))
    detail = hard_swish(correlate(pan, pan_branch.edges))
    pan_features = encoder(conv_unit(detail, pan_branch.down), pan_branch.trunk, (1, 2))
    fused = published(ms_features, pan_features, network.fusion, CONTEXTS)
    mean = np.broadcast_to(fused.mean(axis=(1, 2), keepdims=True), fused.shape)
    context = atrous_pyramid(fused, network.context, (1, 2), mean)
    decoder, size = network.decoder, (pan.shape[1], pan.shape[2])
    fine = repeat(conv_unit(context, decoder.coarse), network.ratio, size)
    fine = hard_swish(fine + conv_unit(detail, decoder.fine))
    return correlate(conv_unit(fine, decoder.smooth), decoder.classify)


@pytest.mark.parametrize(("ratio", "size"), [(2, (16, 19)), (3, (17, 16))])
def test_a_whole_patch_is_the_formula(ratio: int, size: tuple[int, int]) -> None:
    network = network_of(3, ratio, **WHOLE).double()
    ms, pan = (x.double() for x in pair(2, 3, ratio, *size))
    settle(network, ms, pan)
    logits = numbers(network(ms, pan))
    for i in range(2):
        expected = formula(network, numbers(ms[i]), numbers(pan[i]))
        np.testing.assert_allclose(logits[i], expected, atol=1e-10)


def test_the_map_and_the_paper_differ_in_neighborhoods_only() -> None:
    local, whole = network_of(**SMALL), network_of(**WHOLE)
    ms, pan = pair(1, 4, 2, 32, 32)
    settle(local, ms, pan)
    whole.load_state_dict(local.state_dict(), strict=True)
    with torch.no_grad():
        assert not torch.allclose(local(ms, pan), whole(ms, pan), atol=0.05)


def test_reach_adds_up_level_by_level() -> None:
    # c_1: 6, s_1: 6 + MSAF; c_2: 6 + 9, s_2: max(s_1 + 1, 15) + MSAF
    assert reach_of_levels((2, 3), True) == max(6 + LATTICE_PX + 1, 15) + LATTICE_PX
    assert reach_of_levels((2,), False) > UNBOUNDED_PX
    assert network_of(**SMALL).lattice_px == LATTICE_PX
    assert network_of(**WHOLE).lattice_px == 1


def test_each_modality_has_its_own_encoder() -> None:
    network = network_of(**SMALL)
    ms, pan = pair(1, 4, 2, 16, 16)
    ms_features, pan_features = network.encode(ms, pan)
    other_ms, other_pan = network.encode(ms, 1 - pan)
    assert torch.equal(ms_features, other_ms)
    assert not torch.equal(pan_features, other_pan)
    first, second = ({id(p) for p in m.parameters()} for m in network.encoders())
    assert first.isdisjoint(second)


@pytest.mark.parametrize(("bands", "ratio"), [(1, 4), (13, 2)])
def test_a_pixel_has_the_same_bits_in_every_patch(bands: int, ratio: int) -> None:
    network = network_of(bands, ratio)
    settle(network, *pair(2, bands, ratio, 32, 32))
    fold_batch_norm(network)
    compare_patches(network.to(memory_format=torch.channels_last))


def test_nothing_beyond_the_halo_matters() -> None:
    network = network_of(**SMALL)
    settle(network, *pair(2, 4, 2, 32, 32))
    change_what_is_far(network)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("size", [(7, 13), (40, 33)])
def test_one_patch_of_any_size_can_be_trained(local: bool, size: tuple[int, int]) -> None:
    network = network_of(**{**SMALL, "local": local}).train()
    logits = network(*pair(1, 4, 2, *size))
    logits.square().mean().backward()
    assert logits.shape == (1, 5, 2 * size[0], 2 * size[1])
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)


def test_every_parameter_gets_a_gradient() -> None:
    network = network_of(**SMALL).train()
    network(*pair(2, 4, 2, 24, 20)).square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_it_is_small() -> None:
    assert sum(p.numel() for p in network_of(13, 4).parameters()) < FOUR_MILLION
