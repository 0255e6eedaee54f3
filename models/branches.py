"""The two modality branches: spectra and PAN brought to the MS grid, then a trunk of one's own."""

from __future__ import annotations

from torch import Tensor, nn

from .exact import StencilConv2d
from .units import ConvUnit, hard_swish


class MsBranch(nn.Module):
    """Spectra (B, bands, h, w) to features: a 1×1 stem and a trunk that has ``reach_px``."""

    def __init__(self, bands: int, width: int, trunk: nn.Module, trunk_px: int) -> None:
        super().__init__()
        self.stem = ConvUnit(bands, width)
        self.trunk = trunk
        self.reach_px = trunk_px

    def forward(self, ms: Tensor) -> Tensor:
        """Return (B, width, h, w) for ms (B, bands, h, w)."""
        y: Tensor = self.trunk(self.stem(ms))
        return y


class PanBranch(nn.Module):
    """PAN to detail on its own grid and, one pixel per r × r block, features on the MS grid."""

    def __init__(
        self, ratio: int, width: int, detail_width: int, trunk: nn.Module, trunk_px: int
    ) -> None:
        super().__init__()
        self.edges = StencilConv2d(1, detail_width)
        self.down = ConvUnit(detail_width, width, ratio, stride=ratio)
        self.trunk = trunk
        self.reach_px = 1 + trunk_px

    def forward(self, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return detail (B, detail_width, r·h, r·w) and features (B, width, h, w)."""
        detail = hard_swish(self.edges(pan))
        features: Tensor = self.trunk(self.down(detail))
        return detail, features
