"""From features on the MS grid to class scores on the PAN grid, the last part of every network."""

from __future__ import annotations

from torch import Tensor, nn

from .exact import BlockConv2d, grow, trim
from .units import ConvUnit, hard_swish


class Decoder(nn.Module):
    """Features on the MS grid and detail on the PAN grid to logits on the PAN grid."""

    def __init__(self, width: int, detail_width: int, ratio: int, classes: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.coarse = ConvUnit(width, width, linear=True)
        self.fine = ConvUnit(detail_width, width, linear=True)
        self.smooth = ConvUnit(width, width, 5, depthwise=True)
        self.classify = BlockConv2d(width, classes, 1)
        self.reach_px = -(-3 // ratio)  # 5×5 on the PAN grid, over 3×3 edges of the detail

    def forward(self, features: Tensor, detail: Tensor, margin_px: int = 0) -> Tensor:
        """Return logits (B, classes, r·h', r·w') for (B, width, h, w) and (B, ·, r·h, r·w).

        h' is h − 2 · ``margin_px``: what lies further out than the decoder sees is not computed.
        """
        edge_px = min(margin_px, self.reach_px)
        features = trim(features, margin_px - edge_px)
        detail = trim(detail, (margin_px - edge_px) * self.ratio)
        both = grow(self.coarse(features), self.ratio) + self.fine(detail)
        smooth = trim(self.smooth(hard_swish(both)), edge_px * self.ratio)
        logits: Tensor = self.classify(smooth)
        return logits
