"""ADCD-Net's plain trunk without padding, evaluated for one patch or for a whole tile alike.

The papers classify one MS pixel at a time from an MS patch of 16 × 16 pixels and the PAN patch on
the same ground. A convolution that pads its input sees zeros at the border of every such patch, and
no evaluation of a whole scene can repeat that. Unpadded convolutions can be repeated: at stride 1,
with the later kernels dilated by the strides left out, they compute for all pixels at once what
the strided network computes for each patch (Giusti et al. 2013, arXiv:1302.1700).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .contract import FusionNetwork
from .exact import BlockConv2d, convolve, fill_channels, grow, is_exporting, pad_kernel, trim
from .fusion import build_fusion
from .units import ConvUnit

PATCH_PX = 16
"""Side of an MS patch; the PAN patch has ratio times as many pixels."""

TARGET = 7
"""Row and column of the labelled pixel in its MS patch, which is padded by 7 and 8 pixels."""


class PatchAdcdNet(FusionNetwork):
    """Two unpadded trunks, a fusion pixel by pixel, and a head over what is left of the patch.

    ``widths``, ``kernels`` and ``strides`` are those of each trunk's convolutions, with batch
    normalization and ReLU; widths (128, 256, 128), kernels (3, 3, 3) and strides (1, 2, 1) are the
    published MS trunk. The default strides late, since the dense form computes what comes after a
    stride at every pixel. ``hidden`` is the width of the head; ``fusion`` one of those in
    ``models/fusion.py`` that look at one pixel only. All PAN pixels of an MS pixel enter as its
    channels: a first kernel of k is one of k·r × k·r PAN pixels with stride r. Raises ValueError
    for what leaves nothing of a patch.

    All PAN pixels of an MS pixel get its class, as in the papers.
    """

    patch_px = PATCH_PX
    target = TARGET

    def __init__(
        self,
        bands: int,
        ratio: int,
        classes: int,
        *,
        widths: Sequence[int] = (96, 64, 16),
        kernels: Sequence[int] = (1, 3, 3),
        strides: Sequence[int] = (1, 1, 2),
        hidden: int = 32,
        fusion: str = "sum",
    ) -> None:
        super().__init__()
        self.bands, self.ratio, self.classes = bands, ratio, classes
        self.ms_trunk = Trunk(bands, widths, kernels, strides)
        self.pan_trunk = Trunk(ratio**2, widths, kernels, strides)
        self.fusion = build_fusion(fusion, widths[-1])
        if self.fusion.reach_px or self.fusion.lattice_px != 1:
            raise ValueError(f"fusion {fusion!r} looks beyond a pixel, so a patch has none like it")
        self.head = ValidUnit(widths[-1], hidden, self.ms_trunk.side_px)
        self.classify = BlockConv2d(hidden, classes, 1)
        self.halo_px = max(TARGET, PATCH_PX - 1 - TARGET)
        self.lattice_px = 1

    def forward(self, ms: Tensor, pan: Tensor, margin_px: int = 0) -> Tensor:
        """Return logits (B, classes, r·h', r·w') within ``margin_px``, see ``FusionNetwork``."""
        height, width = ms.shape[-2:]
        fused = self.fusion(*self._maps(ms, pan))
        hidden = self.head.dense(fused, self.ms_trunk.stride)
        logits = self.classify(hidden)[..., :height, :width]
        return grow(trim(logits, margin_px), self.ratio)

    def forward_patch(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return logits (B, classes) of the pixels [7, 7] of B patches, strided as in the paper.

        ms is (B, bands, 16, 16), pan (B, 1, 16·r, 16·r); raises ValueError for other sizes.
        """
        if ms.shape[-2:] != (PATCH_PX, PATCH_PX):
            raise ValueError(f"MS patches are {PATCH_PX} × {PATCH_PX}, got {tuple(ms.shape)}")
        fused = self.fusion(self.ms_trunk(ms), self.pan_trunk(self._blocks(pan)))
        logits: Tensor = self.classify(self.head(fused))  # (B, classes, 1, 1)
        return logits.flatten(1)

    def encode(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return the trunks' features around each pixel, (B, width, h, w) both."""
        height, width = ms.shape[-2:]
        start = self.ms_trunk.stride * (self.ms_trunk.side_px - 1) // 2
        rows, cols = slice(start, start + height), slice(start, start + width)
        ms_map, pan_map = self._maps(ms, pan)
        return ms_map[..., rows, cols], pan_map[..., rows, cols]

    def encoders(self) -> tuple[nn.Module, ...]:
        """Return the trunks."""
        return self.ms_trunk, self.pan_trunk

    def _maps(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return what both trunks see in the patches of all pixels."""
        before, after = TARGET, PATCH_PX - 1 - TARGET
        edge = (before, after, before, after)
        ms_map = self.ms_trunk.dense(F.pad(ms, edge))
        return ms_map, self.pan_trunk.dense(F.pad(self._blocks(pan), edge))

    def _blocks(self, pan: Tensor) -> Tensor:
        """Return (B, r², h, w) for pan (B, 1, r·h, r·w)."""
        return F.pixel_unshuffle(pan, self.ratio)


class ValidUnit(ConvUnit):
    """Convolution without padding, batch normalization and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            in_channels, out_channels, kernel, stride=stride, linear=True, padded=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, ⌊(h − kernel)/stride⌋ + 1, …) for x (B, in_channels, h, w)."""
        return _relu(super().forward(x))

    def dense(self, x: Tensor, dilation: int) -> Tensor:
        """Return the same at every pixel, (B, out_channels, h − dilation·(kernel − 1), …).

        ``dilation`` is the product of all strides before.
        """
        if is_exporting():
            y = F.conv2d(x, self.conv.weight, self.conv.bias, dilation=dilation)
            return _relu(self.norm(y))
        weight, bias = pad_kernel(self.conv.weight, self.conv.bias)
        filled = fill_channels(x, weight.shape[1])
        y = convolve(filled, weight, bias, dilation=(dilation, dilation))[
            :, : self.conv.out_channels
        ]
        return _relu(self.norm(y))


class Trunk(nn.Module):
    """Convolutions, one after the other, from a patch (B, bands, 16, 16) to a small map.

    ``side_px`` is the side of that map, ``stride`` how many pixels its positions are apart.
    """

    def __init__(
        self, bands: int, widths: Sequence[int], kernels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__()
        lengths = {len(widths), len(kernels), len(strides)}
        if len(lengths) > 1 or not widths or min(*widths, *kernels, *strides) < 1:
            raise ValueError(
                f"widths {list(widths)}, kernels {list(kernels)} and strides {list(strides)} make "
                "no trunk"
            )
        self.units = nn.ModuleList()
        self.side_px, channels = PATCH_PX, bands
        for width, kernel, stride in zip(widths, kernels, strides, strict=True):
            self.units.append(ValidUnit(channels, width, kernel, stride))
            self.side_px, channels = (self.side_px - kernel) // stride + 1, width
        if self.side_px < 1:
            raise ValueError(
                f"kernels {list(kernels)} and strides {list(strides)} leave nothing of a patch of "
                f"{PATCH_PX} × {PATCH_PX} px"
            )
        self.stride = math.prod(strides)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, widths[-1], side_px, side_px) for patches x (B, bands, 16, 16)."""
        for unit in self.units:
            x = unit(x)
        return x

    def dense(self, x: Tensor) -> Tensor:
        """Return the map's positions for patches at every pixel of x (B, bands, h, w)."""
        dilation = 1
        for unit in self.units:
            assert isinstance(unit, ValidUnit)
            x = unit.dense(x, dilation)
            dilation *= unit.conv.stride[0]
        return x


def _relu(x: Tensor) -> Tensor:
    """Return max(x, 0), in place where no gradient is wanted."""
    return F.relu(x, inplace=not torch.is_grad_enabled())
