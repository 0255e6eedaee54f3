"""Diversified interactive attention against its formula, written out in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from panloom.models.dia import MS_SCALES, PAN_SCALES, REACH_PX, CrossGate, scale_gradient

Array = NDArray[np.float64]


def conv(x: Array, layer: nn.Conv2d) -> Array:
    """Return the 3×3 correlation of x (I, h, w) with zeros around it, tap by tap."""
    assert layer.bias is not None
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    step = layer.stride[0]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    height, width = x.shape[1:]
    out = np.zeros((weight.shape[0], -(-height // step), -(-width // step)))
    for o, row, col in np.ndindex(out.shape):
        patch = padded[:, row * step : row * step + 3, col * step : col * step + 3]
        out[o, row, col] = bias[o] + (patch * weight[o]).sum()
    return out


def logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def reference(x: Array, gate: CrossGate) -> Array:
    """Return DIA's output for x (C, h, w), as networks of the field define it."""
    mean = conv(x.mean(axis=0, keepdims=True), gate.mean_down)
    peak = conv(x.max(axis=0, keepdims=True), gate.max_down)
    both = np.concatenate(
        [logistic(conv(mean, gate.mean_gate)) * peak, logistic(conv(peak, gate.max_gate)) * mean]
    )
    small = conv(both, gate.merge)
    large = small.repeat(2, axis=1).repeat(2, axis=2)[:, : x.shape[1], : x.shape[2]]
    return x * logistic(large)


def random_gate(seed: int, **options: bool) -> CrossGate:
    torch.manual_seed(seed)
    gate = CrossGate(*MS_SCALES, **options)
    for parameter in gate.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    return gate


@pytest.mark.parametrize("shape", [(4, 8, 8), (3, 7, 9), (5, 1, 1), (2, 6, 11)])
def test_the_mask_is_the_formula(shape: tuple[int, int, int]) -> None:
    gate = random_gate(0)
    x = torch.randn(2, *shape)
    y = gate(x).detach().numpy()
    for i in range(2):
        np.testing.assert_allclose(y[i], reference(x[i].double().numpy(), gate), atol=1e-5)


def test_rectify_cuts_off_negative_values() -> None:
    x = torch.randn(1, 3, 6, 6)
    plain, cut = random_gate(1), random_gate(1, rectify=True)
    torch.testing.assert_close(cut(x), plain(x).clamp(min=0))


def test_gates_start_neutral() -> None:
    gate = CrossGate(*PAN_SCALES)
    for inner in (gate.mean_gate, gate.max_gate):
        assert inner.bias is not None
        assert not inner.weight.any()
        assert not inner.bias.any()


@pytest.mark.parametrize("scale", [0.1, 0.4, 1.0])
def test_the_gradient_is_scaled_exactly_and_the_value_not_at_all(scale: float) -> None:
    x = torch.randn(50, requires_grad=True)
    weights = torch.randn(50)
    y = scale_gradient(x, scale)
    assert torch.equal(y, x)
    (y * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(x.grad, scale * weights)


def test_the_scale_reaches_the_input_of_the_inner_gate_only() -> None:
    """The weights of the inner gates get their whole gradient; what lies before gets a share."""
    x = torch.rand(1, 3, 8, 8)

    def gradients(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        gate = random_gate(2)
        gate.mean_scale, gate.max_scale = scale, 1.0
        nn.init.zeros_(gate.max_gate.weight)
        # Only the path through the mean's gate is left: nothing of the mean itself is passed on.
        gate.merge.weight.data[:, 1] = 0
        gate(x).sum().backward()
        assert gate.mean_gate.weight.grad is not None
        assert gate.mean_down.weight.grad is not None
        return gate.mean_gate.weight.grad, gate.mean_down.weight.grad

    inner_whole, before_whole = gradients(1.0)
    inner_part, before_part = gradients(0.25)
    assert torch.equal(inner_whole, inner_part)
    torch.testing.assert_close(before_part, 0.25 * before_whole)


def test_moving_by_an_even_number_of_pixels_moves_the_output() -> None:
    gate = random_gate(3)
    x = torch.randn(1, 4, 40, 40)
    inner = slice(REACH_PX + 6, 40 - REACH_PX - 6)
    moved = gate(x.roll((2, -4), (2, 3)))
    torch.testing.assert_close(
        moved.roll((-2, 4), (2, 3))[..., inner, inner], gate(x)[..., inner, inner]
    )


def test_nothing_beyond_the_reach_matters() -> None:
    gate = random_gate(4)
    x = torch.randn(1, 3, 41, 41, requires_grad=True)
    for row, col in ((20, 20), (21, 20), (21, 21)):
        (gradient,) = torch.autograd.grad(gate(x)[0, :, row, col].sum(), x)
        rows, cols = torch.nonzero(gradient.abs().sum((0, 1)), as_tuple=True)
        assert max((rows - row).abs().max(), (cols - col).abs().max()) <= REACH_PX
