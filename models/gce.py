"""GCE: groups of channels sharpened, each by a gate of its own.

Multiscale sparse cross-attention network for remote sensing scene classification (MSCN, IEEE TGRS
2025), in its own form over a whole patch and in a form for scenes of any size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from .dual_attention import at_least_float
from .exact import fill_channels, is_exporting, pad_kernel, sigmoid
from .units import box_mean
from .windows import UNBOUNDED_PX


class GroupEnhancer(nn.Module):
    """GCE: out = x·mask + x, with mask = 1 where y > mean(y) and y elsewhere, group by group.

    y = σ(x·a·s): a is squeeze-and-excitation over the group's channels, s a gate per pixel (1×1).
    Both means, that of the squeeze and that of y, run over the box of ``radius`` around each pixel,
    or, with None, over the patch, as published; that of y over the group's channels too. Raises
    ValueError unless ``groups`` divides ``channels``. The gradient goes through y where the mask
    is y, and only through x where it is 1.
    """

    def __init__(self, channels: int, *, groups: int = 8, radius: int | None = 4) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(
                f"{channels} channels do not divide into {groups} groups; choose a number of "
                f"groups that divides {channels}"
            )
        self.groups, self.radius = groups, radius
        hidden = groups * max(channels // groups // 4, 1)
        self.squeeze = GroupedConv2d(channels, hidden, groups)
        self.excite = GroupedConv2d(hidden, channels, groups)
        self.focus = GroupedConv2d(channels, groups, groups)
        self.reach_px = UNBOUNDED_PX if radius is None else 2 * radius
        self.lattice_px = 1

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) for x (B, C, h, w)."""
        return x * self.mask(x).to(x.dtype) + x

    def mask(self, x: Tensor) -> Tensor:
        """Return the mask (B, C, h, w) in (0, 1] for x (B, C, h, w), in single precision at least.

        In half precision small features all give the same y, and none would be above the mean.
        """
        # The squeeze is linear, so it may go before the mean, where it leaves fewer channels.
        hidden = torch.relu(self._mean(self.squeeze(x)))
        weighted = at_least_float(x) * sigmoid(self.excite(hidden))
        focus = sigmoid(self.focus(weighted)).permute(0, 2, 3, 1)  # (B, h, w, groups)
        # A group's channels lie beside each other in memory, where they are added in one order.
        grouped = weighted.permute(0, 2, 3, 1).contiguous().reshape(*focus.shape, -1)
        y = sigmoid(grouped * focus.unsqueeze(4))  # (B, h, w, groups, C/groups)
        level = self._mean(y.mean(dim=4).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return y.masked_fill(y > level.unsqueeze(4), 1).flatten(3).permute(0, 3, 1, 2)

    def _mean(self, x: Tensor) -> Tensor:
        if self.radius is None:
            return x.mean(dim=(-2, -1), keepdim=True)
        return box_mean(x, self.radius)


class GroupedConv2d(nn.Conv2d):
    """A 1×1 convolution in groups, computed as one without, with zeros between the groups."""

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__(in_channels, out_channels, 1, groups=groups)

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, out_channels, h, w) for input (B, in_channels, h, w)."""
        if is_exporting():
            return super().forward(input)
        to = torch.arange(self.out_channels, device=input.device) * self.groups // self.out_channels
        of = torch.arange(self.in_channels, device=input.device) * self.groups // self.in_channels
        full = self.weight.flatten(1).repeat(1, self.groups) * (to.unsqueeze(1) == of)
        weight, bias = pad_kernel(full[..., None, None], self.bias)
        return conv2d(fill_channels(input, weight.shape[1]), weight, bias)[:, : self.out_channels]
