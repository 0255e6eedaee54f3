"""Atrous convolutions and DSNet's blocks of them against loops in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from panloom.models.atrous import (
    AtrousBlock,
    AtrousPyramid,
    AtrousResidual,
    AtrousUnit,
    dilated,
    rectify,
)
from panloom.models.folding import fold_batch_norm
from panloom.models.units import ConvUnit

from .literal_units import Array, conv_unit, numbers, unsettle


def spread(x: Array, layer: nn.Module, rate: int) -> Array:
    """Return the depthwise convolution of x (C, h, w), taps ``rate`` apart, pixel by pixel."""
    assert isinstance(layer, nn.Conv2d)
    kernel = numbers(layer.weight)[:, 0]  # (C, 3, 3)
    out = np.zeros_like(x)
    for row, col in np.ndindex(*x.shape[1:]):
        for dy, dx in np.ndindex(3, 3):
            y, z = row + rate * (dy - 1), col + rate * (dx - 1)
            if 0 <= y < x.shape[1] and 0 <= z < x.shape[2]:
                out[:, row, col] += kernel[:, dy, dx] * x[:, y, z]
    return out


def atrous_unit(x: Array, unit: nn.Module, rate: int) -> Array:
    assert isinstance(unit, AtrousUnit)
    return np.maximum(conv_unit(spread(x, unit.spread, rate), unit.mix), 0)


def atrous_residual(x: Array, unit: AtrousResidual, rate: int) -> Array:
    inner = spread(conv_unit(x, unit.expand), unit.spread.conv, rate)
    plain = ConvUnit(len(inner), len(inner), depthwise=True).double()
    nn.init.ones_(plain.conv.weight)  # what is left of the unit: its normalization
    plain.norm = unit.spread.norm
    return x + conv_unit(conv_unit(inner, plain), unit.project)


def atrous_block(x: Array, block: AtrousBlock, rate: int) -> Array:
    seen = [x]
    for unit in block.row:
        seen.append(atrous_unit(seen[-1], unit, rate))
    mixed = np.maximum(conv_unit(np.concatenate(seen[1:]), block.mix), 0)
    return mixed + np.maximum(conv_unit(x, block.keep), 0)


def atrous_pyramid(x: Array, block: AtrousPyramid, rates: tuple[int, ...], mean: Array) -> Array:
    """Return SPASPP of x (C, h, w); ``mean`` (C, h, w) is what its pooling branch sees."""
    seen = [x]
    for rate, unit in zip(rates, block.row, strict=True):
        seen.append(atrous_unit(seen[-1], unit, rate))
    pooled = np.maximum(conv_unit(mean, block.pool), 0)
    mixed = np.maximum(conv_unit(np.concatenate([*seen[1:], pooled]), block.mix), 0)
    return atrous_unit(mixed + np.maximum(conv_unit(x, block.keep), 0), block.refine, 1)


def prepared(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    unsettle(module)
    return module.double().eval()


def maps(*shape: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("rate", [1, 2, 5])
@pytest.mark.parametrize("size", [(9, 12), (3, 4), (1, 1)])
def test_a_unit_is_a_dilated_convolution(rate: int, size: tuple[int, int]) -> None:
    unit, x = prepared(AtrousUnit(6, 4, rate)), maps(2, 6, *size)
    y = numbers(unit(x))
    for i in range(2):
        np.testing.assert_allclose(y[i], atrous_unit(numbers(x[i]), unit, rate), atol=1e-12)


def test_a_unit_is_a_dense_dilated_convolution_with_a_product_as_kernel() -> None:
    unit, x = prepared(AtrousUnit(6, 4, 3)), maps(1, 6, 11, 10)
    assert isinstance(unit, AtrousUnit)
    kernel = unit.mix.conv.weight * unit.spread.weight.transpose(0, 1)  # (4, 6, 3, 3)
    dense = F.conv2d(x, kernel, padding=3, dilation=3)
    torch.testing.assert_close(unit(x), torch.relu(unit.mix.norm(dense)))


@pytest.mark.parametrize("rate", [1, 4])
def test_the_residual_is_its_formula(rate: int) -> None:
    unit, x = prepared(AtrousResidual(5, rate)), maps(2, 5, 10, 7)
    assert isinstance(unit, AtrousResidual)
    y = numbers(unit(x))
    for i in range(2):
        np.testing.assert_allclose(y[i], atrous_residual(numbers(x[i]), unit, rate), atol=1e-12)


@pytest.mark.parametrize("rate", [2, 3])
def test_the_block_is_its_formula(rate: int) -> None:
    block, x = prepared(AtrousBlock(4, rate)), maps(2, 4, 11, 8)
    assert isinstance(block, AtrousBlock)
    y = numbers(block(x))
    for i in range(2):
        np.testing.assert_allclose(y[i], atrous_block(numbers(x[i]), block, rate), atol=1e-12)


@pytest.mark.parametrize("mean_px", [None, 2])
def test_the_pyramid_is_its_formula(mean_px: int | None) -> None:
    rates = (1, 2, 3)
    block, x = prepared(AtrousPyramid(4, rates, mean_px)), maps(1, 4, 8, 9)
    assert isinstance(block, AtrousPyramid)
    around = numbers(x[0])
    mean = np.empty_like(around)
    for row, col in np.ndindex(8, 9):
        near = around if mean_px is None else box(around, row, col, mean_px)
        mean[:, row, col] = near.mean(axis=(1, 2))
    expected = atrous_pyramid(around, block, rates, mean)
    np.testing.assert_allclose(numbers(block(x)[0]), expected, atol=1e-12)


def box(x: Array, row: int, col: int, radius: int) -> Array:
    rows = slice(max(0, row - radius), row + radius + 1)
    return x[:, rows, max(0, col - radius) : col + radius + 1]


def test_one_whole_patch_can_be_trained() -> None:
    block = AtrousPyramid(16, (1, 2), None).train()
    block(torch.randn(1, 16, 12, 12)).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in block.parameters())


@pytest.mark.parametrize(
    "block",
    [
        AtrousUnit(32, 32, 5),
        AtrousResidual(32, 3),
        AtrousBlock(32, 3),
        AtrousPyramid(32, (1, 3), 4),
    ],
    ids=lambda block: type(block).__name__,
)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_pixel_has_the_same_bits_in_every_patch(
    block: AtrousUnit | AtrousResidual | AtrousBlock | AtrousPyramid, threads: int
) -> None:
    torch.manual_seed(0)
    unsettle(block.eval())
    fold_batch_norm(block)
    reach = block.reach_px
    x = torch.randn(1, 32, 190, 200).contiguous(memory_format=torch.channels_last)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            whole = block(x)
            for top, left, height, width, batch in ((0, 0, 33, 41, 1), (7, 3, 31, 190, 3)):
                rows, cols = slice(top, top + height), slice(left, left + width)
                parts = block(x[..., rows, cols].repeat(batch, 1, 1, 1))
                inner = (..., slice(reach, height - reach), slice(reach, width - reach))
                same = whole[..., rows, cols][inner][0]
                assert all(torch.equal(one, same) for one in parts[inner])
    finally:
        torch.set_num_threads(before)


def test_a_rectified_map_is_changed_only_where_no_gradient_is_wanted() -> None:
    x = torch.tensor([-1.0, 2.0])
    assert rectify(x).tolist() == [0.0, 2.0]
    assert x.tolist() == [-1.0, 2.0]
    with torch.no_grad():
        assert rectify(x) is x


def test_a_dilated_convolution_keeps_the_size_and_has_no_bias() -> None:
    layer = dilated(3, 4)
    assert layer(torch.zeros(1, 3, 5, 6)).shape == (1, 3, 5, 6)
    assert layer.bias is None
