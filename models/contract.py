"""What every fusion network promises, so that a map never depends on how it was tiled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

FINE_BYTES = 100
"""Memory for each PAN pixel of a patch: its detail, and what the decoder makes of it."""


class FusionNetwork(nn.Module, ABC):
    """A network from an MS and a PAN patch to class scores for every PAN pixel.

    Subclasses set, in ``__init__``:

    - ``bands``, ``ratio``, ``classes``: MS bands, MS GSD ÷ PAN GSD, classes;
    - ``halo_px``: MS pixels of context that an output pixel can see, a true upper bound. The engine
      reads that much real imagery around each tile and crops it from the output;
    - ``lattice_px``: the MS-pixel multiple that the origin of every patch lies on (strides).

    No operation may see the whole patch (only fixed neighborhoods), and none may round differently
    when the patch has another shape: see ``models/exact.py`` for what that excludes.

    ``training_arguments`` are further arguments of a network that is to be trained, and
    ``stage_one_arguments`` those of one that goes through stage I besides, for what is of use, or
    worth its time, only then. What they add is gone after ``finish``: no model card holds them.
    """

    training_arguments: ClassVar[dict[str, Any]] = {}
    stage_one_arguments: ClassVar[dict[str, Any]] = {}

    bands: int
    ratio: int
    classes: int
    halo_px: int
    lattice_px: int

    @property
    def bytes_per_px(self) -> int:
        """Memory that inference takes for each MS pixel of a patch and its PAN pixels, in bytes.

        Measured in torch at six bands; a plan of tiles reckons with it.
        """
        return 5000 + FINE_BYTES * (self.ratio**2 - 4)

    @abstractmethod
    def forward(self, ms: Tensor, pan: Tensor, margin_px: int = 0) -> Tensor:
        """Return logits (B, classes, r·h', r·w') for ms (B, bands, h, w) and pan (B, 1, r·h, r·w).

        h' is h − 2 · ``margin_px``, w' likewise: without the outermost ``margin_px`` MS pixels on
        every side, a multiple of ``lattice_px``, whose logits nobody wants. A network computes for
        them only what the others see; the others' logits are the same to the last bit.
        """

    def encode(self, ms: Tensor, pan: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of each modality, (B, C, h, w) both, that stage I of training learns.

        Raises NotImplementedError for a network without such branches.
        """
        raise NotImplementedError(f"{type(self).__name__} has no branches to train by themselves")

    def encoders(self) -> tuple[nn.Module, ...]:
        """Return the modules that ``encode`` runs, whose parameters stage I of training learns."""
        return ()

    def end_stage_one(self) -> None:
        """Make what stage I learned ready for stage II, such as by freezing it."""

    def train_logits(
        self, ms: Tensor, pan: Tensor, where: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the logits of ``forward`` and those of auxiliary heads, if there are any.

        Those are (n, classes) for the n pixels that are True in ``where`` (B, h, w), row by row.
        """
        return self(ms, pan), ()

    def finish(self) -> None:
        """Take out, in place, what only training needs."""
