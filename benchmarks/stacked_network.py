"""A network for two grids, made to take one raster: what tools for one raster need.

PyTorch only, so that it runs in the environment of those tools too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d


class StackedNetwork(nn.Module):
    """A fusion network that takes MS, resampled to the PAN grid, and PAN as one image of DN.

    ``offset`` and ``scale`` are the scene's radiometry, one for each MS band and then PAN; what
    they give is clipped to ``limits``. ``memory_format`` is that of what the network gets.
    """

    offset: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        ratio: int,
        offset: Sequence[float],
        scale: Sequence[float],
        limits: tuple[float, float],
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        self.network, self.ratio, self.limits = network, ratio, limits
        self.memory_format = memory_format
        self.register_buffer("offset", torch.tensor(offset, dtype=torch.float32)[:, None, None])
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32)[:, None, None])

    def forward(self, stacked: Tensor) -> Tensor:
        """Return logits (B, K, H, W) for ``stacked`` (B, C + 1, H, W), sides multiples of ratio.

        An MS pixel is the mean of its block: the pixel itself where each was repeated.
        """
        scaled = ((stacked - self.offset) * self.scale).clamp(*self.limits)
        ms, pan = avg_pool2d(scaled[:, :-1], self.ratio), scaled[:, -1:]
        logits: Tensor = self.network(
            ms.contiguous(memory_format=self.memory_format),
            pan.contiguous(memory_format=self.memory_format),
        )
        return logits
