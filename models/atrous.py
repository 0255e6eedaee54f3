"""Context by dilation instead of by stride: atrous convolutions and the blocks DSNet makes of them.

DSNet: arXiv:2406.03702. Its atrous convolutions are dense; those here are separable, a dilated
kernel for every channel and then a 1×1 convolution. They cost a fifth, and a dense dilated
convolution of more than 16 channels adds in another order when the patch has another shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .msaf import LenientBatchNorm2d
from .units import ConvUnit, DepthwiseConv2d, box_mean


class AtrousUnit(nn.Module):
    """y = ReLU(BN(Σ_t P·D_t·x(p + rate·t))), t over 3×3: D_t scales channels, P mixes them.

    The size stays; beyond the patch lies 0.
    """

    def __init__(self, in_channels: int, out_channels: int, rate: int = 1) -> None:
        super().__init__()
        self.spread = dilated(in_channels, rate)
        self.mix = ConvUnit(in_channels, out_channels, linear=True)
        self.reach_px = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, h, w) for x (B, in_channels, h, w)."""
        return rectify(self.mix(self.spread(x)))


class AtrousResidual(nn.Module):
    """y = x + P·σ(D·σ(E·x)), a MobileNetV3 unit whose depthwise 3×3 convolution D is dilated.

    E widens the channels by ``expansion``, P narrows them again; σ is hard swish. Every convolution
    is followed by normalization.
    """

    def __init__(self, channels: int, rate: int = 1, *, expansion: int = 2) -> None:
        super().__init__()
        inner = expansion * channels
        self.expand = ConvUnit(channels, inner)
        self.spread = ConvUnit(inner, inner, 3, depthwise=True)
        self.spread.conv = dilated(inner, rate)
        self.project = ConvUnit(inner, channels, linear=True)
        self.reach_px = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, h, w) for x (B, channels, h, w)."""
        y: Tensor = x + self.project(self.spread(self.expand(x)))
        return y


class AtrousBlock(nn.Module):
    """MFACB of DSNet: three atrous convolutions in a row, and what each of them saw.

    x_i = A(x_{i−1}), x_0 = x; y = ReLU(BN(W [x_1; x_2; x_3])) + ReLU(BN(U x)).
    """

    def __init__(self, channels: int, rate: int) -> None:
        super().__init__()
        self.row = nn.ModuleList(AtrousUnit(channels, channels, rate) for _ in range(3))
        self.mix = ConvUnit(3 * channels, channels, linear=True)
        self.keep = ConvUnit(channels, channels, linear=True)
        self.reach_px = 3 * rate

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, h, w) for x (B, channels, h, w)."""
        seen = see_in_a_row(x, self.row)
        return rectify(self.mix(torch.cat(seen, dim=1))) + rectify(self.keep(x))


class AtrousPyramid(nn.Module):
    """SPASPP of DSNet: atrous convolutions of growing rates in a row, beside them the mean.

    x_i = A_{r_i}(x_{i−1}), x_0 = x; p = ReLU(BN(V m)), m the mean over the box of ``mean_px``
    around each pixel (None: over the patch, as published);
    y = A_1(ReLU(BN(W [x_1; …; x_n; p])) + ReLU(BN(U x))).
    """

    def __init__(self, channels: int, rates: Sequence[int], mean_px: int | None) -> None:
        super().__init__()
        self.mean_px = mean_px
        self.row = nn.ModuleList(AtrousUnit(channels, channels, rate) for rate in rates)
        self.pool = ConvUnit(channels, channels, linear=True)
        # The mean of a whole patch is one pixel, in a batch of 1 without a variance.
        self.pool.norm = LenientBatchNorm2d(channels)
        self.mix = ConvUnit((len(rates) + 1) * channels, channels, linear=True)
        self.keep = ConvUnit(channels, channels, linear=True)
        self.refine = AtrousUnit(channels, channels)
        self.reach_px = max(sum(rates), mean_px or 0) + 1

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, h, w) for x (B, channels, h, w)."""
        mean = rectify(self.pool(self._mean(x))).expand_as(x)
        seen = see_in_a_row(x, self.row)
        both = rectify(self.mix(torch.cat([*seen, mean], dim=1))) + rectify(self.keep(x))
        y: Tensor = self.refine(both)
        return y

    def _mean(self, x: Tensor) -> Tensor:
        if self.mean_px is None:
            return x.mean(dim=(-2, -1), keepdim=True)
        return box_mean(x, self.mean_px)


def dilated(channels: int, rate: int) -> DepthwiseConv2d:
    """Return a depthwise 3×3 convolution whose taps are ``rate`` pixels apart; the size stays."""
    return DepthwiseConv2d(channels, channels, 3, 1, rate, rate, groups=channels, bias=False)


def see_in_a_row(x: Tensor, row: nn.ModuleList) -> list[Tensor]:
    """Return what every module of ``row`` makes of the one before it, the first of ``x``."""
    seen = [x]
    for module in row:
        seen.append(module(seen[-1]))
    return seen[1:]


def rectify(x: Tensor) -> Tensor:
    """Return max(x, 0), in place where no gradient is wanted: ``x`` must be needed no more."""
    return torch.relu(x) if torch.is_grad_enabled() else torch.relu_(x)
