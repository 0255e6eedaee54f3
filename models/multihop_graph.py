"""A graph over blocks of pixels: what similar blocks one, two, three … hops away have in common.

The graph branch in the sense of AMGCFN (Attention Multihop Graph and Multiscale Convolutional
Fusion Network, IEEE TGRS 2023, https://ieeexplore.ieee.org/document/10098209). The paper's nodes
are superpixels of a whole scene; these are blocks of a fixed lattice, joined to near blocks only,
so that a node is the same in every tile. The formulas are this file's own.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from .dual_attention import at_least_float
from .exact import BlockConv2d, grow_to
from .units import ConvUnit, InvertedResidual


class MultiHopBranch(nn.Module):
    """The features of a pixel joined to those of its block's node: y = refine(mix[x; grow(g)]).

    g is ``MultiHopGraph`` over the means of blocks of ``block_px``² pixels, repeated over the
    pixels of each block; mix a 1×1 convolution; refine a unit that sees 3×3 pixels. A block that
    the patch cuts has the mean of the pixels that exist. Patches start on multiples of
    ``block_px``. Raises ValueError for a block or a radius below 1, or fewer than 2 hops.
    """

    def __init__(
        self,
        channels: int,
        *,
        node_width: int = 64,
        block_px: int = 4,
        radius: int = 1,
        hops: int = 3,
    ) -> None:
        super().__init__()
        if min(block_px, radius) < 1 or hops < 2:
            raise ValueError(
                f"no graph of blocks of {block_px} px, radius {radius} and {hops} hops; it needs "
                "blocks and a radius of at least 1 and, to choose between, at least 2 hops"
            )
        self.block_px = block_px
        self.graph = MultiHopGraph(channels, node_width, radius=radius, hops=hops)
        self.mix = ConvUnit(channels + node_width, channels)
        self.refine = InvertedResidual(channels, channels, kernel=3)
        # The first pixel of a block sees the last one of the farthest block.
        self.reach_px = block_px * radius * hops + block_px - 1 + self.refine.reach_px
        self.lattice_px = block_px

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) for x (B, C, h, w)."""
        height, width = x.shape[-2:]
        nodes = avg_pool2d(x, self.block_px, ceil_mode=True, count_include_pad=False)
        context = grow_to(self.graph(nodes), self.block_px, (height, width))
        y: Tensor = self.refine(self.mix(torch.cat([x, context.to(x.dtype)], dim=1)))
        return y


class MultiHopGraph(nn.Module):
    """g_n = Σ_k α_nk h_nk over the hops k = 1 … K of nodes x_n on a lattice (B, C, H, W).

    Edges:     w_nm = exp(−‖E x_n − E x_m‖² / √d) for |row_n − row_m| and |col_n − col_m| at most
               ``radius``, m = n too, else 0;
    steps:     Â = D⁻¹ W with D_nn = Σ_m w_nm;
    hops:      h_k = hswish(norm(W_k Âᵏ x));
    attention: α_nk = softmax_k(vᵀ ReLU(U h_nk + b)).

    Â is W of the graph with self-loops made row-stochastic: a hop takes a mean over similar
    neighbors, so that at the border, where some are missing, features keep their size. The
    symmetric D^−½ W D^−½ would need the degrees of neighbors too, and with them a larger halo.
    Âᵏ x is k steps in turn, so hop k reaches k·radius nodes; with a radius as large as the patch
    all its nodes are joined. Beyond the patch there are no nodes. Steps are in single precision at
    least.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        radius: int = 1,
        hops: int = 3,
        edge_width: int = 16,
    ) -> None:
        super().__init__()
        self.radius = radius
        # No bias here nor in `rank`: the same number everywhere cancels in both formulas.
        self.embed = BlockConv2d(channels, edge_width, 1, bias=False)
        self.scale = edge_width**-0.5
        self.transforms = nn.ModuleList(ConvUnit(channels, width) for _ in range(hops))
        self.look = BlockConv2d(width, max(width // 2, 8), 1)
        self.rank = BlockConv2d(max(width // 2, 8), 1, 1, bias=False)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return (B, width, H, W) for nodes (B, C, H, W)."""
        steps = self.weigh_edges(nodes)
        walked, seen, scores = at_least_float(nodes), list[Tensor](), list[Tensor]()
        for transform in self.transforms:
            walked = take_step(walked, steps, self.radius)
            seen.append(transform(walked))
            scores.append(self.rank(torch.relu(self.look(seen[-1]))).squeeze(1))
        shares = stable_softmax(torch.stack(scores, dim=-1))  # (B, H, W, hops)
        joined = shares[..., 0].unsqueeze(1) * seen[0]
        for k in range(1, len(seen)):
            joined = joined + shares[..., k].unsqueeze(1) * seen[k]
        return joined

    def weigh_edges(self, nodes: Tensor) -> Tensor:
        """Return Â (B, H, W, (2·radius+1)²): a node's row by neighbor, in order of ``shifts``."""
        height, width = nodes.shape[-2:]
        own = at_least_float(self.embed(nodes)).permute(0, 2, 3, 1).contiguous()  # (B, H, W, d)
        padded = pad(own, (0, 0, *(self.radius,) * 4))
        exists = pad(own.new_ones(1, height, width, 1), (0, 0, *(self.radius,) * 4)) > 0
        # The axis that is summed is the last in memory and of fixed size, so it rounds alike.
        around = list(shifts(height, width, self.radius))
        far = [(own - padded[:, rows, cols]).square().sum(dim=-1) for rows, cols in around]
        known = torch.stack([exists[:, rows, cols, 0] for rows, cols in around], dim=-1)
        energy = torch.stack(far, dim=-1) * -self.scale  # (B, H, W, (2·radius+1)²)
        return stable_softmax(energy.masked_fill(~known, -torch.inf))


def take_step(x: Tensor, steps: Tensor, radius: int) -> Tensor:
    """Return Â x (B, C, H, W) for x (B, C, H, W) and Â (B, H, W, (2·radius+1)²)."""
    height, width = x.shape[-2:]
    padded = pad(x, (radius,) * 4)
    y = torch.zeros_like(x)
    # One neighbor after another: the order of addition is the same for every node.
    for number, (rows, cols) in enumerate(shifts(height, width, radius)):
        y = y + steps[..., number].unsqueeze(1) * padded[:, :, rows, cols]
    return y


def shifts(height: int, width: int, radius: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of each neighbor in a map padded by ``radius``, row by row."""
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            yield slice(dy, dy + height), slice(dx, dx + width)


def stable_softmax(x: Tensor) -> Tensor:
    """Return the softmax of x over its last axis, on a CPU rounded alike wherever it lies."""
    if x.device.type != "cpu":  # MPS has no float64
        return x.softmax(dim=-1)
    return x.double().softmax(dim=-1).to(at_least_float(x).dtype)
