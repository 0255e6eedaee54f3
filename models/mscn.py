"""MSCN in dense form: the deepest of four levels looks into the others, group by group enhanced.

Multiscale sparse cross-attention network for remote sensing scene classification (MSCN, IEEE TGRS
2025), which gives a whole picture one class. For one class per pixel, this joins the enhanced
features to the shallowest level, and decodes to the PAN grid; for two modalities, each has its own
encoder, and every level is one map of both.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .contract import FusionNetwork
from .decoder import Decoder
from .exact import grow_twice
from .gce import GroupEnhancer
from .mfcm import LevelAttention
from .mfem import STRIDE_PX, LevelMerger, MsEncoder, PanEncoder
from .units import ConvUnit, InvertedResidual

GATE_RADIUS = 3
"""GCE's means run over 7 × 7 pixels of the deep grid, the size of the paper's deepest map."""


class Mscn(FusionNetwork):
    """The dense MSCN: MFEM for each modality, MFCM over the levels of both, GCE, decoder.

    ``width`` and ``deep_width`` are channels on the MS grid and on the grid of every second MS
    pixel; ``detail_width`` channels on the PAN grid; ``gate_px`` the radius of the encoders' gates
    in pixels of the deep grid; ``groups`` the groups of GCE. Raises ValueError for a ``deep_width``
    that does not divide by 4 heads, or ``groups`` that do not divide 4 · ``deep_width``.
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
        gate_px: int = 2,
        groups: int = 8,
    ) -> None:
        super().__init__()
        self.bands, self.ratio, self.classes = bands, ratio, classes
        self.ms_encoder = MsEncoder(bands, width, deep_width, gate_px)
        self.pan_encoder = PanEncoder(ratio, width, deep_width, detail_width, gate_px)
        self.merge = LevelMerger(width, deep_width)
        self.attention = LevelAttention(deep_width)
        self.enhance = GroupEnhancer(4 * deep_width, groups=groups, radius=GATE_RADIUS)
        self.up = ConvUnit(4 * deep_width, width)
        self.join = ConvUnit(3 * width, width)
        self.refine = InvertedResidual(width, width, kernel=3)
        self.decoder = Decoder(width, detail_width, ratio, classes)
        self.lattice_px = STRIDE_PX * self.attention.lattice_px
        self.halo_px = self._reach_px()

    def forward(self, ms: Tensor, pan: Tensor, margin_px: int = 0) -> Tensor:
        """Return logits (B, classes, r·h', r·w') within ``margin_px``, see ``FusionNetwork``."""
        ms_levels = self.ms_encoder(ms)
        detail, pan_levels = self.pan_encoder(pan)
        found = self.attention(self.merge(ms_levels, pan_levels))
        deep = self.up(self.enhance(found))  # (B, width, ⌈h/2⌉, ⌈w/2⌉)
        wide = grow_twice(deep, (ms.shape[-2], ms.shape[-1]))
        joined = self.join(torch.cat([wide, ms_levels.first, pan_levels.first], dim=1))
        logits: Tensor = self.decoder(self.refine(joined), detail, margin_px)
        return logits

    def encode(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return the deepest level of each modality, every pixel doubled: (B, deep_width, h, w)."""
        size = (ms.shape[-2], ms.shape[-1])
        _, pan_levels = self.pan_encoder(pan)
        return grow_twice(self.ms_encoder(ms).fourth, size), grow_twice(pan_levels.fourth, size)

    def encoders(self) -> tuple[nn.Module, ...]:
        """Return the encoders of MS and PAN."""
        return self.ms_encoder, self.pan_encoder

    def _reach_px(self) -> int:
        encoder = max(self.ms_encoder.reach_px, self.pan_encoder.reach_px)
        # Doubling shows a pixel what the one beside it on the deep grid has seen: 1 px more.
        deep = STRIDE_PX * (self.attention.reach_px + self.enhance.reach_px) + 1
        after = self.refine.reach_px + self.decoder.reach_px
        return encoder + self.merge.reach_px + deep + after
