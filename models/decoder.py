"""From features on the MS grid to class scores on the PAN grid, the last part of every network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .exact import BlockConv2d, grow, is_exporting, trim
from .units import ConvUnit, hard_swish

STRIPS = 4
"""Parts that a map's rows are decoded in: on the PAN grid whole patches take most of the memory."""


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
        if edge_px < self.reach_px or is_exporting():
            return self._decode(features, detail, edge_px)
        height = features.shape[-2] - 2 * edge_px
        strips = max(1, min(STRIPS, height))
        edges = [height * k // strips for k in range(strips + 1)]
        parts = [
            self._decode(*self._rows(features, detail, top, bottom + 2 * edge_px), edge_px)
            for top, bottom in zip(edges, edges[1:])
        ]
        return torch.cat(parts, dim=2)

    def _rows(
        self, features: Tensor, detail: Tensor, top: int, bottom: int
    ) -> tuple[Tensor, Tensor]:
        fine = slice(top * self.ratio, bottom * self.ratio)
        return features[:, :, top:bottom], detail[:, :, fine]

    def _decode(self, features: Tensor, detail: Tensor, edge_px: int) -> Tensor:
        both = hard_swish(grow(self.coarse(features), self.ratio) + self.fine(detail))
        fine_px = edge_px * self.ratio
        logits: Tensor
        if is_exporting() and fine_px >= self.smooth.reach_px:
            # Runtimes with layouts of their own cut where little is left to cut.
            logits = self.classify(self.smooth.inside(both))
            return trim(logits, fine_px - self.smooth.reach_px)
        logits = self.classify(trim(self.smooth(both), fine_px))
        return logits
