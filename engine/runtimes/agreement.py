"""Does a runtime see the classes that torch sees: compared on a part of one tile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..scene.pair import TileData
from .map_step import MapForm
from .runtime import Pieces, Runtime

LEAST_AGREEMENT = 0.9999
"""Share of valid pixels with torch's class that another runtime has to reach."""
ONE_OF = 1000
"""From so many pixels on one may always differ: a near tie is no fault of a runtime."""
COMPARED_PX = 128
"""Side of the part that is compared, in MS pixels: enough for the share above, done in no time."""


@dataclass(frozen=True)
class Agreement:
    """On how many of the compared pixels two runtimes give the same class."""

    same: int
    pixels: int

    @property
    def share(self) -> float:
        """Pixels of the same class ÷ pixels compared."""
        return self.same / self.pixels if self.pixels else 0.0

    def reaches(self, least: float) -> bool:
        """Say whether the share is ``least`` at least, or only one of many pixels differs."""
        different = self.pixels - self.same
        return self.share >= least or (different == 1 and self.pixels >= ONE_OF)

    def to_json(self) -> dict[str, Any]:
        """Return both counts as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        percent = np.floor(1e4 * self.share) / 100  # 100 % are all of them
        return f"{percent:.2f} % of {self.pixels:,} pixels"


def compare(
    runtime: Runtime, reference: Runtime, tile: TileData, form: MapForm, lattice_px: int
) -> tuple[Agreement, Pieces]:
    """Compare the classes of ``runtime`` with those of ``reference`` where ``tile`` is valid.

    Returns how they agree and what ``runtime`` gives for the tile.

    ``runtime`` computes the whole tile, as it will in the run; ``reference`` only the part with
    most valid pixels, cut on the lattice, where its pixels do not depend on the patch around them.
    """
    side = -(-COMPARED_PX // lattice_px) * lattice_px
    row, col, part = _best_part(tile, form, side)
    same_threads = partial(torch.set_num_threads, torch.get_num_threads())
    with ThreadPoolExecutor(1, initializer=same_threads) as beside:  # nothing else runs yet
        referred = beside.submit(reference.run, [part])
        pieces = runtime.run([tile])
        wanted = referred.result()[0][0]
    height, width = wanted.shape
    top, left = row * form.scale, col * form.scale
    found = pieces[0][0][top : top + height, left : left + width]
    valid = wanted != 0
    return Agreement(int((found == wanted)[valid].sum()), int(valid.sum())), pieces


def _best_part(tile: TileData, form: MapForm, side: int) -> tuple[int, int, TileData]:
    """Return row and column, in written MS pixels, of the part to compare, and its pixels."""
    height, width = (size - 2 * form.margin_px for size in tile.ms.shape[1:])
    places = [(row, col) for row in range(0, height, side) for col in range(0, width, side)]
    return max(
        ((row, col, _part(tile, form, row, col, side)) for row, col in places),
        key=lambda found: int(_written(found[2].valid, form).sum()),
    )


def _part(tile: TileData, form: MapForm, row: int, col: int, side: int) -> TileData:
    span = side + 2 * form.margin_px
    coarse = np.s_[..., row : row + span, col : col + span]
    ratio = form.ratio
    fine = np.s_[..., ratio * row : ratio * (row + span), ratio * col : ratio * (col + span)]
    masks = (tile.ms_valid[fine], tile.pan_valid[fine], tile.valid[fine])
    return TileData(tile.ms[coarse], tile.pan[fine], *masks)


def _written(mask: NDArray[np.bool_], form: MapForm) -> NDArray[np.bool_]:
    edge = form.margin_px * form.ratio
    return mask[edge : mask.shape[0] - edge, edge : mask.shape[1] - edge]
