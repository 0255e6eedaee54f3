"""The dense ADCD-Net keeps what its contract promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from panloom.models.contract import FusionNetwork
from panloom.models.folding import fold_batch_norm
from panloom.models.fusion import FUSIONS
from panloom.models.networks import build_network

SMALL: dict[str, Any] = {"width": 16, "deep_width": 16}


def network_of(
    bands: int = 4, ratio: int = 2, arguments: dict[str, Any] | None = None
) -> FusionNetwork:
    """Return a network in eval mode whose normalization and gates are not at their start values."""
    torch.manual_seed(0)
    network = build_network("adcdnet", arguments or SMALL, bands=bands, ratio=ratio, classes=5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.7, 1.3)
    for name, parameter in network.named_parameters():
        if "_gate." in name or name.endswith("gamma"):
            nn.init.normal_(parameter, 0, 0.3)
    return network.eval()


def pair(batch: int, bands: int, ratio: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    return (
        torch.rand(batch, bands, height, width),
        torch.rand(batch, 1, ratio * height, ratio * width),
    )


@pytest.mark.parametrize("bands", [1, 3, 4, 6])
@pytest.mark.parametrize("ratio", [2, 3, 4, 5])
def test_logits_are_on_the_pan_grid(bands: int, ratio: int) -> None:
    network = network_of(bands, ratio)
    with torch.no_grad():
        for height, width in ((8, 8), (9, 13), (1, 1)):
            logits = network(*pair(2, bands, ratio, height, width))
            assert logits.shape == (2, 5, ratio * height, ratio * width)
            assert torch.isfinite(logits).all()


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("shape", [False, True])
def test_every_parameter_gets_a_gradient(fusion: str, shape: bool) -> None:
    arguments = {**SMALL, "fusion": fusion, "spectral_shape": shape}
    network = network_of(arguments=arguments).train()
    network(*pair(2, 4, 2, 24, 24)).square().sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_nothing_beyond_the_halo_matters(ratio: int) -> None:
    network = network_of(ratio=ratio).double()
    size = 2 * network.halo_px + 8
    ms, pan = (x.double().requires_grad_() for x in pair(1, 4, ratio, size, size))
    logits = network(ms, pan)
    middle = size // 2
    for row, col in ((middle, middle), (middle + 1, middle), (middle + 1, middle + 1)):
        block = logits[..., row * ratio : (row + 1) * ratio, col * ratio : (col + 1) * ratio]
        seen = torch.autograd.grad(block.abs().sum(), (ms, pan), retain_graph=True)
        for gradient, step in zip(seen, (1, ratio), strict=True):
            rows, cols = torch.nonzero(gradient.abs().sum((0, 1)), as_tuple=True)
            reach = max((rows // step - row).abs().max(), (cols // step - col).abs().max())
            assert 4 < reach <= network.halo_px


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("ratio", [2, 3])
def test_a_pixel_has_the_same_bits_in_every_patch(threads: int, ratio: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        _compare_patches(ratio)
    finally:
        torch.set_num_threads(before)


def _compare_patches(ratio: int) -> None:
    network = network_of(6, ratio, {}).to(memory_format=torch.channels_last)
    fold_batch_norm(network)
    halo = network.halo_px + network.halo_px % network.lattice_px
    ms, pan = pair(1, 6, ratio, 140, 150)
    edge = halo * ratio
    with torch.inference_mode():
        whole = network(ms, pan)
        for top, left, height, width, batch in (
            (0, 0, 2 * halo + 48, 2 * halo + 48, 1),
            (30, 18, 2 * halo + 34, 2 * halo + 52, 3),
            (2, 60, 2 * halo + 2, 2 * halo + 6, 4),
            (10, 20, 2 * halo + 51, 2 * halo + 35, 2),
        ):
            rows, cols = slice(top, top + height), slice(left, left + width)
            fine_rows = slice(top * ratio, (top + height) * ratio)
            fine_cols = slice(left * ratio, (left + width) * ratio)
            part = network(
                ms[..., rows, cols].repeat(batch, 1, 1, 1),
                pan[..., fine_rows, fine_cols].repeat(batch, 1, 1, 1),
            )[..., edge:-edge, edge:-edge]
            same = whole[..., fine_rows, fine_cols][..., edge:-edge, edge:-edge]
            assert all(torch.equal(one, same[0]) for one in part)


def test_the_same_seed_gives_the_same_network() -> None:
    first, second = network_of(), network_of()
    inputs = pair(1, 4, 2, 16, 16)
    with torch.no_grad():
        assert torch.equal(first(*inputs), second(*inputs))


def test_folding_changes_rounding_only() -> None:
    plain, folded = network_of(), network_of()
    fold_batch_norm(folded)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    inputs = pair(2, 4, 2, 20, 22)
    with torch.no_grad():
        torch.testing.assert_close(folded(*inputs), plain(*inputs), atol=1e-4, rtol=1e-4)


def test_a_network_in_training_is_not_folded() -> None:
    with pytest.raises(ValueError, match="training mode cannot be folded"):
        fold_batch_norm(network_of().train())


def test_unknown_names_are_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="unknown network 'unet'; known: adcdnet"):
        build_network("unet", {}, bands=4, ratio=4, classes=3)
    with pytest.raises(ValueError, match="has no argument depth; known: width, deep_width"):
        build_network("adcdnet", {"depth": 3}, bands=4, ratio=4, classes=3)
    with pytest.raises(ValueError, match="unknown fusion 'wish'; known: cafm, concat, dual_"):
        build_network("adcdnet", {"fusion": "wish"}, bands=4, ratio=4, classes=3)
    with pytest.raises(ValueError, match="for 0 bands"):
        build_network("adcdnet", {}, bands=0, ratio=4, classes=3)
