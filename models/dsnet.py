"""DSNet for two modalities: atrous encoders at constant resolution, fused by MSAF throughout.

DSNet: A Novel Way to Use Atrous Convolutions in Semantic Segmentation, arXiv:2406.03702. Its two
streams, a spatial one of plain convolutions and a context one of atrous convolutions, are one
encoder here, of which each modality has its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .atrous import AtrousBlock, AtrousPyramid, AtrousResidual, rectify
from .branches import MsBranch, PanBranch
from .contract import FusionNetwork
from .decoder import Decoder
from .msaf import MsafFusion
from .units import ConvUnit
from .windows import UNBOUNDED_PX

LATTICE_PX = 8
"""The coarsest cells of MSAF, and the radius of what its global branch sees."""
CONTEXTS = (4, 8, 16)


class DsNet(FusionNetwork):
    """DSNet: logits = decoder(SPASPP(MSAF(encoder(MS), encoder(PAN)))).

    ``width`` is channels on the MS grid, ``detail_width`` on the PAN grid; ``rates`` the dilations
    of the levels of each encoder, from shallow to deep; ``pyramid_rates`` those of SPASPP. With
    ``local`` every mean is over a fixed neighborhood; without, over the patch, as in the paper.
    """

    def __init__(
        self,
        bands: int,
        ratio: int,
        classes: int,
        *,
        width: int = 32,
        detail_width: int = 16,
        rates: Sequence[int] = (2, 3),
        pyramid_rates: Sequence[int] = (1, 2, 4),
        local: bool = True,
    ) -> None:
        super().__init__()
        self.bands, self.ratio, self.classes = bands, ratio, classes
        ms_encoder, pan_encoder = (AtrousEncoder(width, rates, local=local) for _ in range(2))
        self.ms_branch = MsBranch(bands, width, ms_encoder, ms_encoder.reach_px)
        self.pan_branch = PanBranch(ratio, width, detail_width, pan_encoder, pan_encoder.reach_px)
        self.fusion = make_msaf(width, local)
        self.context = AtrousPyramid(width, pyramid_rates, LATTICE_PX if local else None)
        self.decoder = Decoder(width, detail_width, ratio, classes)
        self.lattice_px = self.fusion.lattice_px
        after = self.fusion.reach_px + self.context.reach_px + self.decoder.reach_px
        self.halo_px = self.pan_branch.reach_px + after

    def forward(self, ms: Tensor, pan: Tensor, margin_px: int = 0) -> Tensor:
        """Return logits (B, classes, r·h', r·w') within ``margin_px``, see ``FusionNetwork``."""
        ms_features = self.ms_branch(ms)
        detail, pan_features = self.pan_branch(pan)
        fused = self.fusion(ms_features, pan_features)  # (B, width, h, w)
        logits: Tensor = self.decoder(self.context(fused), detail, margin_px)
        return logits

    def encode(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of MS and of PAN before they are fused, (B, width, h, w) both."""
        return self.ms_branch(ms), self.pan_branch(pan)[1]

    def encoders(self) -> tuple[nn.Module, ...]:
        """Return the MS branch and the PAN branch."""
        return self.ms_branch, self.pan_branch


class AtrousEncoder(nn.Module):
    """Two streams, a spatial s and a context c, joined after every level by MSAF.

    c_i = MFACB(c_{i−1}) with the rate of level i; s_i = ReLU(MSAF(R s_{i−1}, BN(C c_i))), where R
    is a residual unit without dilation and C a 1×1 convolution; s_0 = c_0 = x.
    """

    def __init__(self, width: int, rates: Sequence[int], *, local: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList(Level(width, rate, local) for rate in rates)
        self.reach_px = reach_of_levels(rates, local)

    def forward(self, x: Tensor) -> Tensor:
        """Return s of the last level (B, width, h, w) for x (B, width, h, w)."""
        spatial, context = x, x
        for level in self.levels:
            spatial, context = level(spatial, context)
        return spatial


class Level(nn.Module):
    """One level of both streams, and MSAF from the deeper into the shallower."""

    def __init__(self, width: int, rate: int, local: bool) -> None:
        super().__init__()
        self.near = AtrousResidual(width)
        self.far = AtrousBlock(width, rate)
        self.compress = ConvUnit(width, width, linear=True)
        self.fuse = make_msaf(width, local)

    def forward(self, spatial: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return both streams after this level, (B, width, h, w) each."""
        context = self.far(context)
        return rectify(self.fuse(self.near(spatial), self.compress(context))), context


def make_msaf(width: int, local: bool) -> MsafFusion:
    """Return MSAF with cells on the lattice or, if not ``local``, those of the whole patch."""
    if not local:
        return MsafFusion(width, contexts=CONTEXTS, patch_px=None)
    patch_px = CONTEXTS[0] * LATTICE_PX
    return MsafFusion(width, contexts=CONTEXTS, patch_px=patch_px, global_px=LATTICE_PX)


def reach_of_levels(rates: Sequence[int], local: bool) -> int:
    """Return the pixels of context that the spatial stream of these levels sees."""
    spatial_px = context_px = 0
    for rate in rates:
        context_px += 3 * rate
        spatial_px = max(spatial_px + 1, context_px) + (LATTICE_PX if local else UNBOUNDED_PX)
    return spatial_px
