"""What every fusion block promises to the network around it: shape, reach, the same in any tile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from panloom.models.cafm import CafmFusion
from panloom.models.dual_attention import DualAttentionFusion
from panloom.models.msaf import MsafFusion
from panloom.models.msc import MscFusion

CHANNELS = 32
DENSE: dict[str, Callable[[], nn.Module]] = {
    "cafm": lambda: CafmFusion(CHANNELS),
    "dual_attention": lambda: DualAttentionFusion(CHANNELS),
    "msaf": lambda: MsafFusion(CHANNELS),
    "msaf_layer": lambda: MsafFusion(CHANNELS, norm="layer"),
    "msc": lambda: MscFusion(CHANNELS),
}
PAPER: dict[str, Callable[[], nn.Module]] = {
    "cafm": lambda: CafmFusion(CHANNELS, windows=None),
    "dual_attention": lambda: DualAttentionFusion(CHANNELS, windows=None),
    "msaf": lambda: MsafFusion(CHANNELS, patch_px=None),
    "msc": lambda: MscFusion(CHANNELS, windows=None, radius=None),
}


def block_of(make: Callable[[], nn.Module]) -> nn.Module:
    """Return a block in eval mode whose normalization and gains are not at their start values."""
    torch.manual_seed(0)
    block = make()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.7, 1.3)
    for name, parameter in block.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
    return block.eval()


def pair(batch: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return features as convolutions leave them: rectified, channels-last."""
    ms, pan = torch.randn(2, batch, CHANNELS, height, width).relu()
    return tuple(x.contiguous(memory_format=torch.channels_last) for x in (ms, pan))  # type: ignore


@pytest.mark.parametrize("make", [*DENSE.values(), *PAPER.values()])
def test_any_size_goes_in_and_comes_out(make: Callable[[], nn.Module]) -> None:
    block = block_of(make)
    with torch.no_grad():
        for height, width in ((16, 16), (9, 13), (2, 3), (1, 1)):
            ms, pan = pair(3, height, width)
            fused = block(ms, pan)
            assert fused.shape == ms.shape
            assert torch.isfinite(fused).all()
            one = block(ms[1:2], pan[1:2])
            torch.testing.assert_close(fused[1:2], one, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [*DENSE.values(), *PAPER.values()])
def test_every_parameter_gets_a_gradient(make: Callable[[], nn.Module]) -> None:
    block = block_of(make).train()
    block(*pair(2, 20, 20)).square().sum().backward()
    silent = [n for n, p in block.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    assert sum(p.numel() for p in block.parameters()) < 100_000


@pytest.mark.parametrize("name", PAPER)
def test_both_modes_have_the_same_parameters(name: str) -> None:
    dense, paper = block_of(DENSE[name]), block_of(PAPER[name])
    dense.load_state_dict(paper.state_dict(), strict=True)


@pytest.mark.parametrize("name", DENSE)
def test_nothing_beyond_the_reach_matters(name: str) -> None:
    block = block_of(DENSE[name]).double()
    reach, lattice = int(block.reach_px), int(block.lattice_px)
    origin = -(-(reach + 1) // lattice) * lattice
    size = origin + 2 * lattice + reach
    ms, pan = (x.double().requires_grad_() for x in pair(1, size, size))
    fused = block(ms, pan)
    farthest = 0
    for offset in (0, lattice // 2, lattice - 1):
        row, col = origin + offset, origin + lattice - 1 - offset
        gradients = torch.autograd.grad(fused[..., row, col].sum(), (ms, pan), retain_graph=True)
        for gradient in gradients:
            rows, cols = torch.nonzero(gradient.abs().sum((0, 1)), as_tuple=True)
            farthest = max(farthest, int((rows - row).abs().max()), int((cols - col).abs().max()))
    assert reach // 2 < farthest <= reach


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_pixel_has_the_same_bits_in_every_patch(name: str, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert _largest_difference(block_of(DENSE[name])) == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", PAPER)
def test_the_published_form_does_depend_on_the_patch(name: str) -> None:
    paper = block_of(PAPER[name])
    ms, pan = pair(1, 24, 40)
    with torch.no_grad():
        whole = paper(ms, pan)[..., 4:20, 16:32]
        part = paper(ms[..., 4:20, 16:32], pan[..., 4:20, 16:32])
    assert (part - whole)[..., 5:11, 5:11].abs().max() > 1e-4


def _largest_difference(block: nn.Module) -> float:
    """Return the largest difference of a pixel between patches, at least the reach inside each."""
    torch.manual_seed(3)
    reach, lattice = int(block.reach_px), int(block.lattice_px)
    largest = 0.0
    with torch.no_grad():
        ms, pan = pair(1, 112, 104)
        whole = block(ms, pan)
        for row, col, height, width in ((8, 16, 72, 64), (32, 0, 61, 75), (24, 40, 80, 51)):
            row, col = row // lattice * lattice, col // lattice * lattice
            patch = (..., slice(row, row + height), slice(col, col + width))
            part = block(ms[patch], pan[patch])
            inner = (..., slice(reach, height - reach), slice(reach, width - reach))
            assert part[inner].numel() > 0
            largest = max(largest, (part[inner] - whole[patch][inner]).abs().max().item())
    return largest
