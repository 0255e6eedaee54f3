"""The papers' evaluation: one MS patch and one PAN patch for every MS pixel, slow and literal.

Each pixel's patches are cut out of the scene, which is reflected beyond its border (reflect-101),
and the network says one class for each. It is what the dense form of a network is compared with.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from ..models.card import ModelCard
from ..models.exact import grow, trim
from .errors import InputError

PATCH_TILE_PX = 32
"""Side of a tile in MS pixels: a thousand patches, so that progress and cancelling stay quick."""


@runtime_checkable
class PatchNetwork(Protocol):
    """A network with a patch form: ``target`` is the labelled pixel's row and column in it."""

    patch_px: int
    target: int
    ratio: int
    classes: int

    def forward_patch(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return logits (n, classes) for patches (n, bands, p, p) and (n, 1, r·p, r·p)."""


def patch_form(network: nn.Module, card: ModelCard) -> PatchNetwork:
    """Return the network of the model ``card``; raises InputError for one without a patch form."""
    if not isinstance(network, PatchNetwork):
        raise InputError(
            f"The network of model `{card.name}`, `{card.network}`, does not say how large a patch "
            "it classifies a pixel from; `--evaluation patch` needs one that does, such as "
            "`adcdnet_patch`.",
            "no-patch-form",
            "Leave `--evaluation` out, or choose a model with such a network.",
        )
    return network


class Patchwise(nn.Module):
    """A patch network that takes tiles, as its dense form does."""

    def __init__(self, network: PatchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, ms: Tensor, pan: Tensor, margin_px: int = 0) -> Tensor:
        """Return logits (B, K, r·h', r·w') for ms (B, C, h, w) and pan (B, 1, r·h, r·w).

        h' is h − 2 · ``margin_px``. Logits are 0 within the halo: those pixels' patches reach
        beyond the tile. A row of pixels is one batch of patches.
        """
        size, target, ratio = self.network.patch_px, self.network.target, self.network.ratio
        halo = max(target, size - 1 - target)
        batch, _, height, width = ms.shape
        logits = ms.new_zeros(batch, self.network.classes, height, width)
        for row in range(halo, height - halo):
            top, left, right = row - target, halo - target, width - halo - target + size - 1
            ms_row = ms[:, :, top : top + size, left:right]
            fine = slice(ratio * top, ratio * (top + size)), slice(ratio * left, ratio * right)
            found = self.network.forward_patch(
                _patches(ms_row, size, 1), _patches(pan[..., fine[0], fine[1]], ratio * size, ratio)
            )  # (B·n, K)
            of_row = found.reshape(batch, width - 2 * halo, -1)  # (B, n, K)
            logits[:, :, row, halo : width - halo] = of_row.transpose(1, 2)
        return grow(trim(logits, margin_px), ratio)


def _patches(row: Tensor, size: int, step: int) -> Tensor:
    """Return patches (B·n, C, size, size), ``step`` pixels apart, of a row (B, C, size, w)."""
    cut = row.unfold(3, size, step)  # (B, C, size, n, size)
    return cut.permute(0, 3, 1, 2, 4).flatten(0, 1)
