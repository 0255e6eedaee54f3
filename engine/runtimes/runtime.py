"""What every runtime promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..scene.pair import TileData

Pieces = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Class codes and confidence in percent, (B, H, W) each, of the written parts of B patches."""

TORCH, ONNXRUNTIME, OPENVINO = "torch", "onnxruntime", "openvino"
RUNTIMES = ("auto", TORCH, ONNXRUNTIME, OPENVINO)


class CannotRunError(Exception):
    """A network that a runtime cannot be made for, or fails on; the text says why."""


class Runtime(Protocol):
    """Computes patches of one size; several threads may call it at once."""

    @property
    def title(self) -> str:
        """Name and version as they are written."""

    def run(self, tiles: Sequence[TileData]) -> Pieces:
        """Return what a map shows of each tile; raises CannotRunError where that fails."""


def first_line(error: Exception) -> str:
    """Return how a library's error begins; the rest may be a page of its inner state."""
    return str(error).strip().partition("\n")[0][:200].rstrip(" .")
