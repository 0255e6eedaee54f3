"""MFEM: features of four levels from one modality, and one map of both modalities for each level.

Multiscale sparse cross-attention network for remote sensing scene classification (MSCN, IEEE TGRS
2025). Where the paper takes the four stages of a ResNet-50 (strides 4 to 32), these are MobileNetV3
units on the MS grid (levels 1 and 2) and on the grid of every second MS pixel (levels 3 and 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .exact import StencilConv2d
from .units import ConvUnit, InvertedResidual, hard_swish

STRIDE_PX = 2
"""MS pixels from one pixel of the deep levels to the next."""


@dataclass(frozen=True)
class Levels:
    """Features from shallow to deep: two (B, width, h, w), two (B, deep_width, ⌈h/2⌉, ⌈w/2⌉)."""

    first: Tensor
    second: Tensor
    third: Tensor
    fourth: Tensor


class MsEncoder(nn.Module):
    """MS (B, bands, h, w) to its levels."""

    def __init__(self, bands: int, width: int, deep_width: int, gate_px: int) -> None:
        super().__init__()
        self.stem = ConvUnit(bands, width)
        self.stages = Stages(width, deep_width, gate_px)
        self.reach_px = self.stages.reach_px

    def forward(self, ms: Tensor) -> Levels:
        """Return the levels of ms (B, bands, h, w)."""
        levels: Levels = self.stages(self.stem(ms))
        return levels


class PanEncoder(nn.Module):
    """PAN (B, 1, r·h, r·w) to detail on the PAN grid and its levels on the grids of MS."""

    def __init__(
        self, ratio: int, width: int, deep_width: int, detail_width: int, gate_px: int
    ) -> None:
        super().__init__()
        self.edges = StencilConv2d(1, detail_width)
        self.down = ConvUnit(detail_width, width, ratio, stride=ratio)
        self.stages = Stages(width, deep_width, gate_px)
        self.reach_px = 1 + self.stages.reach_px

    def forward(self, pan: Tensor) -> tuple[Tensor, Levels]:
        """Return detail (B, detail_width, r·h, r·w) and the levels of pan (B, 1, r·h, r·w)."""
        detail = hard_swish(self.edges(pan))
        return detail, self.stages(self.down(detail))


class Stages(nn.Module):
    """Features (B, width, h, w) to four levels; the gates see ``gate_px`` of their own pixels."""

    def __init__(self, width: int, deep_width: int, gate_px: int) -> None:
        super().__init__()
        self.first = InvertedResidual(width, width, kernel=3)
        self.second = InvertedResidual(width, width, kernel=5)
        self.third = InvertedResidual(width, deep_width, kernel=5, stride=STRIDE_PX)
        self.fourth = InvertedResidual(deep_width, deep_width, kernel=5, gate_radius=gate_px)
        fine = self.first.reach_px + self.second.reach_px + self.third.reach_px
        self.reach_px = fine + STRIDE_PX * self.fourth.reach_px

    def forward(self, x: Tensor) -> Levels:
        """Return the levels of x (B, width, h, w)."""
        first = self.first(x)
        second = self.second(first)
        third = self.third(second)
        return Levels(first, second, third, self.fourth(third))


class LevelMerger(nn.Module):
    """x₁ … x₄: each level of MS and PAN side by side, brought to equal width and the deep grid.

    x₁ to x₃ come out of 3×3 convolutions, with stride 2 where the level is on the MS grid, and x₄
    out of a 1×1 convolution, as published.
    """

    def __init__(self, width: int, deep_width: int) -> None:
        super().__init__()
        self.first = ConvUnit(2 * width, deep_width, 3, stride=STRIDE_PX)
        self.second = ConvUnit(2 * width, deep_width, 3, stride=STRIDE_PX)
        self.third = ConvUnit(2 * deep_width, deep_width, 3)
        self.fourth = ConvUnit(2 * deep_width, deep_width)
        self.reach_px = STRIDE_PX * self.third.reach_px

    def forward(self, ms: Levels, pan: Levels) -> Levels:
        """Return x₁ … x₄, all (B, deep_width, ⌈h/2⌉, ⌈w/2⌉)."""
        return Levels(
            self.first(torch.cat([ms.first, pan.first], dim=1)),
            self.second(torch.cat([ms.second, pan.second], dim=1)),
            self.third(torch.cat([ms.third, pan.third], dim=1)),
            self.fourth(torch.cat([ms.fourth, pan.fourth], dim=1)),
        )
