"""CAFM: each branch is gated, pixel by pixel, by what the other branch's channels have in common.

Cross attention fusion module of AMGCFN (Attention Multihop Graph and Multiscale Convolutional
Fusion Network, IEEE TGRS 2023, https://ieeexplore.ieee.org/document/10098209), in its own form over
a whole patch and in a form for scenes of any size.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from .exact import StencilConv2d, sigmoid
from .units import ConvUnit
from .windows import (
    PATCH_WINDOWS,
    Layout,
    Windows,
    apply_linear,
    box_sum,
    lattice_of,
    lay_out,
    mean_along,
    reach_of,
)

Gate = Literal["softmax", "balanced", "sigmoid"]
GATES: tuple[Gate, ...] = ("softmax", "balanced", "sigmoid")

LOGIT_LIMIT = 80.0
"""Spatial logits are clipped here, far beyond trained values, so that exponentials stay finite."""


class CrossAttentionGates(nn.Module):
    """CAFM: out_i = f_i · (1 + s_i), two maps from two maps (B, C, h, w).

    a_i = MLP(mean f_i) + MLP(max f_i); X = a_1 a_2ᵀ; u_1 = softmax_rows(X) f_1,
    u_2 = softmax_rows(Xᵀ) f_2; s_i = gate(conv3×3(ReLU(conv3×3[mean_c u_i; max_c u_i]))).

    Means, maxima and products are taken over ``windows`` (None: the whole patch, as published). The
    published gate is a softmax over all N pixels: its mean is 1/N and fades as patches grow.
    ``gate="balanced"`` multiplies it by N, mean 1 at any size; ``"sigmoid"`` looks at one pixel.
    The softmax runs over the box of ``gate_px`` around each pixel. ``scaled`` divides X by √C,
    without which wide features saturate the softmax. The published text shares the MLPs of mean and
    maximum (``share_mlp``), its code does not.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        windows: Windows | None = PATCH_WINDOWS,
        gate: Gate = "balanced",
        gate_px: int = 4,
        scaled: bool = True,
        share_mlp: bool = False,
    ) -> None:
        super().__init__()
        if gate not in GATES:
            raise ValueError(f"unknown gate {gate!r}; known: {', '.join(GATES)}")
        self.windows, self.gate, self.gate_px = windows, gate, gate_px
        self.scale = 1 / math.sqrt(channels) if scaled else 1.0
        hidden = max(channels // reduction, 8)
        self.mean_mlps = nn.ModuleList(ChannelMlp(channels, hidden) for _ in range(2))
        self.max_mlps = (
            self.mean_mlps
            if share_mlp
            else nn.ModuleList(ChannelMlp(channels, hidden) for _ in range(2))
        )
        self.look = StencilConv2d(2, 1)
        self.weigh = StencilConv2d(1, 1)
        self.reset_gates()
        around = gate_px if gate != "sigmoid" else 0
        self.reach_px = reach_of(windows) + 2 + around
        self.lattice_px = lattice_of(windows)

    @torch.no_grad()
    def reset_gates(self) -> None:
        """Let the one rectified map start above zero; call it after initialization of the network.

        At random it is negative nearly everywhere in some networks. The gates are then constant,
        and no gradient ever reaches what is before them. The maximum over channels is nearly
        always positive, so weights that are not negative, and no bias, keep the map alive.
        """
        self.look.weight.abs_()
        if self.look.bias is not None:
            nn.init.zeros_(self.look.bias)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return both maps gated, (B, C, h, w) each; raises ValueError for unequal shapes."""
        if first.shape != second.shape:
            raise ValueError(
                f"CAFM got maps {tuple(first.shape)} and {tuple(second.shape)}; it needs equal "
                "shapes: resize one of them first"
            )
        layout = lay_out(first, self.windows)
        a_1 = self._describe(first, layout, 0)
        a_2 = self._describe(second, layout, 1)
        cross = a_1.unsqueeze(2) * a_2.unsqueeze(1) * self.scale  # (B·n, C, C)
        u_1 = layout.join(cross.softmax(dim=-1) @ layout.blocks(first))
        u_2 = layout.join(cross.transpose(-2, -1).softmax(dim=-1) @ layout.blocks(second))
        return first * (1 + self._gate(u_1)), second * (1 + self._gate(u_2))

    def _describe(self, x: Tensor, layout: Layout, branch: int) -> Tensor:
        """Return a (B·n, C): what the channels hold on average and at most in each neighborhood."""
        around = layout.surroundings(x)  # (B·n, C, K)
        inside = layout.inside(x.device)  # (B·n, 1, K)
        mean = around.sum(dim=-1) / inside.sum(dim=-1)
        peak = around.masked_fill(~inside, -math.inf).amax(dim=-1)
        on_average: Tensor = self.mean_mlps[branch](mean)
        at_most: Tensor = self.max_mlps[branch](peak)
        return on_average + at_most

    def _gate(self, mixed: Tensor) -> Tensor:
        """Return s (B, 1, h, w) for u (B, C, h, w)."""
        both = torch.stack([mean_along(mixed, 1), mixed.amax(dim=1)], dim=1)  # (B, 2, h, w)
        logits = self.weigh(torch.relu(self.look(both)))  # (B, 1, h, w)
        if self.gate == "sigmoid":
            return sigmoid(logits)
        power = logits.double().clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp()
        radius = self.gate_px if self.windows else None
        share: Tensor = power / box_sum(power, radius)
        if self.gate == "balanced":
            count = torch.ones_like(power)
            share = share * box_sum(count, radius)
        return share.to(mixed.dtype)


class ChannelMlp(nn.Module):
    """Two layers over a vector of channels, ReLU between them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, channels) for x (n, channels)."""
        hidden = torch.relu(apply_linear(x, self.squeeze.weight, self.squeeze.bias))
        return apply_linear(hidden, self.excite.weight, self.excite.bias)


class CafmFusion(nn.Module):
    """CAFM between the MS and the PAN features, both results mixed by a 1×1 convolution."""

    def __init__(self, channels: int, *, windows: Windows | None = PATCH_WINDOWS) -> None:
        super().__init__()
        self.gates = CrossAttentionGates(channels, windows=windows)
        self.mix = ConvUnit(2 * channels, channels)
        self.reach_px, self.lattice_px = self.gates.reach_px, self.gates.lattice_px

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return (B, C, h, w) for ms and pan (B, C, h, w)."""
        y: Tensor = self.mix(torch.cat(self.gates(ms, pan), dim=1))
        return y
