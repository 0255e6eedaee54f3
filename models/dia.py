"""Diversified interactive attention: the mean and the maximum over channels gate each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .exact import StencilConv2d, grow_twice, sigmoid

MS_SCALES = (0.4, 0.1)
"""Gradient scales (mean, maximum) of the MS branch in ADCD-Net."""
PAN_SCALES = (0.1, 0.4)
"""Gradient scales (mean, maximum) of the PAN branch in ADCD-Net, mirrored."""

REACH_PX = 6
"""Pixels of context on each side: stride 2, three 3×3 convolutions, doubling."""


class CrossGate(nn.Module):
    """DIA of ADCD-Net: y = x · σ(up(conv[σ(conv S_α a′)·m′ ; σ(conv S_β m′)·a′])).

    a′ and m′ are the channel mean and maximum after a 3×3 convolution with stride 2; S_s scales the
    gradient by s and leaves the value (``scale_gradient``). The inner convolutions start at zero,
    bias too, so that both gates are exactly ½ at first. ``rectify`` applies the ReLU that the
    published code ends with. Patches have to start on even pixels of the scene.
    """

    def __init__(self, mean_scale: float, max_scale: float, *, rectify: bool = False) -> None:
        super().__init__()
        self.mean_scale = mean_scale
        self.max_scale = max_scale
        self.rectify = rectify
        self.mean_down = StencilConv2d(1, 1, stride=2)
        self.max_down = StencilConv2d(1, 1, stride=2)
        self.mean_gate = StencilConv2d(1, 1)
        self.max_gate = StencilConv2d(1, 1)
        self.merge = StencilConv2d(2, 1)
        self.reset_gates()

    def reset_gates(self) -> None:
        """Set both gates to neutral; call it after any initialization of the whole network."""
        for gate in (self.mean_gate, self.max_gate):
            nn.init.zeros_(gate.weight)
            if gate.bias is not None:
                nn.init.zeros_(gate.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, C, h, w) times a mask in (0, 1) per pixel."""
        mean = self.mean_down(x.mean(dim=1, keepdim=True))  # (B, 1, ⌈h/2⌉, ⌈w/2⌉)
        peak = self.max_down(x.amax(dim=1, keepdim=True))
        mean_gate = sigmoid(self.mean_gate(scale_gradient(mean, self.mean_scale)))
        max_gate = sigmoid(self.max_gate(scale_gradient(peak, self.max_scale)))
        both = torch.cat([mean_gate * peak, max_gate * mean], dim=1)  # (B, 2, ⌈h/2⌉, ⌈w/2⌉)
        mask = grow_twice(sigmoid(self.merge(both)), (x.shape[-2], x.shape[-1]))
        y = x * mask
        return torch.relu(y) if self.rectify else y


def scale_gradient(x: Tensor, scale: float) -> Tensor:
    """Return x, whose gradient is multiplied by ``scale`` on the way back.

    The value is x to the last bit: x·s + x·(1−s) would round.
    """
    return x.detach() + scale * (x - x.detach())
