"""The prior of ADCD-Net: what stage I of training learned of each modality, kept as it was.

It has branches of its own, so that stage II can train the network's branches and leave these alone.
What it says of a pixel is used twice: as a mask on the features (``apply_prior``), which a
map needs too, and as the last token of the depth sequence (``models/dtm.py``) while training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .depth_branches import MsBranch, PanBranch
from .exact import sigmoid
from .units import ConvUnit


class Prior(nn.Module):
    """Features R of both modalities, (B, width, h, w) each, from branches that stage I trains.

    R is normalized and not rectified: a 1×1 convolution of the attended features and batch
    normalization. Only ``learn`` passes gradients and moves the statistics of the normalization;
    ``forward`` does neither, whatever mode the network around it is in.
    """

    def __init__(
        self, ms_branch: MsBranch, pan_branch: PanBranch, branch_width: int, width: int
    ) -> None:
        super().__init__()
        self.ms_branch = ms_branch
        self.pan_branch = pan_branch
        self.ms_features = ConvUnit(branch_width, width, linear=True)
        self.pan_features = ConvUnit(branch_width, width, linear=True)
        self.reach_px = max(ms_branch.reach_px, pan_branch.reach_px)
        self.train(False)

    @torch.no_grad()
    def forward(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return R of MS and of PAN, without gradients, for ms (B, C, h, w) and pan."""
        return self._features(ms, pan)

    def learn(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return R as ``forward`` does, with gradients, and by the statistics of this batch.

        A frozen prior stays as it is.
        """
        if self.frozen:
            with torch.no_grad():
                return self._features(ms, pan)
        super().train(True)
        try:
            return self._features(ms, pan)
        finally:
            super().train(False)

    @property
    def frozen(self) -> bool:
        """True after ``freeze``: no parameter learns any more."""
        return not any(p.requires_grad for p in self.parameters())

    def freeze(self) -> None:
        """Let no parameter learn any more."""
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Prior:
        """Stay in evaluation mode, whatever ``mode`` the network around it is put into."""
        super().train(False)
        return self

    def _features(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        spectra = self.ms_branch(ms).attended
        texture = self.pan_branch(pan)[1].attended
        return self.ms_features(spectra), self.pan_features(texture)


def apply_prior(features: Tensor, prior: Tensor) -> Tensor:
    """Return σ(R) · F + F for features F and prior R, both (B, C, h, w).

    The published form takes σ of a rectified map, which lies in [½, 1), so that its gain of 1.5 to
    2 is nearly the same everywhere. R is normalized, and the gain is anything from 1 to 2.
    """
    return sigmoid(prior) * features + features
