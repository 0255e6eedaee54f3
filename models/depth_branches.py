"""ADCD-Net's two modality branches: MobileNetV3 units at three depths, and DIA at the last."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .dia import MS_SCALES, PAN_SCALES, CrossGate
from .dia import REACH_PX as DIA_REACH_PX
from .exact import StencilConv2d, is_exporting, trim
from .units import ConvUnit, InvertedResidual, hard_swish


@dataclass(frozen=True)
class Depths:
    """Features of one branch from shallow to deep, all (B, width, h, w) on the MS grid."""

    shallow: Tensor
    middle: Tensor
    deep: Tensor
    attended: Tensor

    @property
    def sequence(self) -> tuple[Tensor, ...]:
        """All of them, from shallow to deep."""
        return self.shallow, self.middle, self.deep, self.attended


class MsBranch(nn.Module):
    """Spectra (B, bands, h, w) to features at three depths and, attended, at the last.

    Without ``dia`` the last are the deep ones once more.
    """

    def __init__(
        self, bands: int, width: int, gate_px: int, spectral_shape: bool, *, dia: bool = True
    ) -> None:
        super().__init__()
        self.spectral_shape = spectral_shape
        pairs = bands * (bands - 1) // 2 if spectral_shape else 0
        self.stem = ConvUnit(bands + pairs, width)
        self.near = InvertedResidual(width, width, kernel=3)
        self.far = InvertedResidual(width, width, kernel=5, gate_radius=gate_px)
        self.attention = CrossGate(*MS_SCALES) if dia else nn.Identity()
        attention_px = DIA_REACH_PX if dia else 0
        self.reach_px = self.near.reach_px + self.far.reach_px + attention_px

    def forward(self, ms: Tensor) -> Depths:
        """Return the features, all (B, width, h, w)."""
        if self.spectral_shape:
            ms = torch.cat([ms, normalized_differences(ms)], dim=1)
        shallow = self.stem(ms)
        middle = self.near(shallow)
        deep = self.far(middle)
        return Depths(shallow, middle, deep, self.attention(deep))

    def attended(self, ms: Tensor) -> Tensor:
        """Return the attended features alone; the others leave memory as soon as they may."""
        if self.spectral_shape:
            ms = torch.cat([ms, normalized_differences(ms)], dim=1)
        return _attended(self, self.stem(ms))


class PanBranch(nn.Module):
    """PAN (B, 1, r·h, r·w) to detail on the PAN grid and features on the MS grid.

    Without ``dia`` the attended features are the deep ones once more.
    """

    def __init__(
        self, ratio: int, width: int, detail_width: int, gate_px: int, *, dia: bool = True
    ) -> None:
        super().__init__()
        self.edges = StencilConv2d(1, detail_width)
        self.down = ConvUnit(detail_width, width, ratio, stride=ratio)
        self.near = InvertedResidual(width, width, kernel=3)
        self.far = InvertedResidual(width, width, kernel=5, gate_radius=gate_px)
        self.attention = CrossGate(*PAN_SCALES) if dia else nn.Identity()
        attention_px = DIA_REACH_PX if dia else 0
        self.reach_px = 1 + self.near.reach_px + self.far.reach_px + attention_px

    def forward(self, pan: Tensor) -> tuple[Tensor, Depths]:
        """Return detail (B, detail_width, r·h, r·w) and features (B, width, h, w)."""
        detail = self.detail(pan)
        shallow = self.down(detail)
        middle = self.near(shallow)
        deep = self.far(middle)
        return detail, Depths(shallow, middle, deep, self.attention(deep))

    def attended(self, pan: Tensor) -> Tensor:
        """Return the attended features alone; the others leave memory as soon as they may."""
        return _attended(self, self.down(self.detail(pan)))

    def detail(self, pan: Tensor, edge_px: int = 0) -> Tensor:
        """Return detail (B, detail_width, r·h, r·w) less ``edge_px`` PAN pixels on every side."""
        if edge_px == 0:
            return hard_swish(self.edges(pan))
        return hard_swish(self.edges.inside(trim(pan, edge_px - 1)))


def _attended(branch: MsBranch | PanBranch, shallow: Tensor) -> Tensor:
    features: Tensor = branch.near(shallow)
    del shallow
    features = branch.far(features)
    attended: Tensor = branch.attention(features)
    return attended


def normalized_differences(ms: Tensor, floor: float = 0.05) -> Tensor:
    """Return (a − b) / (a + b) for every pair of bands: (B, C·(C−1)/2, h, w) in (−1, 1).

    Bands below ``floor`` count as ``floor``, so that darkness gives 0 instead of noise.
    """
    light = ms.clamp(min=0) + floor
    if is_exporting():  # ONNX has no indices that come in pairs
        planes = light.unbind(dim=1)
        pairs = [(a, b) for row, a in enumerate(planes) for b in planes[:row]]
        return torch.stack([(a - b) / (a + b) for a, b in pairs], dim=1)
    first, second = torch.tril_indices(ms.shape[1], ms.shape[1], -1, device=ms.device)
    a, b = light[:, first], light[:, second]
    return (a - b) / (a + b)
