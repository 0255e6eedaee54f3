"""CafmNet against its formula from rasters to logits, and what its contract promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from panloom.models.cafm import CrossAttentionGates
from panloom.models.cafmnet import CafmNet
from panloom.models.folding import fold_batch_norm
from panloom.models.networks import build_network

from .literal_units import (
    Array,
    conv_unit,
    correlate,
    hard_swish,
    inverted_residual,
    numbers,
    repeat,
    settle,
    unsettle,
)
from .test_cafm import published
from .test_multihop_graph import multi_hop_branch
from .test_multiscale_pyramid import pyramid

SMALL: dict[str, Any] = {"width": 16, "deep_width": 16, "node_width": 16}


def network_of(bands: int = 4, ratio: int = 2, **arguments: int) -> CafmNet:
    """Return a network in eval mode whose normalization fits its input, with other gains."""
    torch.manual_seed(0)
    network = build_network("cafmnet", arguments, bands=bands, ratio=ratio, classes=5)
    assert isinstance(network, CafmNet)
    unsettle(network)
    settle(network, *pair(2, bands, ratio, 24, 24))
    return network


def pair(batch: int, bands: int, ratio: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return (
        torch.rand(batch, bands, height, width, generator=draw),
        torch.rand(batch, 1, ratio * height, ratio * width, generator=draw),
    )


def encoded(x: Array, stem: nn.Module, near: nn.Module, far: nn.Module) -> Array:
    return inverted_residual(inverted_residual(conv_unit(x, stem), near), far)


def literal(ms: Array, pan: Array, network: CafmNet) -> Array:
    """Return logits (classes, r·h, r·w) for ms (bands, h, w) and pan (1, r·h, r·w)."""
    of_ms, of_pan, decoder = network.ms_encoder, network.pan_encoder, network.decoder
    detail = hard_swish(correlate(pan, of_pan.edges))
    from_pan = encoded(detail, of_pan.down, *of_pan.trunk)
    from_ms = encoded(ms, of_ms.stem, *of_ms.trunk)
    both = conv_unit(np.concatenate([from_ms, from_pan]), network.meet)
    gated = published(
        pyramid(both, network.pyramid), multi_hop_branch(both, network.graph), network.fusion.gates
    )
    coarse = conv_unit(conv_unit(np.concatenate(gated), network.fusion.mix), decoder.coarse)
    fine = repeat(coarse, network.ratio, pan.shape[1:]) + conv_unit(detail, decoder.fine)
    return correlate(conv_unit(hard_swish(fine), decoder.smooth), decoder.classify)


@pytest.mark.parametrize("ratio", [2, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (9, 13), (2, 3)])
def test_with_the_published_gates_it_is_the_formula_on_one_patch(
    ratio: int, size: tuple[int, int]
) -> None:
    network = network_of(ratio=ratio, **SMALL)
    network.fusion.gates = CrossAttentionGates(16, windows=None, gate="softmax", scaled=False)
    network.double().eval()
    ms, pan = (x.double() for x in pair(2, 4, ratio, *size))
    with torch.no_grad():
        logits = network(ms, pan)
    for i in range(2):
        expected = literal(numbers(ms[i]), numbers(pan[i]), network)
        np.testing.assert_allclose(numbers(logits[i]), expected, atol=1e-11)


@pytest.mark.parametrize("bands", [1, 3, 13])
@pytest.mark.parametrize("ratio", [2, 3, 4, 5])
def test_logits_are_on_the_pan_grid_whatever_the_size(bands: int, ratio: int) -> None:
    network = network_of(bands, ratio)
    with torch.no_grad():
        for height, width in ((16, 8), (9, 13), (3, 2), (1, 1)):  # a block has 4 × 4 pixels
            ms, pan = pair(2, bands, ratio, height, width)
            logits = network(ms, pan)
            assert logits.shape == (2, 5, ratio * height, ratio * width)
            assert torch.isfinite(logits).all()
            for features in network.encode(ms, pan):
                assert features.shape == (2, 32, height, width)


CANCELS = "fusion.gates.weigh.bias"
"""The same number for every pixel, which the published softmax over pixels takes out again."""


@pytest.mark.parametrize("arguments", [{}, {"grids": 1, "hops": 2}, {"block_px": 2, "radius": 2}])
def test_every_parameter_gets_a_gradient(arguments: dict[str, int]) -> None:
    network = network_of(**arguments)
    assert [n for n, norm in gradient_norms(network.train()).items() if not norm > 0] in (
        [],
        [CANCELS],
    )
    # Batch normalization takes constants out of a batch, so biases before it hardly count. Later in
    # a training its statistics are fixed, and then every parameter has to.
    silent = [n for n, norm in gradient_norms(network.eval()).items() if not norm > 1e-6]
    assert silent in ([], [CANCELS])


def gradient_norms(network: CafmNet) -> dict[str, float]:
    """Return the norm of the gradient of every parameter."""
    ms, pan = pair(4, 4, 2, 40, 40)
    labels = torch.randint(0, 5, (4, 80, 80), generator=torch.Generator().manual_seed(2))
    network.zero_grad()
    nn.functional.cross_entropy(network(ms, pan), labels).backward()
    return {
        n: float("nan" if p.grad is None else p.grad.norm()) for n, p in network.named_parameters()
    }


def test_the_gates_start_awake_whatever_the_seed() -> None:
    looked: list[Tensor] = []
    for seed in range(12):
        torch.manual_seed(seed)
        network = CafmNet(4, 2, 5).train()
        network.fusion.gates.look.register_forward_hook(lambda m, i, out: looked.append(out))
        with torch.no_grad():
            network(*pair(2, 4, 2, 24, 24))
    assert len(looked) == 24
    assert all((look > 0).float().mean() > 0.5 for look in looked)


def test_stage_one_learns_the_encoders_and_nothing_else() -> None:
    network = network_of().train()
    of_ms, of_pan = network.encode(*pair(2, 4, 2, 24, 24))
    (of_ms.square().sum() + of_pan.square().sum()).backward()
    learned = {p for module in network.encoders() for p in module.parameters()}
    assert {p for p in network.parameters() if p.grad is not None and p.grad.any()} == learned


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_nothing_beyond_the_halo_matters(ratio: int) -> None:
    network = network_of(ratio=ratio, **SMALL).double()
    halo, lattice = network.halo_px, network.lattice_px
    origin = -(-(halo + 1) // lattice) * lattice
    size = origin + lattice + halo + 1
    ms, pan = (x.double().requires_grad_() for x in pair(1, 4, ratio, size, size))
    logits = network(ms, pan)
    farthest = 0
    for row, col in ((0, 0), (lattice - 1, 0), (lattice // 2, lattice - 1)):
        row, col = origin + row, origin + col
        block = logits[..., row * ratio : (row + 1) * ratio, col * ratio : (col + 1) * ratio]
        seen = torch.autograd.grad(block.abs().sum(), (ms, pan), retain_graph=True)
        for gradient, step in zip(seen, (1, ratio), strict=True):
            rows, cols = torch.nonzero(gradient.abs().sum((0, 1)), as_tuple=True)
            reach = max((rows // step - row).abs().max(), (cols // step - col).abs().max())
            farthest = max(farthest, int(reach))
    assert halo - 8 <= farthest <= halo


def test_another_scene_beyond_the_halo_changes_nothing_and_within_it_does() -> None:
    network = network_of(**SMALL).double()
    halo, lattice = network.halo_px, network.lattice_px
    start = -(-halo // lattice) * lattice
    size = 2 * start + lattice + 12
    inner = slice(start, start + lattice)
    ms, pan = (x.double() for x in pair(1, 4, 2, size, size))

    def logits(kept_px: int) -> Tensor:
        """Return the logits where all is another scene but the pixels up to ``kept_px`` away."""
        rows = slice(start - kept_px, start + lattice + kept_px)
        other_ms, other_pan = (1 - ms), (1 - pan)
        fine = slice(2 * rows.start, 2 * rows.stop)
        other_ms[..., rows, rows] = ms[..., rows, rows]
        other_pan[..., fine, fine] = pan[..., fine, fine]
        fine = slice(2 * inner.start, 2 * inner.stop)
        with torch.no_grad():
            return network(other_ms, other_pan)[..., fine, fine]

    with torch.no_grad():
        own = network(ms, pan)[..., 2 * start : 2 * inner.stop, 2 * start : 2 * inner.stop]
    assert torch.equal(logits(halo), own)
    assert not torch.equal(logits(halo // 2), own)


@pytest.mark.parametrize(
    ("threads", "bands", "ratio"), [(1, 1, 4), (1, 6, 2), (2, 6, 2), (1, 13, 3)]
)
def test_a_pixel_has_the_same_bits_in_every_patch(threads: int, bands: int, ratio: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for folded in (True, False) if ratio == 2 else (True,):
            network = network_of(bands, ratio).to(memory_format=torch.channels_last)
            if folded:
                fold_batch_norm(network)
            _compare_patches(network)
    finally:
        torch.set_num_threads(before)


def _compare_patches(network: CafmNet) -> None:
    ratio, halo = network.ratio, network.halo_px
    ms, pan = pair(1, network.bands, ratio, 152, 168)
    edge = halo * ratio
    with torch.inference_mode():
        whole = network(ms, pan)
        for top, left, height, width, batch in (
            (0, 0, 2 * halo + 40, 2 * halo + 48, 1),
            (24, 16, 2 * halo + 17, 2 * halo + 29, 2),
            (8, 56, 2 * halo + 1, 2 * halo + 6, 3),
            (32, 8, 2 * halo + 19, 2 * halo + 60, 1),
        ):
            rows, cols = slice(top, top + height), slice(left, left + width)
            fine_rows = slice(top * ratio, (top + height) * ratio)
            fine_cols = slice(left * ratio, (left + width) * ratio)
            part = network(
                ms[..., rows, cols].repeat(batch, 1, 1, 1),
                pan[..., fine_rows, fine_cols].repeat(batch, 1, 1, 1),
            )[..., edge:-edge, edge:-edge]
            same = whole[..., fine_rows, fine_cols][..., edge:-edge, edge:-edge]
            assert part.numel() > 0
            assert all(torch.equal(one, same[0]) for one in part)


def test_off_the_lattice_the_same_pixel_differs() -> None:
    network = network_of(**SMALL)
    assert network.lattice_px == 8
    halo = network.halo_px
    ms, pan = pair(1, 4, 2, 2 * halo + 8, 2 * halo + 8)
    with torch.no_grad():
        whole = network(ms, pan)[..., 2:, 2:]
        part = network(ms[..., 1:, 1:], pan[..., 2:, 2:])
    inner = slice(2 * halo, -2 * halo)
    assert (whole - part)[..., inner, inner].abs().max() > 1e-4


def test_folding_changes_rounding_only() -> None:
    plain, folded = network_of(), network_of()
    fold_batch_norm(folded)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    inputs = pair(2, 4, 2, 20, 22)
    with torch.no_grad():
        torch.testing.assert_close(folded(*inputs), plain(*inputs), atol=1e-4, rtol=1e-4)


def test_mixed_precision_trains() -> None:
    network = network_of().train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(*pair(2, 4, 2, 24, 24))
    logits.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("bands", [1, 6, 13])
def test_it_is_small(bands: int) -> None:
    assert 100_000 < sum(p.numel() for p in network_of(bands).parameters()) < 600_000


def test_a_graph_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no graph of blocks of 4 px, radius 1 and 1 hops"):
        network_of(hops=1)
