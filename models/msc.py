"""MSC: sparse attention from one map to another.

Multiscale sparse cross-attention network for remote sensing scene classification (MSCN, IEEE TGRS
2025), in its own form over a whole patch and in a form for scenes of any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .exact import BlockConv2d
from .gce import GroupEnhancer
from .msaf import LayerNorm2d
from .units import ConvUnit, box_mean
from .windows import PATCH_WINDOWS, Windows, lattice_of, lay_out, reach_of

POOL_RADII = (1, 2, 3)
"""Average pooling over 3×3, 5×5 and 7×7 pixels."""

ENERGIES_AT_ONCE = 1 << 23
"""Query-key pairs held in memory at a time: 32 MB, a few such tensors."""


@dataclass(frozen=True)
class Tokens:
    """Of n blocks, all (n, heads, tokens, C/heads); ``inside`` (n, 1, 1, K) marks existing keys."""

    query: Tensor
    key: Tensor
    value: Tensor
    inside: Tensor


class SparseCrossAttention(nn.Module):
    """MSC: out = proj(a₁ P_k₁ V + a₂ P_k₂ V), P_k = softmax(A over its N/k largest entries a row).

    A = Q Kᵀ/√d per head; Q from ``x``; K and V from LayerNorm(pool₃(y) + pool₅(y) + pool₇(y)); N is
    the number of keys, of which at least one is kept. a₁ and a₂ are learned and start at ½. Pooling
    counts no pixel beyond the patch. No dropout, and no residual, as published.

    Keys are those of the query's neighborhood in ``windows``, at every ``key_step_px``-th row and
    column (selecting keys is what costs, and pooling has smoothed them); with None all of ``y``,
    which may then have another size than ``x``.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 4,
        keep: tuple[int, int] = (2, 3),
        windows: Windows | None = PATCH_WINDOWS,
        key_step_px: int = 1,
    ) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads")
        if min(keep) < 1:
            raise ValueError(f"cannot keep 1/{min(keep)} of the keys; divisors start at 1")
        self.heads, self.keep = heads, keep
        self.windows, self.key_windows = windows, coarsen(windows, key_step_px)
        self.key_step_px = key_step_px
        self.query = BlockConv2d(channels, channels, 1, bias=False)
        self.key_value = BlockConv2d(channels, 2 * channels, 1, bias=False)
        self.norm = LayerNorm2d(channels)
        self.proj = BlockConv2d(channels, channels, 1)
        self.shares = nn.Parameter(torch.full((2,), 0.5))
        self.reach_px = reach_of(windows) + max(POOL_RADII)
        self.lattice_px = lattice_of(windows)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (B, C, h, w) for x and y (B, C, h, w); without windows y may have any size."""
        if self.windows and x.shape != y.shape:
            raise ValueError(
                f"MSC got maps {tuple(x.shape)} and {tuple(y.shape)}; within windows it needs "
                "equal shapes: resize one of them first"
            )
        small, middle, large = (box_mean(y, radius) for radius in POOL_RADII)
        step = self.key_step_px
        pooled = self.norm((small + middle + large)[..., ::step, ::step])
        key, value = self.key_value(pooled).chunk(2, dim=1)
        here, there = lay_out(x, self.windows), lay_out(key, self.key_windows)
        tokens = Tokens(
            self._split_heads(here.blocks(self.query(x))),
            self._split_heads(there.surroundings(key)),
            self._split_heads(there.surroundings(value)),
            there.inside(y.device).unsqueeze(1),
        )
        seen = self._attend(tokens)  # (B·n, heads, N, C/heads)
        out: Tensor = self.proj(here.join(seen.transpose(-2, -1).flatten(1, 2)))
        return out

    def _split_heads(self, x: Tensor) -> Tensor:
        """Return (n, heads, tokens, C/heads) for x (n, C, tokens)."""
        count, channels, tokens = (int(size) for size in x.shape)
        return x.reshape(count, self.heads, channels // self.heads, tokens).transpose(-2, -1)

    def _attend(self, tokens: Tokens) -> Tensor:
        """Attend for some blocks at a time, and for some queries where one block is too much."""
        count, heads, queries, _ = (int(size) for size in tokens.query.shape)
        keys = int(tokens.key.shape[2])
        rows = max(1, ENERGIES_AT_ONCE // (heads * keys))  # queries at a time
        blocks = max(1, rows // queries)
        parts = []
        for n in range(0, count, blocks):
            some = slice(n, n + blocks)
            key, value, inside = tokens.key[some], tokens.value[some], tokens.inside[some]
            chunks = [
                self._attend_at_once(Tokens(query, key, value, inside))
                for query in torch.split(tokens.query[some], rows, dim=2)
            ]
            parts.append(torch.cat(chunks, dim=2))
        return torch.cat(parts)

    def _attend_at_once(self, tokens: Tokens) -> Tensor:
        scale = 1 / math.sqrt(tokens.query.shape[-1])
        energy = (tokens.query @ tokens.key.transpose(-2, -1) * scale).masked_fill(
            ~tokens.inside, -math.inf
        )
        counts = tokens.inside.sum(dim=-1, keepdim=True)  # (n, 1, 1, 1)
        # One sorted selection serves both sums: the smaller set of keys begins the larger one.
        most = max(1, int(energy.shape[-1]) // min(self.keep))
        values, index = energy.topk(most, dim=-1)
        rank = torch.arange(most, device=energy.device)
        weights = torch.zeros_like(values)
        for share, divisor in zip(self.shares, self.keep):
            kept = rank < (counts // divisor).clamp(min=1)
            weights = weights + share * values.masked_fill(~kept, -math.inf).softmax(dim=-1)
        return torch.zeros_like(energy).scatter(-1, index, weights) @ tokens.value


class MscFusion(nn.Module):
    """The MS features and what they find in the PAN features (MSC), enhanced (GCE), mixed."""

    def __init__(
        self, channels: int, *, windows: Windows | None = PATCH_WINDOWS, radius: int | None = 4
    ) -> None:
        super().__init__()
        step = 2 if windows else 1
        self.attention = SparseCrossAttention(channels, windows=windows, key_step_px=step)
        self.enhance = GroupEnhancer(2 * channels, radius=radius)
        self.mix = ConvUnit(2 * channels, channels)
        self.reach_px = self.attention.reach_px + self.enhance.reach_px
        self.lattice_px = self.attention.lattice_px

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return (B, C, h, w) for ms and pan (B, C, h, w)."""
        both = torch.cat([ms, self.attention(ms, pan)], dim=1)  # (B, 2·C, h, w)
        y: Tensor = self.mix(self.enhance(both))
        return y


def coarsen(windows: Windows | None, step_px: int) -> Windows | None:
    """Return the same windows on a map of every ``step_px``-th row and column.

    Raises ValueError where they would not fall on whole pixels of it.
    """
    if windows is None and step_px == 1:
        return None
    if windows is None or step_px < 1 or windows.size_px % step_px or windows.margin_px % step_px:
        raise ValueError(f"a key every {step_px} px does not fit {windows or 'a whole patch'}")
    return Windows(windows.size_px // step_px, windows.margin_px // step_px)
