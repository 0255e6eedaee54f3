"""Units and exact operations against PyTorch's own layers and against formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from panloom.models.depth_branches import MsBranch, PanBranch, normalized_differences
from panloom.models.exact import BlockConv2d, StencilConv2d, grow_twice, sigmoid
from panloom.models.units import BoxGate, ConvUnit, InvertedResidual, box_mean


@pytest.mark.parametrize(("channels", "out", "kernel", "stride"), [(6, 5, 1, 1), (16, 32, 3, 3)])
def test_filled_up_channels_change_nothing(
    channels: int, out: int, kernel: int, stride: int
) -> None:
    layer = BlockConv2d(channels, out, kernel, stride)
    x = torch.randn(2, channels, 12, 9)
    plain = F.conv2d(x, layer.weight, layer.bias, stride)
    torch.testing.assert_close(layer(x), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1), (7, 10), (8, 8)])
def test_a_stencil_is_a_3x3_convolution(stride: int, shape: tuple[int, int]) -> None:
    layer = StencilConv2d(2, 3, stride)
    x = torch.randn(2, 2, *shape)
    plain = F.conv2d(x, layer.weight, layer.bias, stride, padding=1)
    torch.testing.assert_close(layer(x), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_stencil_inside_sees_nothing_beyond_its_input(stride: int) -> None:
    layer = StencilConv2d(2, 3, stride)
    x = torch.randn(2, 2, 9, 12)
    plain = F.conv2d(x, layer.weight, layer.bias, stride)
    torch.testing.assert_close(layer.inside(x), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("edge_px", [1, 2, 6])
@torch.inference_mode()
def test_detail_made_again_is_the_detail_to_the_last_bit(edge_px: int) -> None:
    branch = PanBranch(2, 32, 16, 3).eval()
    pan = torch.randn(1, 1, 40, 36)
    whole = branch.detail(pan)
    inner = whole[..., edge_px:-edge_px, edge_px:-edge_px]
    assert torch.equal(branch.detail(pan, edge_px), inner)
    assert torch.equal(branch(pan)[0], whole)


@torch.inference_mode()
def test_attended_features_alone_are_those_of_all_depths() -> None:
    ms, pan = torch.randn(1, 6, 20, 18), torch.randn(1, 1, 40, 36)
    for spectral_shape in (False, True):
        branch = MsBranch(6, 32, 3, spectral_shape).eval()
        assert torch.equal(branch.attended(ms), branch(ms).attended)
    pan_branch = PanBranch(2, 32, 16, 3).eval()
    assert torch.equal(pan_branch.attended(pan), pan_branch(pan)[1].attended)


@torch.no_grad()
def test_a_unit_inside_is_the_unit_but_for_its_border() -> None:
    unit = ConvUnit(8, 8, 5, depthwise=True).eval()
    x = torch.randn(2, 8, 11, 9)
    torch.testing.assert_close(unit.inside(x), unit(x)[..., 2:-2, 2:-2], atol=1e-6, rtol=1e-5)


def test_sigmoid_is_correctly_rounded() -> None:
    x = torch.linspace(-20, 20, 1001)
    exact = (1 / (1 + np.exp(-x.double().numpy()))).astype(np.float32)
    assert np.array_equal(sigmoid(x).numpy(), exact)


def test_doubling_repeats_every_pixel_and_crops() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    rows = x[0, 0].repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(grow_twice(x, (3, 5))[0, 0], rows[:3, :5])


@pytest.mark.parametrize("radius", [1, 3, 9])
def test_the_box_mean_counts_only_what_is_there(radius: int) -> None:
    x = torch.randn(2, 3, 8, 11)
    expected = torch.empty_like(x)
    for row in range(8):
        for col in range(11):
            box = x[
                ...,
                max(0, row - radius) : row + radius + 1,
                max(0, col - radius) : col + radius + 1,
            ]
            expected[..., row, col] = box.mean((2, 3))
    torch.testing.assert_close(box_mean(x, radius), expected)


def test_a_gate_over_the_whole_patch_is_squeeze_and_excitation() -> None:
    gate = BoxGate(32, radius=16)
    x = torch.randn(2, 32, 16, 16)
    pooled = x.mean((2, 3), keepdim=True)
    hidden = F.relu(F.conv2d(pooled, gate.squeeze.weight, gate.squeeze.bias))
    weight = F.hardsigmoid(F.conv2d(hidden, gate.excite.weight, gate.excite.bias))
    torch.testing.assert_close(gate(x), x * weight)


def test_the_unit_adds_its_input_only_where_shapes_allow() -> None:
    for unit, keeps in (
        (InvertedResidual(16, 16), True),
        (InvertedResidual(16, 32), False),
        (InvertedResidual(16, 16, stride=2), False),
    ):
        assert isinstance(unit.project.norm, nn.BatchNorm2d)
        nn.init.zeros_(unit.project.norm.weight)
        x = torch.randn(1, 16, 6, 6)
        out = unit.eval()(x)
        assert torch.equal(out, x) if keeps else not out.any()


def test_normalized_differences_ignore_a_common_gain() -> None:
    spectrum = torch.tensor([0.2, 0.4, 0.9]).reshape(1, 3, 1, 1)
    pairs = normalized_differences(spectrum, floor=0.0).flatten()
    expected = [(0.4 - 0.2) / 0.6, (0.9 - 0.2) / 1.1, (0.9 - 0.4) / 1.3]
    torch.testing.assert_close(pairs, torch.tensor(expected))
    torch.testing.assert_close(normalized_differences(3 * spectrum, floor=0.0).flatten(), pairs)
    assert not normalized_differences(torch.zeros(1, 3, 2, 2)).any()
