"""DANet for two modalities: dilated branches, PAM and CAM side by side over both, a decoder.

Fu et al., Dual Attention Network for Scene Segmentation, CVPR 2019 (doi:10.1109/CVPR.2019.00326).
The branches widen their view by dilation, as the paper's backbone does; attention looks at a fixed
neighborhood, where the paper's looks at the whole patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from .atrous import AtrousResidual
from .branches import MsBranch, PanBranch
from .contract import FusionNetwork
from .decoder import Decoder
from .dual_attention import DualAttentionFusion
from .windows import Windows


class DaNet(FusionNetwork):
    """DANet: logits = decoder(context(s)), s = B_p(PAM(A_p(f))) + B_c(CAM(A_c(f))), f = [MS; PAN].

    A and B are a 3×3 convolution, normalization and ReLU. ``width`` is channels on the MS grid,
    ``detail_width`` on the PAN grid; ``rates`` are the dilations of the residual units of each
    branch, ``context_rates`` of those after the attention. Attention works in blocks of
    ``window_px``² pixels that look ``margin_px`` beyond themselves; ``window_px=None`` is the paper
    on one patch. ``branch_heads`` adds the paper's two further outputs, one from PAM's summand and
    one from CAM's, which only training has.
    """

    training_arguments: ClassVar[dict[str, Any]] = {"branch_heads": True}

    def __init__(
        self,
        bands: int,
        ratio: int,
        classes: int,
        *,
        width: int = 32,
        detail_width: int = 16,
        rates: Sequence[int] = (1, 2, 4),
        context_rates: Sequence[int] = (2, 4),
        window_px: int | None = 8,
        margin_px: int = 4,
        branch_heads: bool = False,
    ) -> None:
        super().__init__()
        self.bands, self.ratio, self.classes = bands, ratio, classes
        trunk_px = reach_of_trunk(rates)
        self.ms_branch = MsBranch(bands, width, make_trunk(width, rates), trunk_px)
        self.pan_branch = PanBranch(ratio, width, detail_width, make_trunk(width, rates), trunk_px)
        windows = None if window_px is None else Windows(window_px, margin_px)
        self.attention = DualAttentionFusion(width, windows=windows)
        self.context = make_trunk(width, context_rates)
        self.decoder = Decoder(width, detail_width, ratio, classes)
        self.branch_heads = BranchHeads(width, classes) if branch_heads else None
        self.lattice_px = self.attention.lattice_px
        after = reach_of_trunk(context_rates) + self.decoder.reach_px
        self.halo_px = self.pan_branch.reach_px + self.attention.reach_px + after

    def forward(self, ms: Tensor, pan: Tensor, margin_px: int = 0) -> Tensor:
        """Return logits (B, classes, r·h', r·w') within ``margin_px``, see ``FusionNetwork``."""
        return self._attend(ms, pan, margin_px)[0]

    def encode(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of MS and of PAN before attention, (B, width, h, w) both."""
        return self.ms_branch(ms), self.pan_branch(pan)[1]

    def encoders(self) -> tuple[nn.Module, ...]:
        """Return the MS branch and the PAN branch."""
        return self.ms_branch, self.pan_branch

    def train_logits(
        self, ms: Tensor, pan: Tensor, where: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the logits of ``forward`` and, with branch heads, those of PAM's and of CAM's.

        Those are (n, classes) for the n pixels that are True in ``where`` (B, h, w), row by row.
        """
        logits, position, channel = self._attend(ms, pan)
        if self.branch_heads is None:
            return logits, ()
        return logits, self.branch_heads(position, channel, where)

    def finish(self) -> None:
        """Take out the branch heads, in place."""
        self.branch_heads = None

    def _attend(self, ms: Tensor, pan: Tensor, margin_px: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits and the summands of PAM and CAM, (B, width, h, w) each."""
        ms_features = self.ms_branch(ms)
        detail, pan_features = self.pan_branch(pan)
        position, channel = self.attention.attend(ms_features, pan_features)
        logits: Tensor = self.decoder(self.context(position + channel), detail, margin_px)
        return logits, position, channel


class BranchHeads(nn.Module):
    """Class scores from PAM's summand and from CAM's: dropout of channels, then a linear layer."""

    def __init__(self, channels: int, classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.drop = nn.Dropout2d(dropout)
        self.position = nn.Linear(channels, classes)
        self.channel = nn.Linear(channels, classes)

    def forward(self, position: Tensor, channel: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n, classes) each of the n pixels True in ``where`` (B, h, w)."""
        seen = [self.drop(x).permute(0, 2, 3, 1)[where] for x in (position, channel)]  # (n, C)
        return self.position(seen[0]), self.channel(seen[1])


def make_trunk(width: int, rates: Sequence[int]) -> nn.Sequential:
    """Return residual units, one for every dilation rate."""
    return nn.Sequential(*(AtrousResidual(width, rate) for rate in rates))


def reach_of_trunk(rates: Sequence[int]) -> int:
    """Return the pixels of context that residual units of these dilation rates see."""
    return sum(rates)
