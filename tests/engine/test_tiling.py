"""Tile plans cover every pixel once and keep to the lattice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from panloom.engine.tiling import Tile, TileLimits, choose_tile_px, default_tile_px, plan_tiles

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


def _computed(tiles: list[Tile]) -> int:
    return sum(tile.read.width * tile.read.height for tile in tiles)


@pytest.mark.parametrize(
    ("width", "tile_px", "lattice_px", "expected"),
    [(300, 500, 2, 300), (301, 500, 2, 302), (1000, 416, 2, 334), (417, 416, 1, 209), (9, 4, 4, 4)],
)
def test_tiles_are_of_equal_size_and_no_larger_than_needed(
    width: int, tile_px: int, lattice_px: int, expected: int
) -> None:
    tiles = plan_tiles(width, 1, tile_px, 0, lattice_px)
    assert {tile.read.width for tile in tiles} == {expected}
    assert sum(tile.write.width for tile in tiles) == width


@pytest.mark.parametrize("halo_px", [20, 33, 60])
@pytest.mark.parametrize("size", [(2000, 2000), (5000, 3100), (16_000, 16_000)])
def test_little_is_computed_twice_where_memory_allows(halo_px: int, size: tuple[int, int]) -> None:
    limits = TileLimits(workers=4, bytes_per_worker=2**32)
    tile_px = choose_tile_px(size, halo_px, 2, limits)
    allowed = 1.35 if min(size) > 50 * halo_px else 1.55  # few large tiles are cut smaller
    assert _computed(plan_tiles(*size, tile_px, halo_px, 2)) <= allowed * size[0] * size[1]


@pytest.mark.parametrize("halo_px", [0, 8, 33, 60])
@pytest.mark.parametrize("megabytes", [60, 256, 1000])
def test_a_patch_fits_its_workers_memory(halo_px: int, megabytes: int) -> None:
    limits = TileLimits(bytes_per_worker=megabytes * 2**20, bytes_per_px=4000)
    for size in [(100, 3000), (4000, 4000)]:
        tile_px = choose_tile_px(size, halo_px, 2, limits)
        assert tile_px == 64 or (tile_px + 2 * halo_px) ** 2 * 4000 <= megabytes * 2**20
        assert 64 <= tile_px <= default_tile_px(halo_px, is_cpu=True, limits=limits) <= 1024


@pytest.mark.parametrize(("size", "least"), [((300, 300), 4), ((433, 267), 4), ((900, 60), 4)])
def test_a_scene_of_one_tile_is_divided_among_the_workers(
    size: tuple[int, int], least: int
) -> None:
    roomy = TileLimits(workers=4, bytes_per_worker=None)
    tiles = plan_tiles(*size, choose_tile_px(size, 33, 2, roomy), 33, 2)
    assert len(tiles) >= least
    whole = plan_tiles(*size, 1024, 33, 2)
    busiest = -(-len(tiles) // 4) * _computed(tiles[:1])
    assert busiest * _computed(tiles) < _computed(whole) ** 2  # time × work of one worker


def test_one_worker_divides_nothing_and_a_halo_larger_than_the_scene_neither() -> None:
    alone = TileLimits(workers=1, bytes_per_worker=None)
    assert len(plan_tiles(300, 300, choose_tile_px((300, 300), 33, 2, alone), 33, 2)) == 1
    four = TileLimits(workers=4, bytes_per_worker=None)
    assert len(plan_tiles(40, 40, choose_tile_px((40, 40), 33, 2, four), 33, 2)) == 1


@pytest.mark.parametrize("halo_px", [0, 1, 20, 33, 60])
def test_the_default_tile_spends_little_on_its_halo(halo_px: int) -> None:
    tile = default_tile_px(halo_px, is_cpu=False)
    assert 256 <= tile <= 1024
    assert (tile + 2 * halo_px) ** 2 <= 1.35 * tile**2
    limits = TileLimits()
    patch_px = default_tile_px(halo_px, is_cpu=True) + 2 * halo_px
    assert limits.bytes_per_worker is not None
    assert patch_px**2 * limits.bytes_per_px <= limits.bytes_per_worker
