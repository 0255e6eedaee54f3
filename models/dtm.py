"""DTM of ADCD-Net: a pixel's features from shallow to deep, read as a sequence by Mamba.

It feeds auxiliary losses only: ``drop_auxiliary`` takes it out of a network that is to predict.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.checkpoint import checkpoint

from .mamba import Mamba

PIXELS_AT_ONCE = 1 << 14
"""Pixels whose sequences are held in memory at a time."""


class DepthHead(nn.Module):
    """Class scores of one branch from its depths and its prior, pixel by pixel.

    t_i = ReLU(LN(W_i F_i)) for every stage and for the prior, whose gradient is stopped;
    z = Mamba(LN([t_1 … t_S, t_prior])) at the last token, which sees all; logits = W ReLU(LN(z)).
    The paper's tokens are those of a flattened patch, these are of one pixel of a dense map.
    """

    def __init__(
        self,
        stage_channels: Sequence[int],
        prior_channels: int,
        classes: int,
        *,
        token_width: int = 64,
        out_width: int = 64,
    ) -> None:
        super().__init__()
        self.tokenizers = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, token_width), nn.LayerNorm(token_width), nn.ReLU())
            for channels in (*stage_channels, prior_channels)
        )
        self.norm = nn.LayerNorm(token_width)
        self.mamba = Mamba(token_width, expand=1, out_features=out_width)
        self.classify = nn.Sequential(
            nn.LayerNorm(out_width), nn.ReLU(), nn.Linear(out_width, classes)
        )

    def forward(
        self, depths: Sequence[Tensor], prior: Tensor, where: Tensor | None = None
    ) -> Tensor:
        """Return logits (n, classes) of the n pixels that are True in ``where`` (B, h, w).

        ``depths`` from shallow to deep and ``prior`` are (B, C_i, h_i, w_i); h and w are those of
        the first, to which coarser maps are repeated. With None the result is (B, classes, h, w).
        Raises ValueError for another number of depths than the head was made for.
        """
        if len(depths) != len(self.tokenizers) - 1:
            raise ValueError(
                f"the depth sequence got {len(depths)} maps; it was made for "
                f"{len(self.tokenizers) - 1}, from shallow to deep"
            )
        batch, _, height, width = depths[0].shape
        chosen = None if where is None else where.reshape(-1)
        pixels = [self._pixels(m, (height, width), chosen) for m in (*depths, prior.detach())]
        logits = self._classify_chunks(pixels)  # (n, classes)
        if where is not None:
            return logits
        return logits.reshape(batch, height, width, -1).permute(0, 3, 1, 2)

    def _pixels(self, x: Tensor, size: tuple[int, int], chosen: Tensor | None) -> Tensor:
        """Return the chosen pixels (n, C) of x (B, C, h, w) brought to ``size``."""
        if x.shape[-2:] != size:
            x = interpolate(x, size=size, mode="nearest")
        pixels = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
        return pixels if chosen is None else pixels[chosen]

    def _classify_chunks(self, pixels: list[Tensor]) -> Tensor:
        if len(pixels[0]) <= PIXELS_AT_ONCE:
            return self._classify(*pixels)
        parts = []
        for chunk in zip(*(torch.split(p, PIXELS_AT_ONCE) for p in pixels)):
            if torch.is_grad_enabled():
                parts.append(checkpoint(self._classify, *chunk, use_reentrant=False))
            else:
                parts.append(self._classify(*chunk))
        return torch.cat(parts)

    def _classify(self, *pixels: Tensor) -> Tensor:
        """Return logits (n, classes) for one (n, C_i) a token."""
        tokens = [tokenize(p) for tokenize, p in zip(self.tokenizers, pixels)]
        sequence = self.norm(torch.stack(tokens, dim=1))  # (n, stages + 1, token_width)
        logits: Tensor = self.classify(self.mamba(sequence)[:, -1])
        return logits


class AuxiliaryHeads(nn.Module):
    """Two ``DepthHead``, one a modality, with nothing shared: the auxiliary losses of ADCD-Net."""

    def __init__(
        self,
        ms_channels: Sequence[int],
        pan_channels: Sequence[int],
        prior_channels: int,
        classes: int,
        *,
        token_width: int = 64,
    ) -> None:
        super().__init__()
        self.ms = DepthHead(ms_channels, prior_channels, classes, token_width=token_width)
        self.pan = DepthHead(pan_channels, prior_channels, classes, token_width=token_width)

    def forward(
        self,
        ms_depths: Sequence[Tensor],
        pan_depths: Sequence[Tensor],
        ms_prior: Tensor,
        pan_prior: Tensor,
        where: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the logits of both modalities, shaped as ``DepthHead`` says."""
        return self.ms(ms_depths, ms_prior, where), self.pan(pan_depths, pan_prior, where)


def drop_auxiliary(network: nn.Module) -> int:
    """Take every ``AuxiliaryHeads`` out of ``network``, in place, leaving None; return how many.

    A network that calls its heads only to train predicts the same without them, and its state
    holds no weight of theirs.
    """
    found = [
        (parent, name)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, AuxiliaryHeads)
    ]
    for parent, name in found:
        setattr(parent, name, None)
    return len(found)
