"""How the MS and the PAN features become one: a choice by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .units import ConvUnit

FUSIONS = ("concat", "gated", "sum")


class SumFusion(nn.Module):
    """Element-wise sum, as in ADCD-Net."""

    reach_px = 0

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return ms + pan, all (B, C, h, w)."""
        return ms + pan


class ConcatFusion(nn.Module):
    """Both side by side, mixed by a 1×1 convolution."""

    reach_px = 0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = ConvUnit(2 * channels, channels)

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return (B, C, h, w) for ms and pan (B, C, h, w)."""
        y: Tensor = self.mix(torch.cat([ms, pan], dim=1))
        return y


class GatedFusion(nn.Module):
    """A weighted mean, g·ms + (1 − g)·pan, whose weight g depends on both at that pixel."""

    reach_px = 0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = ConvUnit(2 * channels, channels, linear=True)

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return (B, C, h, w) for ms and pan (B, C, h, w)."""
        gate = nn.functional.hardsigmoid(self.weigh(torch.cat([ms, pan], dim=1)))
        return pan + gate * (ms - pan)


Fusion = SumFusion | ConcatFusion | GatedFusion


def build_fusion(name: str, channels: int) -> Fusion:
    """Return the fusion called ``name``, one of ``FUSIONS``; raises ValueError for another."""
    if name == "sum":
        return SumFusion()
    if name == "concat":
        return ConcatFusion(channels)
    if name == "gated":
        return GatedFusion(channels)
    raise ValueError(f"unknown fusion {name!r}; known: {', '.join(FUSIONS)}")
