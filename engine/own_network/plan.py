"""Overlapping tiles of one size over a scene, and the piece of the map that each one finishes."""

from __future__ import annotations

from dataclasses import dataclass

from ..grid import Window
from ..tiling import Tile
from .settings import BlendSettings


@dataclass(frozen=True)
class BlendPlan:
    """Tiles row by row, ``columns`` in each; a tile's ``write`` is what it sees of the scene.

    Tiles start every ``settings.step_px`` pixels from a fixed place of the scene, one overlap
    before its origin, so that a pixel's tiles do not depend on ``area``, the part that is mapped,
    and every pixel of it has all the tiles that reach it. All windows are on the MS grid.
    """

    area: Window
    settings: BlendSettings
    tiles: tuple[Tile, ...]
    columns: int

    def piece(self, tile: Tile) -> Window | None:
        """Return the part of the area that is finished once ``tile`` is added, in the plan's order.

        That is where no later tile reaches: one step in both directions from the tile's origin.
        """
        step = self.settings.step_px
        return Window(tile.read.col, tile.read.row, step, step).intersect(self.area)


def plan_blend(width: int, height: int, area: Window, settings: BlendSettings) -> BlendPlan:
    """Return the tiles for ``area`` of a scene of ``width`` × ``height`` MS pixels."""
    inside = area.intersect(Window(0, 0, width, height))
    if inside is None:
        raise ValueError(f"{area} lies outside a scene of {width} × {height} MS pixels")
    rows = _starts(inside.row, inside.bottom, settings)
    cols = _starts(inside.col, inside.right, settings)
    scene, side = Window(0, 0, width, height), settings.tile_px
    reads = [Window(col, row, side, side) for row in rows for col in cols]
    tiles = tuple(Tile(r, r.intersect(scene) or inside, settings.overlap_px) for r in reads)
    return BlendPlan(inside, settings, tiles, len(cols))


def _starts(first: int, end: int, settings: BlendSettings) -> list[int]:
    """Return the origins, along one axis, of all tiles on pixels ``first`` … ``end`` - 1."""
    step, offset = settings.step_px, -settings.overlap_px
    lowest = (first - settings.tile_px - offset) // step + 1  # origin + tile_px > first
    highest = -(-(end - offset) // step) - 1  # origin < end
    return [offset + index * step for index in range(lowest, highest + 1)]
