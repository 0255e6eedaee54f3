"""Tile plans: which pixels are read and which are written, in integers only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .grid import Window

_LARGEST_PX = 1024
_SMALLEST_PX = 256
"""Tiles are not smaller than this for the halo's sake: every patch costs time of its own."""

_LEAST_PX = 64
"""Nor smaller than this for any reason."""


@dataclass(frozen=True)
class Tile:
    """One piece of planned work, both windows on the MS grid.

    ``read`` is ``write`` grown by the halo and up to the tile's full size, so every tile of a plan
    has the same read size; it may reach beyond the scene. ``write`` never does.
    """

    read: Window
    write: Window
    halo_px: int


def plan_tiles(width: int, height: int, tile_px: int, halo_px: int, lattice_px: int) -> list[Tile]:
    """Return tiles whose write windows cover a ``width`` × ``height`` MS grid exactly once.

    Origins of read windows are multiples of ``lattice_px`` from the grid's origin: halo and tile
    size are rounded up to it. Tiles run row by row. All values are in MS pixels; ``tile_px`` is
    the most that is written along a side: as many tiles as that takes are made of equal size, so
    that little is read beyond the grid.
    """
    if min(width, height, tile_px, lattice_px) < 1 or halo_px < 0:
        raise ValueError(
            f"cannot plan {width} × {height} with tile {tile_px}, halo {halo_px}, "
            f"lattice {lattice_px}"
        )
    halo = _round_up(halo_px, lattice_px)
    tile_width, tile_height = (_equal_px(size, tile_px, lattice_px) for size in (width, height))
    return list(_tiles(width, height, tile_width, tile_height, halo))


@dataclass(frozen=True)
class TileLimits:
    """What bounds the size of tiles: ``workers`` patches are computed at once.

    Each may take ``bytes_per_worker`` (None: no limit); ``bytes_per_px`` is what a network needs
    for an MS pixel of a patch and its PAN pixels. The defaults are a CPU's: four workers stay below
    1 GiB, and `landsat-5class` writes 276 × 276 MS pixels of a patch.
    """

    workers: int = 4
    bytes_per_worker: int | None = 204 * 2**20
    bytes_per_px: int = 1800

    @property
    def patch_px(self) -> int:
        """Side of the largest square patch that fits."""
        if self.bytes_per_worker is None:
            return 2 * _LARGEST_PX
        return math.isqrt(self.bytes_per_worker // self.bytes_per_px)


ON_GPU = TileLimits(workers=1, bytes_per_worker=None)
"""A GPU computes one batch at a time, and halves it where its memory is too small."""


def default_tile_px(halo_px: int, *, is_cpu: bool, limits: TileLimits | None = None) -> int:
    """Return the largest tile, in MS pixels, that is worth its memory on a scene without an end.

    Computed ÷ written pixels are (t + 2h)² ÷ t²: at most 1.35 from t = 12.4 h on, and 1.27 for the
    16 h that are taken where a patch of that size fits ``limits``; without any, those of a GPU or
    of a CPU with four cores.
    """
    limits = limits or (TileLimits() if is_cpu else ON_GPU)
    wanted = min(_LARGEST_PX, max(_SMALLEST_PX, 16 * halo_px))
    return max(_LEAST_PX, min(wanted, limits.patch_px - 2 * halo_px))


def choose_tile_px(size: tuple[int, int], halo_px: int, lattice_px: int, limits: TileLimits) -> int:
    """Return the tile size for a scene of ``size``, (width, height) in MS pixels.

    Of all sizes up to ``default_tile_px`` it is the one with the least time × work. The time is
    that of the busiest worker: (tiles ÷ workers, rounded up) × pixels of a patch; the work is the
    pixels of all patches. So a scene that fits one tile is divided among the workers as long as
    that gains more than the halos cost. Among equals the largest size is taken.
    """
    halo = _round_up(halo_px, lattice_px)
    most = default_tile_px(halo, is_cpu=False, limits=limits) // lattice_px * lattice_px
    most = max(most, lattice_px)

    def cost(tile_px: int) -> int:
        width, height = (_equal_px(side, tile_px, lattice_px) for side in size)
        count = -(-size[0] // width) * -(-size[1] // height)
        patch = (width + 2 * halo) * (height + 2 * halo)
        return -(-count // limits.workers) * patch * count * patch

    return min(range(most, min(most, _LEAST_PX) - 1, -lattice_px), key=cost)


def _tiles(width: int, height: int, tile_width: int, tile_height: int, halo: int) -> Iterator[Tile]:
    for row in range(0, height, tile_height):
        for col in range(0, width, tile_width):
            write = Window(col, row, min(tile_width, width - col), min(tile_height, height - row))
            read = Window(col, row, tile_width, tile_height).grow(halo)
            yield Tile(read, write, halo)


def _equal_px(size: int, tile_px: int, lattice_px: int) -> int:
    """Return the size of as few equal tiles, on the lattice, as tiles of ``tile_px`` would be."""
    step = _round_up(tile_px, lattice_px)
    return _round_up(-(-size // -(-size // step)), lattice_px)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
