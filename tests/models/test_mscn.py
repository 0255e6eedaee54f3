"""MSCN: its levels, its attention between them against the formula written out, its promises."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from panloom.models.folding import fold_batch_norm
from panloom.models.mfcm import LevelAttention
from panloom.models.mfem import LevelMerger, Levels, MsEncoder, PanEncoder
from panloom.models.msc import SparseCrossAttention
from panloom.models.mscn import Mscn

SMALL: dict[str, Any] = {"width": 16, "deep_width": 16}


def network_of(ratio: int, **arguments: Any) -> Mscn:
    """Return a network in eval mode whose normalization is not at its start values."""
    torch.manual_seed(0)
    network = Mscn(4, ratio, 5, **arguments)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.7, 1.3)
    return network.eval()


def pair(ratio: int, height: int, width: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(batch, 4, height, width), torch.rand(batch, 1, ratio * height, ratio * width)


def literal_msc(x: Tensor, y: Tensor, block: SparseCrossAttention) -> Tensor:
    """Return MSC(x, y) of one patch each, (1, C, h, w), with a mask for each number of keys."""
    sizes = (3, 5, 7)
    mixed = sum(avg_pool2d(y, s, 1, s // 2, count_include_pad=False) for s in sizes)
    tokens = mixed[0].flatten(1).T  # (N1, C)
    mean, var = tokens.mean(1, keepdim=True), tokens.var(1, correction=0, keepdim=True)
    tokens = (tokens - mean) / (var + 1e-5).sqrt() * block.norm.norm.weight + block.norm.norm.bias
    key, value = (tokens @ w.T for w in block.key_value.weight[:, :, 0, 0].chunk(2))
    query = x[0].flatten(1).T @ block.query.weight[:, :, 0, 0].T
    heads = []
    for q, k, v in zip(*(t.chunk(block.heads, dim=1) for t in (query, key, value)), strict=True):
        energy = q @ k.T / math.sqrt(q.shape[1])
        out = torch.zeros_like(q)
        for share, divisor in zip(block.shares, block.keep, strict=True):
            least = energy.sort(dim=1, descending=True).values[:, max(1, len(k) // divisor) - 1]
            masked = energy.masked_fill(energy < least[:, None], -math.inf)
            out = out + share * masked.softmax(dim=1) @ v
        heads.append(out)
    seen = torch.cat(heads, dim=1).T.reshape(x.shape)
    return conv2d(seen, block.proj.weight, block.proj.bias)


def level_maps(*sizes: tuple[int, int]) -> Levels:
    torch.manual_seed(2)
    return Levels(*(torch.randn(1, 16, *size, dtype=torch.float64) for size in sizes))


PUBLISHED = ((12, 12), (6, 6), (3, 3), (3, 3))
"""The sizes of the published levels, 28² 14² 7² 7² tokens, in their proportions."""


@pytest.mark.parametrize("sizes", [PUBLISHED, ((16, 24), (8, 12), (4, 6), (4, 6)), ((7, 9),) * 4])
def test_attention_between_levels_is_the_published_one(sizes: Any) -> None:
    torch.manual_seed(0)
    block = LevelAttention(16, windows=None, key_step_px=1).double()
    for attention in block.children():
        nn.init.normal_(attention.query.weight)
        nn.init.normal_(attention.shares, 0.5, 0.2)
    levels = level_maps(*sizes)
    x4 = levels.fourth
    expected = torch.cat(
        [
            x4,
            literal_msc(x4, levels.first, block.to_first),
            literal_msc(x4, levels.second, block.to_second),
            literal_msc(x4, levels.third, block.to_third),
        ],
        dim=1,
    )
    torch.testing.assert_close(block(levels), expected, atol=1e-10, rtol=0)


def test_a_level_is_seen_by_its_own_attention_only() -> None:
    block, levels = LevelAttention(16).double(), level_maps(*[(13, 10)] * 4)
    before = block(levels)
    for position, name in enumerate(("first", "second", "third"), start=1):
        maps = {**vars(levels), name: vars(levels)[name].flip(-1)}
        same = (block(Levels(**maps)) == before).all(dim=3).all(dim=2)[0]
        own = slice(16 * position, 16 * position + 16)
        assert not same[own].any()
        assert same.sum() == 3 * 16
    assert torch.equal(before[:, :16], levels.fourth)


def test_levels_of_one_window_attend_as_the_whole_patch() -> None:
    torch.manual_seed(0)
    local = LevelAttention(16, key_step_px=1).double()
    whole = LevelAttention(16, windows=None, key_step_px=1).double()
    whole.load_state_dict(local.state_dict())
    levels = level_maps(*[(4, 4)] * 4)
    torch.testing.assert_close(local(levels), whole(levels), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 13), (1, 1), (2, 7)])
def test_levels_lie_on_the_scene_lattice(height: int, width: int) -> None:
    fine, deep = (2, 16, height, width), (2, 32, -(-height // 2), -(-width // 2))
    ms, pan = pair(3, height, width, batch=2)
    ms_levels = MsEncoder(4, 16, 32, 1).eval()(ms)
    detail, pan_levels = PanEncoder(3, 16, 32, 24, 1).eval()(pan)
    assert detail.shape == (2, 24, 3 * height, 3 * width)
    for levels in (ms_levels, pan_levels):
        assert [x.shape for x in vars(levels).values()] == [fine, fine, deep, deep]
    merged = LevelMerger(16, 32).eval()(ms_levels, pan_levels)
    assert {x.shape for x in vars(merged).values()} == {deep}


@pytest.mark.parametrize("name", ["first", "second", "third", "fourth"])
@pytest.mark.parametrize("of_pan", [False, True])
def test_every_level_is_one_of_both_modalities(name: str, of_pan: bool) -> None:
    torch.manual_seed(0)
    merger, sizes = LevelMerger(16, 16).double().eval(), [(8, 8), (8, 8), (4, 4), (4, 4)]
    both = [level_maps(*sizes), level_maps(*sizes)]
    before = merger(*both)
    both[of_pan] = Levels(**{**vars(both[of_pan]), name: -vars(both[of_pan])[name]})
    after = merger(*both)
    assert [n for n in vars(before) if not torch.equal(vars(before)[n], vars(after)[n])] == [name]


@pytest.mark.parametrize("ratio", [2, 3, 5])
def test_branches_end_on_one_grid(ratio: int) -> None:
    network = network_of(ratio, **SMALL)
    for features in network.encode(*pair(ratio, 9, 12, batch=2)):
        assert features.shape == (2, 16, 9, 12)
        assert torch.equal(features[..., 0, 0:12:2], features[..., 1, 1:12:2])


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_a_pixel_has_the_same_bits_in_every_patch(ratio: int) -> None:
    network = network_of(ratio).to(memory_format=torch.channels_last)
    fold_batch_norm(network)
    halo, lattice = network.halo_px, network.lattice_px
    ms, pan = pair(ratio, 2 * halo + 45, 2 * halo + 50)
    ms[..., 60:90, 50:] = 0.25  # flat ground: equal energies, and y about its mean
    pan[..., 60 * ratio : 90 * ratio, 50 * ratio :] = 0.25
    inner = (..., slice(halo * ratio, -halo * ratio), slice(halo * ratio, -halo * ratio))
    with torch.inference_mode():
        whole = network(ms, pan)
        for top, left, high, wide, batch in ((0, 8, 37, 29, 1), (24, 16, 7, 15, 2)):
            assert top % lattice == left % lattice == 0
            rows, cols = slice(top, top + 2 * halo + high), slice(left, left + 2 * halo + wide)
            fine = (
                ...,
                slice(rows.start * ratio, rows.stop * ratio),
                slice(cols.start * ratio, cols.stop * ratio),
            )
            parts = network(
                ms[..., rows, cols].repeat(batch, 1, 1, 1), pan[fine].repeat(batch, 1, 1, 1)
            )
            assert parts[inner].shape[-2:] == (high * ratio, wide * ratio)
            assert all(torch.equal(part[inner], whole[fine][inner][0]) for part in parts)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Mscn(4, 2, 5, groups=7)
    assert str(caught.value) == (
        "256 channels do not divide into 7 groups; choose a number of groups that divides 256"
    )
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Mscn(4, 2, 5, deep_width=18)
    assert str(caught.value) == "18 channels do not divide into 4 heads"


def test_it_stays_small() -> None:
    assert 100_000 < sum(p.numel() for p in Mscn(6, 2, 5).parameters()) < 600_000
