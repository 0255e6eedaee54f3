"""What every fusion network promises, so that a map never depends on how it was tiled."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class FusionNetwork(nn.Module, ABC):
    """A network from an MS and a PAN patch to class scores for every PAN pixel.

    Subclasses set, in ``__init__``:

    - ``bands``, ``ratio``, ``classes``: MS bands, MS GSD ÷ PAN GSD, classes;
    - ``halo_px``: MS pixels of context that an output pixel can see, a true upper bound. The engine
      reads that much real imagery around each tile and crops it from the output;
    - ``lattice_px``: the MS-pixel multiple that the origin of every patch lies on (strides).

    No operation may see the whole patch (only fixed neighborhoods), and none may round differently
    when the patch has another shape: see ``models/exact.py`` for what that excludes.
    """

    bands: int
    ratio: int
    classes: int
    halo_px: int
    lattice_px: int

    @abstractmethod
    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        """Return logits (B, classes, r·h, r·w) for ms (B, bands, h, w) and pan (B, 1, r·h, r·w)."""
