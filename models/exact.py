"""Operations whose rounding does not depend on the shape of the patch.

oneDNN chooses a convolution kernel by the whole shape of its input, and for few channels the
choices add in different orders: the same pixel then gets other last bits in another tile. With
channels-last memory and channel counts that are multiples of 16 every choice adds in the same order
(a test measures it). The classes here bring every convolution into that form. Vectorized
transcendental functions round the few remaining elements of an array differently; ``sigmoid`` hides
that in double precision.

ONNX Runtime and OpenVINO have kernels of their own, whose order of addition does not depend on the
shape of one patch (a test measures that too): in a graph for them a convolution is a plain one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 16
Pair = tuple[int, ...]


class BlockConv2d(nn.Conv2d):
    """A convolution without groups, its channels filled up with zeros to multiples of 16."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, out_channels, h', w') for input (B, in_channels, h, w)."""
        if is_exporting():
            return super().forward(input)
        weight, bias = pad_kernel(self.weight, self.bias)
        filled = fill_channels(input, weight.shape[1])
        out = convolve(filled, weight, bias, self.stride, self.padding, self.dilation)
        return out[:, : self.out_channels]


class StencilConv2d(nn.Conv2d):
    """A 3×3 convolution of a few channels: nine taps as channels of a 1×1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, stride=stride, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, out_channels, ⌈h/stride⌉, ⌈w/stride⌉) for input (B, in_channels, h, w)."""
        if is_exporting():
            return super().forward(input)
        return self.inside(F.pad(input, (1, 1, 1, 1)))

    def inside(self, input: Tensor) -> Tensor:
        """Return what ``forward`` does but for the outermost pixels, which see beyond the input.

        For input (B, in_channels, h + 2, w + 2) it is (B, out_channels, ⌈h/stride⌉, ⌈w/stride⌉).
        """
        if is_exporting():
            return F.conv2d(input, self.weight, self.bias, self.stride)
        step = self.stride[0]
        height, width = input.shape[-2] - 2, input.shape[-1] - 2
        taps = torch.cat(
            [
                input[:, :, dy : dy + height : step, dx : dx + width : step]
                for dy in range(3)
                for dx in range(3)
            ],
            dim=1,
        )  # (B, 9·in_channels, h', w'), tap by tap
        flat = self.weight.permute(0, 2, 3, 1).reshape(self.out_channels, -1, 1, 1)
        weight, bias = pad_kernel(flat, self.bias)
        return convolve(fill_channels(taps, weight.shape[1]), weight, bias)[:, : self.out_channels]


def is_exporting() -> bool:
    """Return True while ``torch.onnx.export`` records the graph for another runtime."""
    return bool(torch.onnx.is_in_onnx_export())


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair = (1, 1),
    padding: Pair | str = (0, 0),
    dilation: Pair = (1, 1),
) -> Tensor:
    """Return the convolution of x (B, I, h, w) with weight (O, I, k, k) and bias (O).

    For inference on a CPU always by oneDNN: with one thread torch has 1×1 convolutions of a few
    images computed by code of its own, to the same bits, but a third slower.
    """
    ready = x.device.type == "cpu" and x.dtype == torch.float32 and not isinstance(padding, str)
    if (
        ready
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    ):
        y: Tensor = torch.ops.aten.mkldnn_convolution(x, weight, bias, padding, stride, dilation, 1)
        return y
    return F.conv2d(x, weight, bias, stride, padding, dilation)


def pad_kernel(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return weight (O, I, k, k) and bias (O) with O and I raised to multiples of 16 by zeros."""
    out, into = -weight.shape[0] % BLOCK, -weight.shape[1] % BLOCK
    weight = F.pad(weight, (0, 0, 0, 0, 0, into, 0, out))
    weight = weight.contiguous(memory_format=torch.channels_last)
    return weight, bias if bias is None else F.pad(bias, (0, out))


def fill_channels(x: Tensor, channels: int) -> Tensor:
    """Return x (B, C, h, w) with zeros as further channels, channels-last in memory."""
    if x.shape[1] < channels:
        x = F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))
    return x.contiguous(memory_format=torch.channels_last)


def sigmoid(x: Tensor) -> Tensor:
    """Return the logistic function, on a CPU rounded alike whatever the position in memory."""
    if x.device.type != "cpu":  # one thread an element, no remainder; and MPS has no float64
        return torch.sigmoid(x)
    return torch.sigmoid(x.double()).to(x.dtype)


def grow_twice(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return x (B, C, ⌈h/2⌉, ⌈w/2⌉) with every pixel doubled both ways, cropped to size (h, w)."""
    return grow_to(x, 2, size)


def grow_to(x: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """Return x (B, C, ⌈h/factor⌉, ⌈w/factor⌉), every pixel repeated, cropped to size (h, w).

    The engine's patches are whole multiples of the lattice, where there is nothing to crop.
    """
    big = grow(x, factor)
    return big if is_exporting() else big[..., : size[0], : size[1]]


def grow(x: Tensor, factor: int) -> Tensor:
    """Return x (B, C, h, w) with every pixel repeated to (B, C, factor·h, factor·w)."""
    return F.interpolate(x, scale_factor=float(factor), mode="nearest")


def trim(x: Tensor, edge_px: int) -> Tensor:
    """Return x (B, C, h, w) without its outermost ``edge_px`` rows and columns on every side."""
    if edge_px == 0:
        return x
    if is_exporting() and x.dtype == torch.float32:
        return F.pad(x, (-edge_px,) * 4)  # one operation of the graph, where a slice is two
    return x[..., edge_px:-edge_px, edge_px:-edge_px]
