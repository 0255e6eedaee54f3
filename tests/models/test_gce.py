"""GCE against its published formula, written out, and against its faults."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from panloom.models.gce import GroupEnhancer

Array = NDArray[np.float64]


def features(*shape: int, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64)


def close(y: Tensor, expected: Array) -> None:
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-10)


def published_gce(x: Array, gce: GroupEnhancer) -> Array:
    """Return MSCN's GCE of x (C, h, w): group by group, SE, gate per pixel, hard threshold."""
    weight = {name: p.detach().numpy() for name, p in gce.named_parameters()}
    size = len(x) // gce.groups
    hidden = len(weight["squeeze.weight"]) // gce.groups
    out = np.zeros_like(x)
    for g in range(gce.groups):
        own, inner = slice(g * size, (g + 1) * size), slice(g * hidden, (g + 1) * hidden)
        part = x[own]
        squeezed = weight["squeeze.weight"][inner, :, 0, 0] @ part.mean(axis=(1, 2))
        squeezed = np.maximum(squeezed + weight["squeeze.bias"][inner], 0)
        excited = weight["excite.weight"][own, :, 0, 0] @ squeezed + weight["excite.bias"][own]
        part = part / (1 + np.exp(-excited))[:, None, None]
        gate = np.einsum("c,chw->hw", weight["focus.weight"][g, :, 0, 0], part)
        part = part / (1 + np.exp(-(gate + weight["focus.bias"][g])))
        y = 1 / (1 + np.exp(-part))
        out[own] = x[own] * np.where(y > y.mean(), 1, y) + x[own]
    return out


def enhancer(radius: int | None, groups: int = 4) -> GroupEnhancer:
    torch.manual_seed(0)
    return GroupEnhancer(16, groups=groups, radius=radius).double()


@pytest.mark.parametrize("radius", [None, 16])
@pytest.mark.parametrize("groups", [1, 4, 8])
def test_enhancer_is_the_published_formula(radius: int | None, groups: int) -> None:
    gce, x = enhancer(radius, groups), features(3, 16, 9, 13)
    for i in range(3):
        close(gce(x)[i], published_gce(x[i].numpy(), gce))


def test_enhancer_amplifies_between_once_and_twice() -> None:
    gce, x = enhancer(4), features(1, 16, 20, 20)
    mask = gce.mask(x)
    assert 0 < mask.min() < mask.max() == 1
    assert ((gce(x).abs() >= x.abs()) & (gce(x).abs() <= 2 * x.abs())).all()


def test_groups_do_not_mix() -> None:
    gce, x = enhancer(4), features(1, 16, 10, 10)
    changed = x.clone()
    changed[:, :4] += 1
    same = (gce(x) == gce(changed)).all(dim=(0, 2, 3))  # type: ignore[call-overload]
    assert same.tolist() == [False] * 4 + [True] * 12


def test_the_hard_gate_is_local() -> None:
    x = features(1, 16, 40, 40)
    changed = x.clone()
    changed[..., 20:] *= 5
    far = (..., slice(0, 10))
    assert not torch.equal(enhancer(None)(x)[far], enhancer(None)(changed)[far])  # as published
    torch.testing.assert_close(enhancer(4)(x)[far], enhancer(4)(changed)[far], atol=0, rtol=0)


def test_the_hard_gate_reaches_as_far_as_it_says() -> None:
    """By change, since a threshold has no gradient."""
    gce, farthest = enhancer(2), 0
    for seed in range(20):
        x = features(1, 16, 25, 25, seed=seed) * 0.01
        changed = x.clone()
        changed[..., 12, 12] = 50
        rows, cols = torch.nonzero((gce(x) != gce(changed)).any(dim=1)[0], as_tuple=True)
        farthest = max(farthest, int((rows - 12).abs().max()), int((cols - 12).abs().max()))
    assert gce.reach_px // 2 < farthest <= gce.reach_px


def test_the_gradient_goes_through_y_where_it_is_not_gated_to_1() -> None:
    gce, x = enhancer(None), features(2, 16, 9, 7).requires_grad_()
    mask = gce.mask(x)
    gated = mask == 1
    assert 0.2 < gated.double().mean() < 0.8
    parameters = [x, *gce.parameters()]
    found = torch.autograd.grad(gce(x).square().sum(), parameters)
    out = x * torch.where(gated, 1, literal_y(x, gce)) + x
    for one, other in zip(found, torch.autograd.grad(out.square().sum(), parameters), strict=True):
        assert other.any()
        torch.testing.assert_close(one, other)


def literal_y(x: Tensor, gce: GroupEnhancer) -> Tensor:
    """Return σ(x·a·s) of x (B, C, h, w), each group by itself."""
    parts = []
    sides = [[p.chunk(gce.groups) for p in m.parameters()] for m in gce.children()]
    for g, part in enumerate(x.chunk(gce.groups, dim=1)):
        (w1, b1), (w2, b2), (w3, b3) = ([p[g] for p in side] for side in sides)
        hidden = torch.relu(part.mean(dim=(2, 3)) @ w1[:, :, 0, 0].T + b1)
        part = part * torch.sigmoid(hidden @ w2[:, :, 0, 0].T + b2)[..., None, None]
        gate = (part * w3).sum(dim=1, keepdim=True) + b3
        parts.append(torch.sigmoid(part * torch.sigmoid(gate)))
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_half_precision_gates_the_same_pixels(scale: float) -> None:
    gce, x = enhancer(3).float(), features(2, 16, 24, 24).float() * scale
    expected = gce.mask(x) == 1
    with torch.autocast("cpu", torch.bfloat16):
        mask = gce.mask(x.bfloat16())
        assert gce(x.bfloat16()).dtype == torch.bfloat16
    assert ((mask == 1) == expected).float().mean() > 0.98
    y = literal_y(x, gce).bfloat16()  # as it would be without care
    rough = y > y.mean(dim=(2, 3), keepdim=True)
    assert scale == 1 or (rough == expected).float().mean() < 0.9


@pytest.mark.parametrize("threads", [1, 2])
def test_the_gate_is_the_same_in_every_patch(threads: int) -> None:
    """To the last bit, in flat ground too, where y is about its mean."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        gce, x = enhancer(3, 8).float(), features(1, 16, 90, 83).float()
        x[..., 20:50, 10:60] = 0.5
        x[..., 60:80, 30:] = 0
        edge = gce.reach_px
        inner = (..., slice(edge, -edge), slice(edge, -edge))
        with torch.inference_mode():
            whole = gce(x.contiguous(memory_format=torch.channels_last))
            for top, left, high, wide in ((0, 0, 40, 57), (3, 7, 77, 41), (49, 11, 15, 13)):
                part = (..., slice(top, top + high), slice(left, left + wide))
                assert torch.equal(gce(x[part])[inner], whole[part][inner])
                assert torch.equal(gce(x[part].repeat(3, 1, 1, 1))[1:2][inner], whole[part][inner])
    finally:
        torch.set_num_threads(before)


def test_groups_have_to_divide_the_channels() -> None:
    pieces = torch.split(torch.zeros(1, 18, 2, 2), 18 // 4, dim=1)
    assert len(pieces) == 5  # the published code pairs them with 4 gates and drops the last
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        GroupEnhancer(18, groups=4)
    assert str(caught.value) == (
        "18 channels do not divide into 4 groups; choose a number of groups that divides 18"
    )


def test_groups_of_few_channels_keep_a_hidden_unit() -> None:
    assert 3 // 4 == 0  # the published squeeze of three channels has no unit
    gce, x = GroupEnhancer(12, groups=4).double(), features(1, 12, 8, 8)
    assert not torch.equal(gce(x), 2 * x)
    assert gce.squeeze.out_channels == 4
