"""A pyramid of grids, each looked at through kernels of several sizes.

The convolution branch in the sense of AMGCFN (Attention Multihop Graph and Multiscale Convolutional
Fusion Network, IEEE TGRS 2023, https://ieeexplore.ieee.org/document/10098209): convolutions of
several scales arranged as a pyramid. The formulas are this file's own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .exact import grow_twice
from .units import ConvUnit, InvertedResidual

KERNELS = (3, 5, 7)


class MultiScalePyramid(nn.Module):
    """y_0 of x_0 = x, where every further grid has half the resolution of the one before.

    x_{l+1} = D_l x_l, a unit with stride 2;
    y_L = M_L x_L on the coarsest grid; y_l = M_l(J_l[x_l; up(y_{l+1})]) on the others;
    M is ``MultiKernelUnit``, J a 1×1 convolution, up doubles every pixel.

    x_0 has ``channels``, every coarser grid ``deep_width``. Patches have to start on multiples of
    2^(grids−1) pixels of the scene. Raises ValueError for less than one grid.
    """

    def __init__(
        self,
        channels: int,
        *,
        deep_width: int = 64,
        grids: int = 3,
        kernels: tuple[int, ...] = KERNELS,
    ) -> None:
        super().__init__()
        if grids < 1:
            raise ValueError(f"no pyramid of {grids} grids; it has at least 1")
        widths = [channels] + [deep_width] * (grids - 1)
        pairs = list(zip(widths, widths[1:]))
        self.downs = nn.ModuleList(InvertedResidual(a, b, kernel=3, stride=2) for a, b in pairs)
        self.joins = nn.ModuleList(ConvUnit(a + b, a) for a, b in pairs)
        self.looks = nn.ModuleList(MultiKernelUnit(w, kernels) for w in widths)
        self.lattice_px: int = 2 ** (grids - 1)
        unit = max(kernels) // 2
        self.reach_px = unit
        for _ in pairs:  # doubling shows a pixel what the one beside it has seen: 1 px more
            self.reach_px = 2 * self.reach_px + 1 + 3 // 2 + unit

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) for x (B, C, h, w)."""
        return self._look(x, 0)

    def _look(self, x: Tensor, grid: int) -> Tensor:
        if grid < len(self.downs):
            coarse = self._look(self.downs[grid](x), grid + 1)  # (B, deep_width, ⌈h/2⌉, ⌈w/2⌉)
            wide = grow_twice(coarse, (x.shape[-2], x.shape[-1]))
            x = self.joins[grid](torch.cat([x, wide], dim=1))
        y: Tensor = self.looks[grid](x)
        return y


class MultiKernelUnit(nn.Module):
    """M(x) = x + P[S_k(e) for every kernel size k], with e = E x.

    E and P are 1×1 convolutions, P linear; S_k a depthwise k×k convolution; each is followed by
    batch normalization and, but for P, by hard swish.
    """

    def __init__(self, channels: int, kernels: tuple[int, ...] = KERNELS) -> None:
        super().__init__()
        self.expand = ConvUnit(channels, channels)
        self.spreads = nn.ModuleList(
            ConvUnit(channels, channels, kernel, depthwise=True) for kernel in kernels
        )
        self.project = ConvUnit(len(kernels) * channels, channels, linear=True)
        self.reach_px = max(kernels) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) for x (B, C, h, w)."""
        inner = self.expand(x)
        y: Tensor = self.project(torch.cat([spread(inner) for spread in self.spreads], dim=1))
        return x + y
