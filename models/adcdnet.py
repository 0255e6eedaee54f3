"""ADCD-Net in dense form: one pass over a patch instead of one pass for every pixel.

Two branches of MobileNetV3 units, each ending in diversified interactive attention, a fusion, and a
decoder to the PAN grid. Where the paper sees a whole 16×16 patch, this sees a fixed neighborhood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import dia
from .contract import FusionNetwork
from .decoder import Decoder
from .exact import StencilConv2d, grow_twice
from .fusion import build_fusion
from .units import ConvUnit, InvertedResidual, hard_swish


@dataclass(frozen=True)
class Depths:
    """Features of one branch from shallow to deep, all (B, width, h, w) on the MS grid."""

    shallow: Tensor
    middle: Tensor
    deep: Tensor
    attended: Tensor


class AdcdNet(FusionNetwork):
    """The dense ADCD-Net: about 0.1 million multiplications per MS pixel.

    ``width`` and ``deep_width`` are channels on the MS grid and on the half-resolution context
    grid; ``detail_width`` channels on the PAN grid; ``gate_px`` the radius of the gates in pixels;
    ``fusion`` a name from ``models/fusion.py``. ``spectral_shape`` adds, for every pair of bands,
    the normalized difference: what is left of a spectrum when illumination changes.
    """

    def __init__(
        self,
        bands: int,
        ratio: int,
        classes: int,
        *,
        width: int = 32,
        deep_width: int = 64,
        detail_width: int = 16,
        gate_px: int = 3,
        fusion: str = "concat",
        spectral_shape: bool = False,
    ) -> None:
        super().__init__()
        self.bands, self.ratio, self.classes = bands, ratio, classes
        self.ms_branch = MsBranch(bands, width, gate_px, spectral_shape)
        self.pan_branch = PanBranch(ratio, width, detail_width, gate_px)
        self.fusion = build_fusion(fusion, width)
        self.context = Context(width, deep_width, gate_px)
        self.decoder = Decoder(width, detail_width, ratio, classes)
        self.lattice_px = math.lcm(2, self.fusion.lattice_px)
        self.halo_px = self._reach_px()

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return logits (B, classes, r·h, r·w) for ms (B, bands, h, w) and pan (B, 1, r·h, r·w)."""
        ms_depths = self.ms_branch(ms)
        detail, pan_depths = self.pan_branch(pan)
        fused = self.fusion(ms_depths.attended, pan_depths.attended)  # (B, width, h, w)
        logits: Tensor = self.decoder(self.context(fused), detail)
        return logits

    def _reach_px(self) -> int:
        branch = max(self.ms_branch.reach_px, self.pan_branch.reach_px)
        after = self.fusion.reach_px + self.context.reach_px + self.decoder.reach_px
        return branch + after


class MsBranch(nn.Module):
    """Spectra (B, bands, h, w) to features at three depths and, attended, at the last."""

    def __init__(self, bands: int, width: int, gate_px: int, spectral_shape: bool) -> None:
        super().__init__()
        self.spectral_shape = spectral_shape
        pairs = bands * (bands - 1) // 2 if spectral_shape else 0
        self.stem = ConvUnit(bands + pairs, width)
        self.near = InvertedResidual(width, width, kernel=3)
        self.far = InvertedResidual(width, width, kernel=5, gate_radius=gate_px)
        self.attention = dia.CrossGate(*dia.MS_SCALES)
        self.reach_px = self.near.reach_px + self.far.reach_px + dia.REACH_PX

    def forward(self, ms: Tensor) -> Depths:
        """Return the features, all (B, width, h, w)."""
        if self.spectral_shape:
            ms = torch.cat([ms, normalized_differences(ms)], dim=1)
        shallow = self.stem(ms)
        middle = self.near(shallow)
        deep = self.far(middle)
        return Depths(shallow, middle, deep, self.attention(deep))


class PanBranch(nn.Module):
    """PAN (B, 1, r·h, r·w) to detail on the PAN grid and features on the MS grid."""

    def __init__(self, ratio: int, width: int, detail_width: int, gate_px: int) -> None:
        super().__init__()
        self.edges = StencilConv2d(1, detail_width)
        self.down = ConvUnit(detail_width, width, ratio, stride=ratio)
        self.near = InvertedResidual(width, width, kernel=3)
        self.far = InvertedResidual(width, width, kernel=5, gate_radius=gate_px)
        self.attention = dia.CrossGate(*dia.PAN_SCALES)
        self.reach_px = 1 + self.near.reach_px + self.far.reach_px + dia.REACH_PX

    def forward(self, pan: Tensor) -> tuple[Tensor, Depths]:
        """Return detail (B, detail_width, r·h, r·w) and features (B, width, h, w)."""
        detail = hard_swish(self.edges(pan))
        shallow = self.down(detail)
        middle = self.near(shallow)
        deep = self.far(middle)
        return detail, Depths(shallow, middle, deep, self.attention(deep))


class Context(nn.Module):
    """A wider view at half the resolution, brought back and joined to what it came from."""

    def __init__(self, width: int, deep_width: int, gate_px: int) -> None:
        super().__init__()
        self.down = InvertedResidual(width, deep_width, expansion=3, kernel=5, stride=2)
        self.wide = InvertedResidual(
            deep_width, deep_width, expansion=3, kernel=5, gate_radius=gate_px
        )
        self.last = InvertedResidual(deep_width, deep_width, expansion=3, kernel=5)
        self.up = ConvUnit(deep_width, width)
        self.join = ConvUnit(2 * width, width)
        self.refine = InvertedResidual(width, width, kernel=3)
        half = self.wide.reach_px + self.last.reach_px
        self.reach_px = self.down.reach_px + 2 * half + 1 + self.refine.reach_px

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width, h, w) for x (B, width, h, w)."""
        half = self.up(self.last(self.wide(self.down(x))))  # (B, width, ⌈h/2⌉, ⌈w/2⌉)
        wide = grow_twice(half, (x.shape[-2], x.shape[-1]))
        y: Tensor = self.refine(self.join(torch.cat([x, wide], dim=1)))
        return y


def normalized_differences(ms: Tensor, floor: float = 0.05) -> Tensor:
    """Return (a − b) / (a + b) for every pair of bands: (B, C·(C−1)/2, h, w) in (−1, 1).

    Bands below ``floor`` count as ``floor``, so that darkness gives 0 instead of noise.
    """
    light = ms.clamp(min=0) + floor
    first, second = torch.tril_indices(ms.shape[1], ms.shape[1], -1, device=ms.device)
    a, b = light[:, first], light[:, second]
    return (a - b) / (a + b)
