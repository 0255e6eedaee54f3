"""Tile plans cover every pixel once and keep to the lattice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from panloom.engine.tiling import default_tile_px, plan_tiles

CASES = list(
    itertools.product(
        [(1, 1), (1, 50), (50, 1), (63, 64), (64, 64), (65, 130)],  # width, height
        [1, 7, 64],  # tile
        [0, 3, 33],  # halo
        [1, 2, 8],  # lattice
    )
)


@pytest.mark.parametrize(("size", "tile_px", "halo_px", "lattice_px"), CASES)
def test_writes_cover_the_grid_exactly_once(
    size: tuple[int, int], tile_px: int, halo_px: int, lattice_px: int
) -> None:
    width, height = size
    times = np.zeros((height, width), int)
    tiles = plan_tiles(width, height, tile_px, halo_px, lattice_px)
    for tile in tiles:
        write, read = tile.write, tile.read
        assert 0 <= write.col < write.right <= width
        assert 0 <= write.row < write.bottom <= height
        times[write.row : write.bottom, write.col : write.right] += 1
        # the halo is there on every side, and reads begin on the lattice
        assert write.col - read.col >= halo_px
        assert write.row - read.row >= halo_px
        assert read.right - write.right >= halo_px
        assert read.bottom - write.bottom >= halo_px
        assert read.col % lattice_px == read.row % lattice_px == 0
    assert (times == 1).all()
    assert len({tile.read.shape for tile in tiles}) == 1
    assert [(t.write.row, t.write.col) for t in tiles] == sorted(
        (t.write.row, t.write.col) for t in tiles
    )


@pytest.mark.parametrize(
    "bad", [(0, 1, 1, 0, 1), (1, 1, 0, 0, 1), (1, 1, 1, -1, 1), (1, 1, 1, 0, 0)]
)
def test_plans_without_sense_are_refused(bad: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot plan"):
        plan_tiles(*bad)


@pytest.mark.parametrize(("is_cpu", "most"), [(True, 1.87), (False, 1.36)])
@pytest.mark.parametrize("halo_px", [0, 1, 20, 33, 60])
def test_the_default_tile_spends_little_on_its_halo(
    halo_px: int, is_cpu: bool, most: float
) -> None:
    tile = default_tile_px(halo_px, is_cpu=is_cpu)
    assert 128 <= tile <= 1024
    assert tile % 64 == 0
    assert (tile + 2 * halo_px) ** 2 <= most * tile**2
