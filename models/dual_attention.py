"""Dual attention: pixels look at pixels (PAM) and, beside it, channels at channels (CAM).

Fu et al., Dual Attention Network for Scene Segmentation, CVPR 2019 (doi:10.1109/CVPR.2019.00326),
in its own form over a whole patch and in a form for scenes of any size.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .exact import BlockConv2d
from .units import ConvUnit
from .windows import PATCH_WINDOWS, Windows, lattice_of, lay_out, reach_of

Sign = Literal["official", "paper"]
SIGNS: tuple[Sign, ...] = ("official", "paper")


class PositionAttention(nn.Module):
    """PAM: y = x + γ · V softmax_rows(Qᵀ K)ᵀ; γ starts at 0; Q and K have C/8 channels, at least 1.

    A pixel looks at the pixels of its neighborhood in ``windows`` (None: of the patch, as in the
    paper). Energies are in single precision at least.
    """

    def __init__(self, channels: int, *, windows: Windows | None = PATCH_WINDOWS) -> None:
        super().__init__()
        self.windows = windows
        inner = max(channels // 8, 1)
        self.query = BlockConv2d(channels, inner, 1)
        self.key = BlockConv2d(channels, inner, 1)
        self.value = BlockConv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.reach_px = reach_of(windows)
        self.lattice_px = lattice_of(windows)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) for x (B, C, h, w)."""
        layout = lay_out(x, self.windows)
        query = layout.blocks(self.query(x)).transpose(-2, -1)  # (B·n, N, C/8)
        key = layout.surroundings(self.key(x)).transpose(-2, -1)  # (B·n, K, C/8)
        value = layout.surroundings(self.value(x)).transpose(-2, -1)  # (B·n, K, C)
        mask = layout.inside(x.device) if self.windows else None  # (B·n, 1, K)
        seen = scaled_dot_product_attention(
            at_least_float(query).unsqueeze(1),
            at_least_float(key).unsqueeze(1),
            at_least_float(value).unsqueeze(1),
            attn_mask=mask if mask is None else mask.unsqueeze(1),
            scale=1.0,
        )  # (B·n, 1, N, C)
        return x + self.gamma * layout.join(seen.squeeze(1).transpose(-2, -1)).to(x.dtype)


class ChannelAttention(nn.Module):
    """CAM: y = x + γ · softmax_rows(±E) A, with E = A Aᵀ over the pixels; γ starts at 0.

    The published code takes max_row(E) − E, so that a channel looks at those *unlike* it
    (``sign="official"``); the published formula takes +E, where rectified features look at little
    but themselves (``"paper"``). ``scaled`` divides E by the square root of the number of pixels. E
    is in single precision at least: sums over pixels overflow half precision.
    """

    def __init__(
        self,
        *,
        windows: Windows | None = PATCH_WINDOWS,
        sign: Sign = "official",
        scaled: bool = False,
    ) -> None:
        super().__init__()
        if sign not in SIGNS:
            raise ValueError(f"unknown sign {sign!r}; known: {', '.join(SIGNS)}")
        self.windows, self.sign, self.scaled = windows, sign, scaled
        self.gamma = nn.Parameter(torch.zeros(1))
        self.reach_px = reach_of(windows)
        self.lattice_px = lattice_of(windows)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) for x (B, C, h, w)."""
        with torch.autocast(x.device.type, enabled=False):
            return self._attend(x)

    def _attend(self, x: Tensor) -> Tensor:
        layout = lay_out(x, self.windows)
        around = layout.surroundings(at_least_float(x))  # (B·n, C, K)
        energy = around @ around.transpose(-2, -1)  # (B·n, C, C)
        if self.scaled:
            count = layout.inside(x.device).sum(dim=-1, keepdim=True)  # (B·n, 1, 1)
            energy = energy / count.to(energy.dtype).sqrt()
        if self.sign == "official":
            energy = energy.amax(dim=-1, keepdim=True) - energy
        seen = energy.softmax(dim=-1) @ layout.blocks(at_least_float(x))  # (B·n, C, N)
        return x + self.gamma * layout.join(seen).to(x.dtype)


class DualAttentionFusion(nn.Module):
    """PAM and CAM side by side over both modalities, each between two 3×3 convolutions, summed.

    The arrangement of the published segmentation head, with MS and PAN features as its input.
    """

    def __init__(self, channels: int, *, windows: Windows | None = PATCH_WINDOWS) -> None:
        super().__init__()
        self.to_position = ConvUnit(2 * channels, channels, 3, linear=True)
        self.position = PositionAttention(channels, windows=windows)
        self.from_position = ConvUnit(channels, channels, 3, linear=True)
        self.to_channel = ConvUnit(2 * channels, channels, 3, linear=True)
        self.channel = ChannelAttention(windows=windows, scaled=windows is not None)
        self.from_channel = ConvUnit(channels, channels, 3, linear=True)
        self.reach_px = 2 + self.position.reach_px
        self.lattice_px = self.position.lattice_px

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return (B, C, h, w) for ms and pan (B, C, h, w)."""
        position, channel = self.attend(ms, pan)
        return position + channel

    def attend(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two summands, PAM's and CAM's, (B, C, h, w) each, for ms and pan."""
        both = torch.cat([ms, pan], dim=1)
        position = self.position(torch.relu(self.to_position(both)))
        channel = self.channel(torch.relu(self.to_channel(both)))
        return torch.relu(self.from_position(position)), torch.relu(self.from_channel(channel))


def at_least_float(x: Tensor) -> Tensor:
    """Return x in single precision if it has less, else as it is."""
    return x.float() if torch.finfo(x.dtype).bits < 32 else x
