"""CafmNet: a pyramid of convolutions and a multi-hop graph look at one scene; CAFM joins them.

In the sense of AMGCFN (Attention Multihop Graph and Multiscale Convolutional Fusion Network, IEEE
TGRS 2023, https://ieeexplore.ieee.org/document/10098209), whose cross attention is that of
``models/cafm.py``. The paper has one hyperspectral cube, and both its branches read it. Here MS and
PAN meet before: each has an encoder, a 1×1 convolution makes one map of both, and that is the cube.
A graph of PAN alone would join blocks that are equally bright, whatever their color.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .branches import MsBranch, PanBranch
from .cafm import CafmFusion
from .contract import FusionNetwork
from .decoder import Decoder
from .multihop_graph import MultiHopBranch
from .multiscale_pyramid import MultiScalePyramid
from .units import ConvUnit, InvertedResidual

KERNELS = (3, 5)
"""Sides of the kernels of an encoder's two units."""
TRUNK_PX = sum(kernel // 2 for kernel in KERNELS)


class CafmNet(FusionNetwork):
    """Encoders of MS and PAN, both mixed, pyramid ∥ graph, CAFM between these, decoder.

    ``width`` and ``deep_width`` are channels on the MS grid and on the pyramid's coarser grids;
    ``detail_width`` channels on the PAN grid; ``grids`` how many grids the pyramid has;
    ``node_width`` channels of a node of the graph, ``block_px`` the side of its block in MS pixels,
    ``radius`` how many blocks away a node has edges, ``hops`` how many steps are taken along them.
    Raises ValueError for a pyramid or a graph of nothing.
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
        grids: int = 3,
        node_width: int = 64,
        block_px: int = 4,
        radius: int = 1,
        hops: int = 3,
    ) -> None:
        super().__init__()
        self.bands, self.ratio, self.classes = bands, ratio, classes
        self.ms_encoder = MsBranch(bands, width, _trunk(width), TRUNK_PX)
        self.pan_encoder = PanBranch(ratio, width, detail_width, _trunk(width), TRUNK_PX)
        self.meet = ConvUnit(2 * width, width)
        self.pyramid = MultiScalePyramid(width, deep_width=deep_width, grids=grids)
        self.graph = MultiHopBranch(
            width, node_width=node_width, block_px=block_px, radius=radius, hops=hops
        )
        self.fusion = CafmFusion(width)
        self.decoder = Decoder(width, detail_width, ratio, classes)
        self.lattice_px = math.lcm(
            self.pyramid.lattice_px, self.graph.lattice_px, self.fusion.lattice_px
        )
        self.halo_px = self._reach_px()

    def forward(self, ms: Tensor, pan: Tensor, margin_px: int = 0) -> Tensor:
        """Return logits (B, classes, r·h', r·w') within ``margin_px``, see ``FusionNetwork``."""
        detail, pan_features = self.pan_encoder(pan)
        both = self.meet(torch.cat([self.ms_encoder(ms), pan_features], dim=1))
        fused = self.fusion(self.pyramid(both), self.graph(both))  # (B, width, h, w)
        logits: Tensor = self.decoder(fused, detail, margin_px)
        return logits

    def encode(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of MS and PAN before they meet, (B, width, h, w) both."""
        return self.ms_encoder(ms), self.pan_encoder(pan)[1]

    def encoders(self) -> tuple[nn.Module, ...]:
        """Return the encoders of MS and PAN."""
        return self.ms_encoder, self.pan_encoder

    def _reach_px(self) -> int:
        encoder = max(self.ms_encoder.reach_px, self.pan_encoder.reach_px)
        branch = max(self.pyramid.reach_px, self.graph.reach_px)
        return encoder + branch + self.fusion.reach_px + self.decoder.reach_px


def _trunk(width: int) -> nn.Module:
    return nn.Sequential(*(InvertedResidual(width, width, kernel=k) for k in KERNELS))
