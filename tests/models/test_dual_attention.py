"""PAM and CAM against their published formulas, written out in double precision."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from panloom.models.dual_attention import ChannelAttention, DualAttentionFusion, PositionAttention
from panloom.models.windows import Windows

Array = NDArray[np.float64]


def softmax(x: Array) -> Array:
    power = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(power / power.sum(axis=-1, keepdims=True))


def pointwise(x: Array, layer: nn.Conv2d) -> Array:
    assert layer.bias is not None
    return np.asarray(
        layer.weight.detach().numpy()[:, :, 0, 0] @ x + layer.bias.detach().numpy()[:, None]
    )


def published_pam(x: Array, block: PositionAttention) -> Array:
    """Return x + γ V Sᵀ for x (C, h, w), S = softmax over pixels of Qᵀ K."""
    flat = x.reshape(len(x), -1)
    query, key, value = (pointwise(flat, c) for c in (block.query, block.key, block.value))
    seen = value @ softmax(query.T @ key).T
    return np.asarray(x + block.gamma.item() * seen.reshape(x.shape))


def published_cam(x: Array, gamma: float, sign: str) -> Array:
    """Return x + γ softmax(E) A, E = A Aᵀ (paper) or rowmax(A Aᵀ) − A Aᵀ (official)."""
    flat = x.reshape(len(x), -1)
    energy = flat @ flat.T
    if sign == "official":
        energy = energy.max(axis=1, keepdims=True) - energy
    return np.asarray(x + gamma * (softmax(energy) @ flat).reshape(x.shape))


def pam(channels: int, windows: Windows | None) -> PositionAttention:
    torch.manual_seed(0)
    block = PositionAttention(channels, windows=windows).double()
    nn.init.constant_(block.gamma, 0.75)
    return block


def cam(windows: Windows | None, sign: str = "official", scaled: bool = False) -> ChannelAttention:
    block = ChannelAttention(windows=windows, sign=sign, scaled=scaled)  # type: ignore[arg-type]
    nn.init.constant_(block.gamma, 0.75)
    return block.double()


def features(*shape: int, scale: float = 1.0) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(shape, dtype=torch.float64) * scale


@pytest.mark.parametrize("windows", [None, Windows(32), Windows(16, 16)])
@pytest.mark.parametrize("size", [(16, 16), (5, 9), (1, 1)])
def test_position_attention_is_the_published_formula(
    windows: Windows | None, size: tuple[int, int]
) -> None:
    block, x = pam(16, windows), features(3, 16, *size)
    y = block(x).detach().numpy()
    for i in range(3):
        np.testing.assert_allclose(y[i], published_pam(x[i].numpy(), block), atol=1e-12)


@pytest.mark.parametrize("windows", [None, Windows(32), Windows(16, 16)])
@pytest.mark.parametrize("sign", ["official", "paper"])
@pytest.mark.parametrize("size", [(16, 16), (5, 9), (1, 1)])
def test_channel_attention_is_the_published_formula(
    windows: Windows | None, sign: str, size: tuple[int, int]
) -> None:
    block, x = cam(windows, sign), features(3, 12, *size, scale=0.2)
    y = block(x).detach().numpy()
    for i in range(3):
        np.testing.assert_allclose(y[i], published_cam(x[i].numpy(), 0.75, sign), atol=1e-12)


def test_a_window_with_margin_attends_to_both() -> None:
    block, x = pam(8, Windows(4, 2)), features(1, 8, 12, 12)
    y = block(x)[0].detach().numpy()
    near = published_pam(x[0, :, 2:10, 2:10].numpy(), block)  # block 4…8 with its margin
    np.testing.assert_allclose(y[:, 4:8, 4:8], near[:, 2:6, 2:6], atol=1e-12)


def test_position_attention_does_not_care_for_the_order_of_pixels() -> None:
    block, x = pam(16, None), features(2, 16, 6, 7)
    order = torch.randperm(42)
    shuffled = x.flatten(2)[..., order].reshape(x.shape)
    expected = block(x).flatten(2)[..., order].reshape(x.shape)
    torch.testing.assert_close(block(shuffled), expected)


@pytest.mark.parametrize("windows", [None, Windows(8, 4)])
def test_both_start_as_the_identity(windows: Windows | None) -> None:
    x = features(1, 16, 11, 13).float()
    assert torch.equal(PositionAttention(16, windows=windows)(x), x)
    assert torch.equal(ChannelAttention(windows=windows)(x), x)


def test_the_published_sign_makes_channels_look_at_themselves() -> None:
    """On rectified features +E is a gain: the attention is the identity. max − E is not."""
    x = features(1, 32, 16, 16).relu()
    gain = published_cam(x[0].numpy(), 0.75, "paper") / x[0].numpy().clip(1e-9)
    bright = x[0].numpy() > 0.1
    np.testing.assert_allclose(gain[bright], 1.75, rtol=1e-6)
    y = cam(None)(x).detach().numpy()[0] / x[0].numpy().clip(1e-9)
    assert np.abs(y[bright] - 1.75).mean() > 0.3


def test_scaled_energies_let_several_channels_speak() -> None:
    x = features(1, 32, 16, 16).relu()
    seen = {scaled: (cam(None, scaled=scaled)(x) - x).std(dim=1).mean() for scaled in (0, 1)}
    assert seen[True] < seen[False]  # a mean of many channels differs less between channels


def test_few_channels_still_have_a_query() -> None:
    with warnings.catch_warnings(action="ignore"):
        published_query = nn.Conv2d(4, 4 // 8, 1)
    with pytest.raises(RuntimeError):
        published_query(torch.zeros(1, 4, 3, 3))
    x = features(1, 4, 6, 6)
    block = pam(4, None)
    np.testing.assert_allclose(
        block(x)[0].detach().numpy(), published_pam(x[0].numpy(), block), atol=1e-12
    )


def test_half_precision_does_not_overflow() -> None:
    x = torch.full((1, 8, 64, 64), 6.0, dtype=torch.float16)
    flat = x.flatten(2)
    energy = flat @ flat.mT
    published = (energy.amax(-1, keepdim=True) - energy).softmax(-1) @ flat
    assert torch.isnan(published).any()
    block = ChannelAttention(windows=None)
    nn.init.ones_(block.gamma)
    assert torch.isfinite(block.half()(x)).all()
    with torch.autocast("cpu", dtype=torch.float16):
        assert torch.isfinite(block.float()(x)).all()


def test_fusion_uses_both_modalities() -> None:
    torch.manual_seed(0)
    fusion = DualAttentionFusion(16).eval()
    a, b, c = torch.randn(3, 1, 16, 10, 12)
    assert fusion(a, b).shape == a.shape
    assert not torch.equal(fusion(a, b), fusion(a, c))
    assert not torch.equal(fusion(a, b), fusion(c, b))


def test_an_unknown_sign_is_said() -> None:
    with pytest.raises(ValueError, match="unknown sign 'minus'; known: official, paper"):
        ChannelAttention(sign="minus")  # type: ignore[arg-type]
