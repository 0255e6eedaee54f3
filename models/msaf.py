"""MSAF: a weight between two maps, from contexts of several sizes.

Multi-scale attention fusion of DSNet (arXiv:2406.03702), in its own form over a whole patch and in
a form for scenes of any size.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, batch_norm, interpolate

from .exact import grow_to, is_exporting, sigmoid
from .units import ConvUnit, box_mean
from .windows import UNBOUNDED_PX

Norm = Literal["batch", "layer"]
NORMS: tuple[Norm, ...] = ("batch", "layer")


class MsafFusion(nn.Module):
    """MSAF: out = 2·x·w + 2·r·(1 − w), with w = σ(L(a) + G(a) + Σ_k up(C_k(a))) and a = x + r.

    Every branch is 1×1, normalization, ReLU, 1×1, normalization. L sees one pixel, G the mean of
    the neighborhood, C_k the mean of each cell of a k × k division of the patch, repeated (``up``)
    over the cell.

    With ``patch_px`` cells have a fixed size, that of a patch of so many pixels (which every
    context has to divide), on the scene's lattice; G sees the box of ``global_px`` (default: half
    the patch) around each pixel. With None they divide whatever patch comes, as published; contexts
    finer than the patch's pixels are left out, where the published form repeats pixels.
    ``norm="layer"`` normalizes over the channels of a pixel and so does not depend on the batch.
    """

    def __init__(
        self,
        channels: int,
        *,
        contexts: tuple[int, ...] = (4, 8, 16),
        patch_px: int | None = 16,
        global_px: int | None = None,
        reduction: int = 4,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"unknown normalization {norm!r}; known: {', '.join(NORMS)}")
        if patch_px and any(patch_px % context for context in contexts):
            raise ValueError(
                f"contexts {contexts} do not all divide a patch of {patch_px} px; choose contexts "
                "or patch_px so that every cell is a whole number of pixels"
            )
        self.contexts, self.patch_px = contexts, patch_px
        self.global_px = global_px if global_px is not None else (patch_px or 0) // 2
        self.local_branch = Branch(channels, reduction, norm)
        self.global_branch = Branch(channels, reduction, norm)
        self.context_branches = nn.ModuleList(Branch(channels, reduction, norm) for _ in contexts)
        cells = [patch_px // context for context in contexts] if patch_px else []
        self.lattice_px = math.lcm(*cells)
        self.reach_px = max(self.global_px, *cells) if patch_px else UNBOUNDED_PX

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return (B, C, h, w) for ms and pan (B, C, h, w); raises ValueError for unequal shapes."""
        if not is_exporting() and ms.shape != pan.shape:
            raise ValueError(
                f"MSAF got maps {tuple(ms.shape)} and {tuple(pan.shape)}; it needs equal shapes: "
                "resize one of them first"
            )
        weight = self.weigh(ms + pan)
        return 2 * (ms * weight + pan * (1 - weight))

    def weigh(self, both: Tensor) -> Tensor:
        """Return w (B, C, h, w) in (0, 1) for a = x + r (B, C, h, w)."""
        mean = both.mean(dim=(-2, -1), keepdim=True)
        if self.patch_px:
            mean = box_mean(both, self.global_px)
        logits = self.local_branch(both) + self.global_branch(mean)
        for context, branch in zip(self.contexts, self.context_branches):
            if self.patch_px:
                logits = logits + self._fixed_cells(both, self.patch_px // context, branch)
            elif context <= min(both.shape[-2:]):
                cells = branch(adaptive_avg_pool2d(both, context))
                logits = logits + interpolate(cells, size=both.shape[-2:], mode="nearest")
        return sigmoid(logits)

    def _fixed_cells(self, both: Tensor, cell_px: int, branch: nn.Module) -> Tensor:
        cells = avg_pool2d(both, cell_px, ceil_mode=True, count_include_pad=False)
        return grow_to(branch(cells), cell_px, (both.shape[-2], both.shape[-1]))


class Branch(nn.Module):
    """1×1 to C/reduction channels (at least 8), normalization, ReLU, 1×1 back, normalization."""

    def __init__(self, channels: int, reduction: int, norm: Norm) -> None:
        super().__init__()
        hidden = max(channels // reduction, 8)
        self.squeeze = ConvUnit(channels, hidden, linear=True)
        self.excite = ConvUnit(hidden, channels, linear=True)
        for unit, width in ((self.squeeze, hidden), (self.excite, channels)):
            unit.norm = LayerNorm2d(width) if norm == "layer" else LenientBatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) for x (B, C, h, w)."""
        y: Tensor = self.excite(torch.relu(self.squeeze(x)))
        return y


class LenientBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization that uses its running statistics where a batch has one value per channel.

    A single patch pooled to one pixel has no variance; plain batch normalization refuses to train.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3, momentum=0.03)

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, C, h, w) for input (B, C, h, w)."""
        if self.training and input.numel() == input.shape[1]:
            return batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


class LayerNorm2d(nn.Module):
    """Layer normalization over the channels of every pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) for x (B, C, h, w)."""
        y: Tensor = self.norm(x.permute(0, 2, 3, 1).contiguous())
        return y.permute(0, 3, 1, 2)
