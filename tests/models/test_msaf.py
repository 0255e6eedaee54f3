"""MSAF against its published formula, written out in double precision, and against its faults."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from panloom.models.msaf import Branch, LenientBatchNorm2d, MsafFusion
from panloom.models.units import ConvUnit

Array = NDArray[np.float64]


def normalized(x: Array, unit: nn.Module) -> Array:
    """Return BN(W x) in evaluation mode for x (C, h, w)."""
    assert isinstance(unit, ConvUnit)
    assert isinstance(unit.norm, nn.BatchNorm2d)
    norm = unit.norm
    mean, var, gain, shift = (
        t.detach().numpy()[:, None, None]
        for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    y = np.einsum("oi,ihw->ohw", unit.conv.weight.detach().numpy()[:, :, 0, 0], x)
    return np.asarray((y - mean) / np.sqrt(var + norm.eps) * gain + shift)


def branch(x: Array, layers: nn.Module) -> Array:
    assert isinstance(layers, Branch)
    return normalized(np.maximum(normalized(x, layers.squeeze), 0), layers.excite)


def adaptive_mean(x: Array, k: int) -> Array:
    """Return the k × k means of x (C, h, w): cell i is ⌊i·h/k⌋ … ⌈(i+1)·h/k⌉."""
    height, width = x.shape[1:]
    out = np.zeros((len(x), k, k))
    for i, j in np.ndindex(k, k):
        rows = slice(i * height // k, math.ceil((i + 1) * height / k))
        cols = slice(j * width // k, math.ceil((j + 1) * width / k))
        out[:, i, j] = x[:, rows, cols].mean(axis=(1, 2))
    return out


def nearest(x: Array, height: int, width: int) -> Array:
    rows = np.arange(height) * x.shape[1] // height
    cols = np.arange(width) * x.shape[2] // width
    return np.asarray(x[:, rows][:, :, cols])


def published(x: Array, r: Array, fusion: MsafFusion, contexts: tuple[int, ...]) -> Array:
    """Return DSNet's MSAF of x and r (C, h, w)."""
    both = x + r
    logits = branch(both, fusion.local_branch)
    logits = logits + branch(both.mean(axis=(1, 2), keepdims=True), fusion.global_branch)
    for context, layers in zip(contexts, fusion.context_branches, strict=True):
        logits = logits + nearest(branch(adaptive_mean(both, context), layers), *x.shape[1:])
    w = 1 / (1 + np.exp(-logits))
    return np.asarray(2 * x * w + 2 * r * (1 - w))


def fusion_of(channels: int = 16, **options: object) -> MsafFusion:
    torch.manual_seed(0)
    fusion = MsafFusion(channels, **options)  # type: ignore[arg-type]
    for module in fusion.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.5)
            nn.init.uniform_(module.running_var, 0.3, 1.5)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return fusion.double().eval()


def maps(batch: int, channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    shape = (batch, channels, height, width)
    return torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("contexts", [(4, 8), (4, 8, 16)])
@pytest.mark.parametrize("size", [(16, 16), (17, 22)])
def test_paper_mode_is_the_published_formula(
    contexts: tuple[int, ...], size: tuple[int, int]
) -> None:
    fusion = fusion_of(patch_px=None, contexts=contexts)
    x, r = maps(2, 16, *size)
    y = fusion(x, r).detach().numpy()
    for i in range(2):
        expected = published(x[i].numpy(), r[i].numpy(), fusion, contexts)
        np.testing.assert_allclose(y[i], expected, atol=1e-12)


def test_cells_of_a_patch_are_the_published_formula_on_that_patch() -> None:
    fusion = fusion_of(patch_px=16, global_px=16)
    x, r = maps(1, 16, 16, 16)
    expected = published(x[0].numpy(), r[0].numpy(), fusion, (4, 8, 16))
    np.testing.assert_allclose(fusion(x, r)[0].detach().numpy(), expected, atol=1e-12)


def test_the_weight_is_shared_out() -> None:
    fusion = fusion_of()
    x, r = maps(2, 16, 13, 18)
    weight = fusion.weigh(x + r)
    assert 0 < weight.min() < weight.max() < 1
    torch.testing.assert_close(fusion(x, r) + fusion(r, x), 2 * (x + r))
    torch.testing.assert_close(fusion(x, x), 2 * x)


def test_one_patch_can_be_trained() -> None:
    published_branch = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.BatchNorm2d(4), nn.ReLU()
    )
    x, r = (t.float() for t in maps(1, 16, 16, 16))
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        published_branch.train()(x)
    for options in ({"patch_px": None}, {"patch_px": 16}, {"norm": "layer"}):
        fusion = MsafFusion(16, **options).train()  # type: ignore[arg-type]
        fusion(x, r).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in fusion.parameters() if p.grad is not None)


def test_a_normal_batch_is_normalized_as_ever() -> None:
    lenient, plain = LenientBatchNorm2d(4).train(), nn.BatchNorm2d(4, eps=1e-3).train()
    x = torch.randn(2, 4, 1, 1)
    torch.testing.assert_close(lenient(x), plain(x))


def test_few_channels_still_have_hidden_ones() -> None:
    assert 2 // 4 == 0  # the published width: such a branch cannot depend on its input
    fusion = fusion_of(2)
    x, r = maps(1, 2, 16, 16)
    assert fusion.weigh(x).std() > 0.01
    assert not torch.equal(fusion.weigh(x), fusion.weigh(r))


def test_contexts_finer_than_the_map_are_left_out() -> None:
    fusion = fusion_of(patch_px=None, contexts=(4, 8))
    x, r = maps(1, 16, 5, 6)
    only_four = fusion_of(patch_px=None, contexts=(4,))
    only_four.load_state_dict(fusion.state_dict(), strict=False)
    torch.testing.assert_close(fusion(x, r), only_four(x, r))
    with_repeats = published(x[0].numpy(), r[0].numpy(), fusion, (4, 8))
    assert np.abs(with_repeats - fusion(x, r)[0].detach().numpy()).max() > 1e-3


def test_layer_normalization_does_not_see_the_batch() -> None:
    fusion = fusion_of(norm="layer").train()
    x, r = maps(3, 16, 12, 9)
    torch.testing.assert_close(fusion(x, r)[:1], fusion(x[:1], r[:1]))


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        MsafFusion(16, contexts=(4, 6), patch_px=16)
    assert str(caught.value) == (
        "contexts (4, 6) do not all divide a patch of 16 px; choose contexts or patch_px so that "
        "every cell is a whole number of pixels"
    )
    with pytest.raises(ValueError, match="unknown normalization 'group'; known: batch, layer"):
        MsafFusion(16, norm="group")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"MSAF got maps \(1, 8, 4, 4\) and \(1, 8, 2, 2\)"):
        MsafFusion(8)(torch.zeros(1, 8, 4, 4), torch.zeros(1, 8, 2, 2))
