"""Neighborhoods of fixed size on the scene's lattice, for operations that look at many pixels.

What the papers compute over the whole patch is computed here for each block of a fixed lattice,
from the block and a margin around it. Patches start on the lattice, so a block is the same pixels
in every tile. With ``None`` in place of windows the whole patch is one block, as in the papers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from .exact import is_exporting


@dataclass(frozen=True)
class Windows:
    """Blocks of ``size_px``² pixels; each looks at itself and ``margin_px`` more on every side."""

    size_px: int
    margin_px: int = 0

    def __post_init__(self) -> None:
        if self.size_px < 1 or self.margin_px < 0:
            raise ValueError(
                f"no windows of {self.size_px} px with a margin of {self.margin_px} px"
            )

    @property
    def reach_px(self) -> int:
        """Pixels of context on each side: a corner sees across its block and the margin."""
        return self.size_px - 1 + self.margin_px


UNBOUNDED_PX = 1 << 20
"""The reach of an operation over the whole patch: no halo is enough for it."""

PATCH_WINDOWS = Windows(8, 4)
"""Blocks of 8 × 8 pixels that look at 16 × 16, the size of the papers' MS patch."""


@dataclass(frozen=True)
class Layout:
    """How a patch (B, C, height, width) falls into blocks: n for each image, row by row."""

    batch: int
    height: int
    width: int
    block: tuple[int, int]
    margin: int

    @property
    def rows(self) -> int:
        """Blocks from top to bottom."""
        return -(-self.height // self.block[0])

    @property
    def cols(self) -> int:
        """Blocks from left to right."""
        return -(-self.width // self.block[1])

    def blocks(self, x: Tensor) -> Tensor:
        """Return (B·n, C, block pixels) for x (B, C, h, w); 0 beyond the patch."""
        return self._cut(x, 0)

    def surroundings(self, x: Tensor) -> Tensor:
        """Return (B·n, C, pixels of block and margin) for x (B, C, h, w); 0 beyond the patch."""
        return self._cut(x, self.margin)

    def inside(self, device: torch.device) -> Tensor:
        """Return bool (B·n, 1, pixels of block and margin): True where they lie in the patch."""
        ones = torch.ones(1, 1, self.height, self.width, device=device)
        return (self._cut(ones, self.margin) > 0).repeat(self.batch, 1, 1)

    def join(self, blocks: Tensor) -> Tensor:
        """Return (B, C, h, w) for blocks (B·n, C, block pixels)."""
        high, wide = self.block
        x = blocks.reshape(self.batch, self.rows, self.cols, -1, high, wide)
        x = x.permute(0, 3, 1, 4, 2, 5)  # (B, C, rows, high, cols, wide)
        x = x.reshape(self.batch, -1, self.rows * high, self.cols * wide)
        return x[..., : self.height, : self.width]

    def _cut(self, x: Tensor, margin: int) -> Tensor:
        (high, wide), (batch, channels) = self.block, (int(size) for size in x.shape[:2])
        tall, broad = high + 2 * margin, wide + 2 * margin
        # Copies moved by whole blocks, side by side, hold every block with its margin.
        steps = -(-tall // high), -(-broad // wide)
        below = (self.rows + steps[0] - 1) * high - self.height - margin
        right = (self.cols + steps[1] - 1) * wide - self.width - margin
        padded = pad(x, (margin, right, margin, below))
        x = _beside(padded, 2, self.rows, high, steps[0])[:, :, :, :tall]
        x = _beside(x, 4, self.cols, wide, steps[1])[..., :broad]
        # (B, C, rows, tall, cols, broad)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(batch * self.rows * self.cols, channels, -1)


def _beside(x: Tensor, dim: int, count: int, size: int, steps: int) -> Tensor:
    """Return x with axis ``dim`` cut into ``count`` blocks, each with the ``steps`` − 1 next."""
    cut = (*x.shape[:dim], count, size, *x.shape[dim + 1 :])
    moved = [x.narrow(dim, step * size, count * size).reshape(cut) for step in range(steps)]
    return torch.cat(moved, dim=dim + 1) if steps > 1 else moved[0]


def reach_of(windows: Windows | None) -> int:
    """Return how many pixels of context an operation over ``windows`` needs on each side."""
    return UNBOUNDED_PX if windows is None else windows.reach_px


def lattice_of(windows: Windows | None) -> int:
    """Return the multiple of pixels that a patch cut into ``windows`` has to start on."""
    return 1 if windows is None else windows.size_px


def lay_out(x: Tensor, windows: Windows | None) -> Layout:
    """Return how x (B, C, h, w) falls into ``windows``; None makes all of it one block."""
    # Whole numbers, where an export records sizes as tensors: the graph is for one patch shape.
    batch, _, height, width = (int(size) for size in x.shape)
    if windows is None:
        return Layout(batch, height, width, (height, width), 0)
    return Layout(batch, height, width, (windows.size_px, windows.size_px), windows.margin_px)


def box_sum(x: Tensor, radius: int | None) -> Tensor:
    """Return the sum of x (B, C, h, w) over the pixels within ``radius``; None sums the patch.

    The result is (B, C, h, w), or (B, C, 1, 1) for the whole patch. Nothing lies beyond the patch.
    """
    if radius is None:
        return x.sum(dim=(-2, -1), keepdim=True)
    if is_exporting():  # no other runtime pools in double precision
        return _add_shifted(_add_shifted(x, radius, 3), radius, 2)
    span = 2 * radius + 1
    wide = avg_pool2d(x, (1, span), 1, (0, radius), divisor_override=1)
    return avg_pool2d(wide, (span, 1), 1, (radius, 0), divisor_override=1)


def _add_shifted(x: Tensor, radius: int, dim: int) -> Tensor:
    size = int(x.shape[dim])
    edge = (radius, radius, 0, 0) if dim == 3 else (0, 0, radius, radius)
    padded = pad(x, edge)
    total = padded.narrow(dim, 0, size)
    for step in range(1, 2 * radius + 1):
        total = total + padded.narrow(dim, step, size)
    return total


def mean_along(x: Tensor, dim: int) -> Tensor:
    """Return the mean of x along ``dim``, added in the same order whatever the other sizes are.

    A sum along any but the last axis in memory is cut into pieces by the shape of the others.
    """
    return x.movedim(dim, -1).contiguous().mean(dim=-1)


def apply_linear(vectors: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return vectors (n, I) · weightᵀ (I, O) + bias, every row rounded alike whatever n is.

    A matrix product picks its order of addition by the number of rows; a product and a sum do not.
    """
    y = (vectors.unsqueeze(1) * weight).sum(dim=-1)
    return y if bias is None else y + bias
