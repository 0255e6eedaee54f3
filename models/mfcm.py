"""MFCM: the deepest level beside what it finds in each of the shallower ones.

Multiscale sparse cross-attention network for remote sensing scene classification (MSCN, IEEE TGRS
2025).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .mfem import Levels
from .msc import SparseCrossAttention
from .windows import Windows

LEVEL_WINDOWS = Windows(4, 2)
"""Blocks of 4 × 4 pixels of the deep grid that look at 8 × 8: 16 MS pixels, the papers' patch."""


class LevelAttention(nn.Module):
    """MFCM: [x₄, MSC(x₄, x₁), MSC(x₄, x₂), MSC(x₄, x₃)] along the channels.

    ``windows`` and ``key_step_px`` are those of ``SparseCrossAttention``, in pixels of the levels'
    grid; with None as windows x₁ … x₃ may have sizes of their own, as published.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 4,
        windows: Windows | None = LEVEL_WINDOWS,
        key_step_px: int = 2,
    ) -> None:
        super().__init__()

        def attention() -> SparseCrossAttention:
            return SparseCrossAttention(
                channels, heads=heads, windows=windows, key_step_px=key_step_px
            )

        self.to_first, self.to_second, self.to_third = attention(), attention(), attention()
        self.reach_px = self.to_first.reach_px
        self.lattice_px = self.to_first.lattice_px

    def forward(self, levels: Levels) -> Tensor:
        """Return (B, 4·C, h, w) for x₁ … x₄, where x₄ is (B, C, h, w)."""
        deep = levels.fourth
        return torch.cat(
            [
                deep,
                self.to_first(deep, levels.first),
                self.to_second(deep, levels.second),
                self.to_third(deep, levels.third),
            ],
            dim=1,
        )
