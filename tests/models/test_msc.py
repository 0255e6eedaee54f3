"""MSC against its published formula, written out, and against its faults."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from panloom.models import msc
from panloom.models.msc import SparseCrossAttention
from panloom.models.windows import Windows

Array = NDArray[np.float64]


def softmax(x: Array) -> Array:
    power = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(power / power.sum(axis=-1, keepdims=True))


def pooled(y: Array, size: int) -> Array:
    """Return the mean over size × size pixels of y (C, h, w), of those that exist."""
    r, out = size // 2, np.zeros_like(y)
    for row, col in np.ndindex(y.shape[1:]):
        box = y[:, max(row - r, 0) : row + r + 1, max(col - r, 0) : col + r + 1]
        out[:, row, col] = box.mean(axis=(1, 2))
    return out


def two_masks(query: Array, key: Array, value: Array, counts: list[int], shares: Array) -> Array:
    """Return Σ_k a_k softmax(A masked to its k largest a row) V for one head, a mask for each k."""
    energy = query @ key.T / math.sqrt(query.shape[1])
    out = np.zeros((len(query), value.shape[1]))
    for share, k in zip(shares, counts, strict=True):
        masked = np.full_like(energy, -np.inf)
        for row in range(len(energy)):
            best = np.argsort(-energy[row])[:k]
            masked[row, best] = energy[row, best]
        with np.errstate(invalid="ignore"):
            out += share * (softmax(masked) @ value)
    return out


def published(x: Array, y: Array, block: SparseCrossAttention) -> Array:
    """Return MSCN's MSC of x (C, h, w) and y (C, h′, w′), pooling only what exists, k ≥ 1."""
    weight = {name: p.detach().numpy() for name, p in block.named_parameters()}
    channels = len(x)
    mixed = sum(pooled(y, size) for size in (3, 5, 7)).reshape(channels, -1).T
    mean, var = mixed.mean(axis=1, keepdims=True), mixed.var(axis=1, keepdims=True)
    mixed = (mixed - mean) / np.sqrt(var + 1e-5)
    mixed = mixed * weight["norm.norm.weight"] + weight["norm.norm.bias"]
    query = x.reshape(channels, -1).T @ weight["query.weight"][:, :, 0, 0].T
    key, value = np.split(mixed @ weight["key_value.weight"][:, :, 0, 0].T, 2, axis=1)
    counts = [max(1, len(key) // divisor) for divisor in block.keep]
    width = channels // block.heads
    heads = [slice(h * width, (h + 1) * width) for h in range(block.heads)]
    seen = np.hstack(
        [two_masks(query[:, h], key[:, h], value[:, h], counts, weight["shares"]) for h in heads]
    )
    out = seen @ weight["proj.weight"][:, :, 0, 0].T + weight["proj.bias"]
    return np.asarray(out.T.reshape(x.shape))


def attention(**options: object) -> SparseCrossAttention:
    torch.manual_seed(0)
    block = SparseCrossAttention(16, **options)  # type: ignore[arg-type]
    nn.init.normal_(block.query.weight)
    nn.init.normal_(block.shares, 0.5, 0.2)
    return block.double()


def features(*shape: int, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64)


def close(y: Tensor, expected: Array) -> None:
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("keep", [(2, 3), (2, 6), (3, 2), (1, 4)])
@pytest.mark.parametrize("sizes", [((7, 7), (12, 9)), ((8, 12), (8, 12)), ((3, 2), (1, 1))])
def test_paper_mode_is_the_published_formula(
    keep: tuple[int, int], sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    block = attention(windows=None, keep=keep)
    x, y = features(2, 16, *sizes[0]), features(2, 16, *sizes[1], seed=2)
    for i in range(2):
        close(block(x, y)[i], published(x[i].numpy(), y[i].numpy(), block))


@pytest.mark.parametrize("windows", [Windows(32), Windows(16, 16)])
def test_windows_as_large_as_the_patch_are_the_published_formula(windows: Windows) -> None:
    block = attention(windows=windows)
    x, y = features(1, 16, 16, 16), features(1, 16, 16, 16, seed=2)
    close(block(x, y)[0], published(x[0].numpy(), y[0].numpy(), block))


def test_keeping_every_key_is_dense_attention() -> None:
    block = attention(windows=None, keep=(1, 1))
    with torch.no_grad():
        block.shares.copy_(torch.tensor([0.25, 0.75]))
    x, y = features(1, 16, 6, 5), features(1, 16, 4, 7, seed=2)
    seen: list[Tensor] = []
    block.proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    block(x, y)
    mixed = block.norm(sum(torch.from_numpy(pooled(y[0].numpy(), s)) for s in (3, 5, 7))[None])
    key, value = block.key_value(mixed).chunk(2, dim=1)
    heads = [t.reshape(1, 4, 4, -1).mT for t in (block.query(x), key, value)]
    dense = nn.functional.scaled_dot_product_attention(*heads)
    torch.testing.assert_close(seen[0], dense.mT.reshape(1, 16, 6, 5))


def test_a_rectangle_stays_one() -> None:
    def published_reshape(out: Tensor) -> Tensor:
        side = int(math.sqrt(out.shape[1]))
        return out.transpose(1, 2).reshape(len(out), out.shape[2], side, side)

    block = attention(windows=None)
    assert block(features(1, 16, 9, 16), features(1, 16, 9, 16)).shape == (1, 16, 9, 16)
    assert published_reshape(features(1, 9 * 16, 16)).shape == (1, 16, 12, 12)  # without a word
    with pytest.raises(RuntimeError):
        published_reshape(features(1, 8 * 12, 16))


def test_one_key_at_least_is_kept() -> None:
    query, key = features(4, 8).numpy(), features(2, 8, seed=2).numpy()
    without = two_masks(query, key, key, [2 // 2, 2 // 3], np.array([0.5, 0.5]))
    assert np.isnan(without).all()  # the published number of keys for N = 2 and k = 3 is 0
    block = attention(windows=None)
    assert torch.isfinite(block(features(1, 16, 3, 3), features(1, 16, 1, 2))).all()


def test_pooling_counts_what_exists() -> None:
    ones = torch.ones(1, 1, 9, 9, dtype=torch.float64)
    assert avg_pool2d(ones, 7, 1, 3)[0, 0, 0, 0] < 0.33  # as published
    corner, middle = (msc.box_mean(ones, 3)[0, 0, i, i] for i in (0, 4))
    assert corner == middle == 1


@pytest.mark.parametrize("windows", [None, Windows(8, 4)])
def test_memory_bounds_do_not_change_the_result(
    windows: Windows | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = attention(windows=windows)
    x, y = features(2, 16, 13, 17), features(2, 16, 13, 17, seed=2)
    expected = block(x, y)
    monkeypatch.setattr(msc, "ENERGIES_AT_ONCE", 4096)
    torch.testing.assert_close(block(x, y), expected, atol=1e-13, rtol=0)


def test_fewer_keys_see_about_the_same() -> None:
    x, y = features(1, 16, 16, 16), features(1, 16, 16, 16, seed=2)
    every, second = (
        attention(windows=Windows(8, 4)),
        attention(windows=Windows(8, 4), key_step_px=2),
    )
    assert second.lattice_px == every.lattice_px == 8
    a, b = every(x, y).flatten(), second(x, y).flatten()
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.8


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="16 channels do not divide into 3 heads"):
        SparseCrossAttention(16, heads=3)
    with pytest.raises(ValueError, match="cannot keep 1/0 of the keys; divisors start at 1"):
        SparseCrossAttention(16, keep=(0, 2))
    with pytest.raises(ValueError, match="a key every 3 px does not fit Windows"):
        SparseCrossAttention(16, key_step_px=3)
    with pytest.raises(ValueError, match="within windows it needs equal shapes"):
        SparseCrossAttention(16)(torch.zeros(1, 16, 4, 4), torch.zeros(1, 16, 2, 2))
