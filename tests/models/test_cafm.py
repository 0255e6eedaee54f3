"""CAFM against its published formula, written out in double precision, and against its faults."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from panloom.models.cafm import CafmFusion, CrossAttentionGates
from panloom.models.windows import Windows

Array = NDArray[np.float64]


def conv(x: Array, layer: nn.Conv2d) -> Array:
    """Return the 3×3 correlation (1, h, w) of x (I, h, w) with zeros around it, tap by tap."""
    assert layer.bias is not None
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((1, *x.shape[1:]))
    for o, row, col in np.ndindex(out.shape):
        out[o, row, col] = bias[o] + (padded[:, row : row + 3, col : col + 3] * weight[o]).sum()
    return out


def softmax(x: Array) -> Array:
    power = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(power / power.sum(axis=-1, keepdims=True))


def mlp(x: Array, layers: nn.Module) -> Array:
    """Return W₂ ReLU(W₁ x + b₁) + b₂ for a vector."""
    w1, b1, w2, b2 = (p.detach().numpy() for p in layers.parameters())
    return np.asarray(w2 @ np.maximum(w1 @ x + b1, 0) + b2)


def published(f1: Array, f2: Array, gates: CrossAttentionGates) -> tuple[Array, Array]:
    """Return AMGCFN's CAFM of f1 and f2 (C, h, w)."""
    channels, height, width = f1.shape
    flat = [f.reshape(channels, -1) for f in (f1, f2)]
    a = [
        mlp(f.mean(axis=1), gates.mean_mlps[i]) + mlp(f.max(axis=1), gates.max_mlps[i])
        for i, f in enumerate(flat)
    ]
    cross = np.outer(a[0], a[1])
    mixed = [softmax(cross) @ flat[0], softmax(cross.T) @ flat[1]]
    outs = []
    for f, u in zip((f1, f2), mixed, strict=True):
        u = u.reshape(channels, height, width)
        look = np.maximum(conv(np.stack([u.mean(axis=0), u.max(axis=0)]), gates.look), 0)
        share = softmax(conv(look, gates.weigh).reshape(1, -1)).reshape(1, height, width)
        outs.append(f * (1 + share))
    return outs[0], outs[1]


def maps(batch: int, channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    shape = (batch, channels, height, width)
    return torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)


PAPER = {"windows": None, "gate": "softmax", "scaled": False}


def gates_of(channels: int, **options: object) -> CrossAttentionGates:
    torch.manual_seed(0)
    return CrossAttentionGates(channels, **options).double()  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(7, 7), (6, 9), (1, 1), (16, 16)])
def test_paper_mode_is_the_published_formula(size: tuple[int, int]) -> None:
    gates = gates_of(12, **PAPER)
    first, second = maps(3, 12, *size)
    outs = gates(first, second)
    for i in range(3):
        expected = published(first[i].numpy(), second[i].numpy(), gates)
        for out, reference in zip(outs, expected, strict=True):
            np.testing.assert_allclose(out[i].detach().numpy(), reference, atol=1e-12)


def test_windows_as_large_as_the_patch_are_the_published_formula() -> None:
    dense = gates_of(12, windows=Windows(32), gate_px=16, gate="softmax", scaled=False)
    first, second = maps(1, 12, 16, 16)
    expected = published(first[0].numpy(), second[0].numpy(), dense)
    for out, reference in zip(dense(first, second), expected, strict=True):
        np.testing.assert_allclose(out[0].detach().numpy(), reference, atol=1e-12)


def test_a_batch_keeps_its_layout() -> None:
    def published_layout(out: Tensor) -> Tensor:
        return out.flatten(2).squeeze(0).transpose(0, 1)

    gates = gates_of(12, **PAPER)
    first, second = maps(4, 12, 6, 5)
    together = gates(first, second)[0]
    alone = torch.cat([gates(a[None], b[None])[0] for a, b in zip(first, second, strict=True)])
    assert together.shape == (4, 12, 6, 5)
    torch.testing.assert_close(together, alone, atol=1e-14, rtol=0)
    assert published_layout(together[:1]).shape == (30, 12)  # pixels first for one patch …
    assert published_layout(together).shape == (12, 4, 30)  # … channels first for several


def test_the_balanced_gate_does_not_vanish_with_size() -> None:
    def change(gate: str, size: int) -> float:
        gates = gates_of(12, windows=None, gate=gate, scaled=False)
        first, second = maps(1, 12, size, size)
        with torch.no_grad():
            return float((gates(first, second)[0] - first).norm() / first.norm())

    assert change("softmax", 64) < change("softmax", 7) / 50
    assert change("balanced", 64) == pytest.approx(change("balanced", 7), rel=0.2)
    assert change("sigmoid", 64) == pytest.approx(change("sigmoid", 7), rel=0.2)


@pytest.mark.parametrize("windows", [None, Windows(8, 4)])
def test_the_balanced_gate_has_mean_one(windows: Windows | None) -> None:
    gates = gates_of(12, windows=windows, gate="balanced", gate_px=24)
    first, second = maps(1, 12, 20, 20)
    gain = gates(first, second)[0] / first - 1
    assert gain.mean().item() == pytest.approx(1, rel=1e-9)


def test_scaling_keeps_wide_features_from_saturating() -> None:
    a, b = torch.randn(2, 256, generator=torch.Generator().manual_seed(0)) * 5
    top = {}
    for scaled in (False, True):
        cross = torch.outer(a, b) * gates_of(256, windows=None, scaled=scaled).scale
        top[scaled] = cross.softmax(dim=-1).amax(dim=-1).median()
    assert top[False] > 0.9 > 0.1 > top[True]


def test_swapping_branches_swaps_results() -> None:
    gates = gates_of(12)
    first, second = maps(2, 12, 9, 11)
    one, two = gates(first, second)
    for mlps in (gates.mean_mlps, gates.max_mlps):
        a, b = mlps[0].state_dict(), mlps[1].state_dict()
        a = {name: value.clone() for name, value in a.items()}
        mlps[0].load_state_dict(b)
        mlps[1].load_state_dict(a)
    swapped_two, swapped_one = gates(second, first)
    torch.testing.assert_close(swapped_one, one)
    torch.testing.assert_close(swapped_two, two)


def test_shared_layers_are_counted_once() -> None:
    own = sum(p.numel() for p in gates_of(32).parameters())
    shared = sum(p.numel() for p in gates_of(32, share_mlp=True).parameters())
    assert shared < 0.6 * own


def test_low_precision_stays_finite() -> None:
    torch.manual_seed(0)
    fusion = CafmFusion(16).eval()
    a, b = torch.randn(2, 1, 16, 20, 20) * 50
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert torch.isfinite(fusion(a, b)).all()


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="unknown gate 'tanh'; known: softmax, balanced, sigmoid"):
        CrossAttentionGates(8, gate="tanh")  # type: ignore[arg-type]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        gates_of(8)(*maps(1, 8, 4, 4)[:1], torch.zeros(1, 8, 2, 2, dtype=torch.float64))
    assert str(caught.value) == (
        "CAFM got maps (1, 8, 4, 4) and (1, 8, 2, 2); it needs equal shapes: "
        "resize one of them first"
    )
