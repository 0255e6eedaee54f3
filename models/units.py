"""Building blocks of the networks: MobileNetV3 units whose gates look at a fixed neighborhood.

Every unit has ``reach_px``: how many of its own input pixels around an output pixel it can see.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .exact import BlockConv2d


class ConvUnit(nn.Module):
    """Convolution, batch normalization and, unless ``linear``, hard swish; size ⌈h/stride⌉.

    Not ``padded``, it sees no zeros beyond the patch and returns only what lies inside:
    size ⌊(h − kernel)/stride⌋ + 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        depthwise: bool = False,
        linear: bool = False,
        padded: bool = True,
    ) -> None:
        super().__init__()
        # An even kernel is as large as its stride: it reads whole blocks and needs no border.
        edge = kernel // 2 if padded and kernel % 2 and kernel != stride else 0
        self.conv: nn.Conv2d
        if depthwise:
            self.conv = DepthwiseConv2d(
                in_channels, out_channels, kernel, stride, edge, groups=in_channels, bias=False
            )
        else:
            self.conv = BlockConv2d(in_channels, out_channels, kernel, stride, edge, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.1)
        self.linear = linear
        self.reach_px = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, ⌈h/stride⌉, ⌈w/stride⌉) for x (B, in_channels, h, w)."""
        return self._after(self.conv(x))

    def inside(self, x: Tensor) -> Tensor:
        """Return what ``forward`` does but for the outermost ``reach_px``, which see beyond x."""
        conv = self.conv
        return self._after(
            F.conv2d(x, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)
        )

    def _after(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y if self.linear else hard_swish(y)


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution that stays in single precision where training is in mixed precision.

    Its gradient in bfloat16 takes several times as long on a CPU.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, C, h', w') for input (B, C, h, w)."""
        if not torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))


class BoxGate(nn.Module):
    """Squeeze-and-excitation (MobileNetV3) over a box of (2·radius+1)² pixels around each pixel.

    With a radius as large as the patch it is the paper's gate over the whole patch.
    """

    def __init__(self, channels: int, radius: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(16, channels // reduction)
        self.radius = radius
        self.squeeze = BlockConv2d(channels, hidden, 1)
        self.excite = BlockConv2d(hidden, channels, 1)
        self.reach_px = radius

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, C, h, w) times a gate in [0, 1] for every channel and pixel."""
        # The squeeze is linear, so it may go before the mean, where it leaves fewer channels.
        hidden = torch.relu(box_mean(self.squeeze(x), self.radius))
        gate = self.excite(hidden)
        if torch.is_grad_enabled() or gate.dtype != x.dtype:
            return x * F.hardsigmoid(gate)
        return F.hardsigmoid(gate, inplace=True).mul_(x)  # these are the largest maps there are


def hard_swish(x: Tensor) -> Tensor:
    """Return x·clip(x + 3, 0, 6)/6 (MobileNetV3), in place where no gradient is wanted."""
    return F.hardswish(x, inplace=not torch.is_grad_enabled())


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Return the mean of x (B, C, h, w) over the pixels within ``radius`` rows and columns.

    Beyond the patch nothing is counted. Rows and columns are summed apart, in the same order for
    every pixel; a running sum would round differently from place to place.
    """
    span = 2 * radius + 1
    wide = F.avg_pool2d(x, (1, span), 1, (0, radius), count_include_pad=False)
    return F.avg_pool2d(wide, (span, 1), 1, (radius, 0), count_include_pad=False)


class InvertedResidual(nn.Module):
    """MobileNetV3 unit: 1×1 expansion, depthwise k×k, optional box gate, linear 1×1 projection.

    The input is added where the shape allows it (stride 1, equal channels).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int = 2,
        kernel: int = 3,
        stride: int = 1,
        gate_radius: int = 0,
    ) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = ConvUnit(in_channels, inner)
        self.spread = ConvUnit(inner, inner, kernel, stride=stride, depthwise=True)
        self.gate = BoxGate(inner, gate_radius) if gate_radius else nn.Identity()
        self.project = ConvUnit(inner, out_channels, linear=True)
        self.residual = stride == 1 and in_channels == out_channels
        self.reach_px = kernel // 2 + gate_radius * stride

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, ⌈h/stride⌉, ⌈w/stride⌉) for x (B, in_channels, h, w)."""
        y: Tensor = self.project(self.gate(self.spread(self.expand(x))))
        return x + y if self.residual else y
