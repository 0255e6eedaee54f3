"""Overlap blending: tiles fade into each other, and a strip one overlap high is all that is kept.

Where two tiles overlap, one's weight rises from its edge as sin² while the other's falls as cos²,
taken at pixel centers, so that no weight is 0 and the weights of each pixel sum to 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .plan import BlendPlan

Image = NDArray[np.float32]

_MOST_KEPT_BYTES = 2**32


def blend_weights(tile_px: int, overlap_px: int) -> NDArray[np.float64]:
    """Return a tile's weights along one axis, (tile_px,), all above 0.

    With ``overlap_px`` at most half of ``tile_px``, the weights of tiles that follow each other
    every tile_px − overlap_px pixels sum to 1 at every pixel.
    """
    rise = np.sin(np.pi / 2 * (np.arange(overlap_px) + 0.5) / overlap_px) ** 2
    weights = np.ones(tile_px)
    weights[:overlap_px] = rise
    weights[tile_px - overlap_px :] = 1 - rise
    return weights


class Blender:
    """Adds up weighted tiles in the plan's order and hands out what is finished.

    ``scale`` is the number of output pixels per MS pixel along a side. Sums are taken in one order
    whatever computed the tiles. Beside the tile at work, ``overlap`` rows of the plan's width are
    kept, whatever its height; raises ModelError where even these are too many.
    """

    def __init__(self, plan: BlendPlan, classes: int, scale: int) -> None:
        settings = plan.settings
        self._columns = plan.columns
        self._overlap = settings.overlap_px * scale
        self._step = settings.step_px * scale
        self._added = 0
        shape = (classes, self._overlap, plan.columns * self._step)
        _require_room(shape)
        self._below: Image = np.zeros(shape, np.float32)
        self._right: Image = np.zeros((classes, self._overlap + self._step, self._overlap), "f4")
        along = blend_weights(settings.tile_px * scale, self._overlap)
        self.weights: Image = np.outer(along, along).astype(np.float32)

    def add(self, weighted: Image) -> Image:
        """Take the next tile times ``weights``, (K, t, t), and return its finished part (K, s, s).

        s is one step. Overwrites ``weighted``.
        """
        overlap, step = self._overlap, self._step
        column = self._added % self._columns
        self._added += 1
        if column > 0:
            weighted[:, :, :overlap] += self._right
        self._right = weighted[:, :, step:].copy()
        below = self._below[:, :, column * step : (column + 1) * step]
        weighted[:, :overlap, :step] += below
        below[:] = weighted[:, step:, :step]
        return weighted[:, :step, :step]


def _require_room(shape: tuple[int, int, int]) -> None:
    classes, rows, cols = shape
    size = 4 * classes * rows * cols
    if size > _MOST_KEPT_BYTES:
        raise ModelError(
            f"Blending {classes} classes with an overlap of {rows} rows over {cols:,} columns "
            f"keeps {size / 2**30:.1f} GB in memory; {_MOST_KEPT_BYTES / 2**30:.0f} GB is the "
            "most.",
            "onnx-memory",
            "Make `overlap_px` smaller in the card, map an area of interest, or use the MS grid.",
        )
