"""How the MS and the PAN features become one: a choice by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .cafm import CafmFusion
from .dual_attention import DualAttentionFusion
from .msaf import MsafFusion
from .msc import MscFusion
from .units import ConvUnit

FUSIONS = ("cafm", "concat", "dual_attention", "gated", "msaf", "msc", "sum")


class SumFusion(nn.Module):
    """Element-wise sum, as in ADCD-Net."""

    reach_px = 0
    lattice_px = 1

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return ms + pan, all (B, C, h, w)."""
        return ms + pan


class ConcatFusion(nn.Module):
    """Both side by side, mixed by a 1×1 convolution."""

    reach_px = 0
    lattice_px = 1

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
    lattice_px = 1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = ConvUnit(2 * channels, channels, linear=True)

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return (B, C, h, w) for ms and pan (B, C, h, w)."""
        gate = nn.functional.hardsigmoid(self.weigh(torch.cat([ms, pan], dim=1)))
        return pan + gate * (ms - pan)


Fusion = (
    SumFusion
    | ConcatFusion
    | GatedFusion
    | CafmFusion
    | DualAttentionFusion
    | MsafFusion
    | MscFusion
)


def build_fusion(name: str, channels: int) -> Fusion:
    """Return the fusion called ``name``, one of ``FUSIONS``; raises ValueError for another."""
    if name == "sum":
        return SumFusion()
    of_channels: dict[str, Callable[[int], Fusion]] = {
        "concat": ConcatFusion,
        "gated": GatedFusion,
        "cafm": CafmFusion,
        "dual_attention": DualAttentionFusion,
        "msaf": MsafFusion,
        "msc": MscFusion,
    }
    if name in of_channels:
        return of_channels[name](channels)
    raise ValueError(f"unknown fusion {name!r}; known: {', '.join(FUSIONS)}")
