"""ADCD-Net in dense form: one pass over a patch instead of one pass for every pixel.

Two branches of MobileNetV3 units, each ending in diversified interactive attention, a fusion, and a
decoder to the PAN grid. Where the paper sees a whole 16×16 patch, this sees a fixed neighborhood.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .contract import FINE_BYTES, FusionNetwork
from .decoder import Decoder
from .depth_branches import Depths, MsBranch, PanBranch
from .dtm import AuxiliaryHeads, drop_auxiliary
from .exact import grow_twice, trim
from .fusion import build_fusion
from .prior import Prior, apply_prior
from .units import ConvUnit, InvertedResidual

_BYTES_PER_PX = {"cafm": 3000, "dual_attention": 5000, "msc": 5000}
"""Memory of fusions that need more than the branches, as ``bytes_per_px`` has it."""

DEPTHS = 4
"""Maps that a branch gives to the depth sequence: shallow, middle, deep, attended."""


class AdcdNet(FusionNetwork):
    """The dense ADCD-Net: about 0.1 million multiplications per MS pixel.

    ``width`` and ``deep_width`` are channels on the MS grid and on the half-resolution context
    grid; ``detail_width`` channels on the PAN grid; ``gate_px`` the radius of the gates in pixels;
    ``fusion`` a name from ``models/fusion.py``. ``spectral_shape`` adds, for every pair of bands,
    the normalized difference: what is left of a spectrum when illumination changes.

    ``prior`` adds branches that stage I of training learns and stage II leaves alone; they mask
    the features of each modality before the fusion. Without it stage I pre-trains the branches
    themselves. ``dia`` False leaves out the attention of the branches. ``depth_heads`` adds the
    DTM: class scores of each modality from its depths and its prior, to train with. Without a prior
    the last token of that sequence is made of the attended features, with no gradient to them.
    """

    stage_one_arguments: ClassVar[dict[str, Any]] = {"depth_heads": True}

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
        dia: bool = True,
        prior: bool = False,
        depth_heads: bool = False,
    ) -> None:
        super().__init__()
        self.bands, self.ratio, self.classes = bands, ratio, classes

        def make_branches() -> tuple[MsBranch, PanBranch]:
            return (
                MsBranch(bands, width, gate_px, spectral_shape, dia=dia),
                PanBranch(ratio, width, detail_width, gate_px, dia=dia),
            )

        self.ms_branch, self.pan_branch = make_branches()
        self.fusion = build_fusion(fusion, width)
        self.context = Context(width, deep_width, gate_px)
        self.decoder = Decoder(width, detail_width, ratio, classes)
        self.prior = Prior(*make_branches(), width, width) if prior else None
        stages = (width,) * DEPTHS
        self.depth_heads: AuxiliaryHeads | None = None
        if depth_heads:
            self.depth_heads = AuxiliaryHeads(stages, stages, width, classes)
        self._bytes_per_px = _BYTES_PER_PX.get(fusion, 1800) * (2 if prior else 1)
        self.lattice_px = math.lcm(2, self.fusion.lattice_px)
        after = self.fusion.reach_px + self.context.reach_px + self.decoder.reach_px
        self.halo_px = max(self.ms_branch.reach_px, self.pan_branch.reach_px) + after
        self._after_branches_px = -(-after // self.lattice_px) * self.lattice_px

    @property
    def bytes_per_px(self) -> int:
        """Memory that inference takes for each MS pixel of a patch and its PAN pixels, in bytes."""
        return self._bytes_per_px + FINE_BYTES * (self.ratio**2 - 4)

    def forward(self, ms: Tensor, pan: Tensor, margin_px: int = 0) -> Tensor:
        """Return logits (B, classes, r·h', r·w') within ``margin_px``, see ``FusionNetwork``."""
        # Only the attended features go on; the other depths would stay in memory to the end.
        ms_features = self.ms_branch.attended(ms)
        pan_features = self.pan_branch.attended(pan)
        if self.prior is not None:
            priors = self.prior(ms, pan)
            ms_features = apply_prior(ms_features, priors[0])
            pan_features = apply_prior(pan_features, priors[1])
        # What the branches saw of the margin is done with; the rest sees less far.
        cut_px = max(0, margin_px - self._after_branches_px)
        fused = self.fusion(trim(ms_features, cut_px), trim(pan_features, cut_px))
        del ms_features, pan_features
        seen_px = min(margin_px, self.decoder.reach_px)
        wide = self.context(fused, margin_px - cut_px - seen_px)  # (B, width, h', w')
        # Kept until here the detail would be a quarter of the memory; it is quickly made again.
        detail = self.pan_branch.detail(pan, (margin_px - seen_px) * self.ratio)
        logits: Tensor = self.decoder(wide, detail, seen_px)
        return logits

    def encode(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of MS and PAN, (B, width, h, w) both: of the prior, if there is one.

        In training mode a prior that is not frozen learns from them.
        """
        if self.prior is None:
            return self.ms_branch(ms).attended, self.pan_branch(pan)[1].attended
        return self.prior.learn(ms, pan) if self.training else self.prior(ms, pan)

    def encoders(self) -> tuple[nn.Module, ...]:
        """Return the prior, or else the MS branch and the PAN branch."""
        return (self.ms_branch, self.pan_branch) if self.prior is None else (self.prior,)

    def end_stage_one(self) -> None:
        """Freeze the prior; branches that were pre-trained go on learning."""
        if self.prior is not None:
            self.prior.freeze()

    def train_logits(
        self, ms: Tensor, pan: Tensor, where: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the logits of ``forward`` and, with depth heads, those of MS and of PAN alone.

        Those are (n, classes) for the n pixels that are True in ``where`` (B, h, w), row by row.
        """
        if self.depth_heads is None:
            return self(ms, pan), ()
        logits, ms_depths, pan_depths, priors = self._see(ms, pan)
        if priors is None:
            priors = ms_depths.attended, pan_depths.attended
        return logits, self.depth_heads(ms_depths.sequence, pan_depths.sequence, *priors, where)

    def finish(self) -> None:
        """Take out the depth heads, in place; a prior stays, since its masks belong to the map."""
        drop_auxiliary(self)

    def _see(
        self, ms: Tensor, pan: Tensor
    ) -> tuple[Tensor, Depths, Depths, tuple[Tensor, Tensor] | None]:
        """Return the logits, the depths of MS and of PAN, and their priors."""
        ms_depths = self.ms_branch(ms)
        detail, pan_depths = self.pan_branch(pan)
        ms_features, pan_features = ms_depths.attended, pan_depths.attended
        priors = None
        if self.prior is not None:
            priors = self.prior(ms, pan)
            ms_features = apply_prior(ms_features, priors[0])
            pan_features = apply_prior(pan_features, priors[1])
        wide = self.context(self.fusion(ms_features, pan_features))  # (B, width, h, w)
        return self.decoder(wide, detail), ms_depths, pan_depths, priors


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

    def forward(self, x: Tensor, margin_px: int = 0) -> Tensor:
        """Return (B, width, h − 2 · margin_px, w − 2 · margin_px) for x (B, width, h, w)."""
        half = self.wide(self.down(x))  # (B, deep_width, ⌈h/2⌉, ⌈w/2⌉)
        # Of the margin, each unit computes what the units after it still see.
        half_px = max(0, (margin_px - self.refine.reach_px) // 2 - self.last.reach_px)
        half = self.up(self.last(trim(half, half_px)))
        x = trim(x, 2 * half_px)
        wide = grow_twice(half, (x.shape[-2], x.shape[-1]))
        left_px = margin_px - 2 * half_px
        cut_px = max(0, left_px - self.refine.reach_px)
        joined = self.join(torch.cat([trim(x, cut_px), trim(wide, cut_px)], dim=1))
        return trim(self.refine(joined), left_px - cut_px)
