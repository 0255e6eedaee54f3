"""Pixels that are read ahead are those of the pair, and nothing survives the end of the reading."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from panloom.engine.errors import InputError
from panloom.engine.grid import Window
from panloom.engine.read_ahead import bytes_ahead, read_ahead
from panloom.engine.scene.pair import ScenePair
from panloom.engine.scene.pair_images import PairImages
from panloom.engine.scene.strips import StripReader, kept_bytes, plan_strips
from panloom.engine.tiling import Tile, plan_tiles

from .conftest import WriteRaster

LEFT, TOP = 700_000.0, 5_930_000.0
ARRAYS = ("ms", "pan", "ms_valid", "pan_valid", "valid")


def _require_same(pair: ScenePair, tiles: list[Tile], batch_size: int = 3) -> None:
    read = list(itertools.chain.from_iterable(read_ahead(pair, tiles, batch_size)))
    assert [tile for tile, _ in read] == tiles
    for tile, found in read:
        raw, as_float = pair.read_raw(tile.read), pair.read(tile.read)
        for name in ARRAYS:
            wanted = getattr(raw, name)
            assert getattr(found, name).dtype == wanted.dtype
            assert np.array_equal(getattr(found, name), wanted), name
            assert np.array_equal(getattr(found, name), getattr(as_float, name)), name


PLACES = ("exact", "offset", "south-up", "half a pixel", "ratio 3.7", "rotated", "degrees")


@pytest.mark.parametrize("hide", ["nothing", "nodata", "mask"])
@pytest.mark.parametrize("place", PLACES)
def test_tiles_cut_from_strips_are_what_the_pair_reads(
    open_pair: Any, place: str, hide: str
) -> None:
    with open_pair(place, hide=hide) as pair:
        grid = pair.ms.grid
        for tile_px, halo_px, lattice_px in [(16, 5, 1), (20, 33, 2), (100, 9, 8)]:
            _require_same(pair, plan_tiles(grid.width, grid.height, tile_px, halo_px, lattice_px))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2)])
def test_tiny_scenes_are_reflected_over_and_over(open_pair: Any, size: tuple[int, int]) -> None:
    with open_pair(size=size) as pair:
        _require_same(pair, plan_tiles(pair.ms.grid.width, pair.ms.grid.height, 4, 33, 2))


@pytest.mark.parametrize(
    ("dtypes", "kept"),
    [
        (("uint8", "uint8"), ("uint8", "uint8")),
        (("uint16", "int16"), ("uint16", "int16")),
        (("int32", "uint8"), ("float32", "uint8")),
        (("float64", "float32"), ("float32", "float32")),
    ],
)
def test_small_integers_stay_what_they_are(
    open_pair: Any, dtypes: tuple[str, str], kept: tuple[str, str]
) -> None:
    with open_pair(dtypes=dtypes, hide="nodata") as pair:
        data = pair.read_raw(Window(-3, -3, 30, 20))
        assert (data.ms.dtype, data.pan.dtype) == kept
        assert not data.is_all_valid
        _require_same(pair, plan_tiles(pair.ms.grid.width, pair.ms.grid.height, 16, 5, 2))
    with open_pair("half a pixel", dtypes=dtypes) as pair:
        assert pair.read_raw(Window(0, 0, 4, 4)).ms.dtype == np.float32


def test_masks_without_an_invalid_pixel_take_no_memory(open_pair: Any) -> None:
    with open_pair() as pair:
        inner = pair.read_raw(Window(5, 5, 8, 8))
        assert inner.is_all_valid
        assert inner.valid.all()
        assert not pair.read_raw(Window(-5, 5, 8, 8)).is_all_valid
        assert pair.read(Window(5, 5, 8, 8)).valid.flags.owndata


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_by_strip_are_of_one_strip_and_know_it(
    open_pair: Any, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    with open_pair(hide="nodata") as pair:
        tiles = plan_tiles(52, 45, 8, 2, 1)
        most = 30 * tiles[0].read.height * pair.images.bytes_per_ms_px
        monkeypatch.setattr(PairImages, "strip_bytes", lambda *_: most)
        planned = plan_strips(tiles, pair.images.bytes_per_ms_px, most, batch_size)
        strips = [strip.tiles for strip in planned]
        batches = list(read_ahead(pair, tiles, batch_size, by_strip=True))
        wanted = [strip[n : n + batch_size] for strip in strips for n in _starts(strip, batch_size)]
        assert [tuple(tile for tile, _ in batch) for batch in batches] == wanted
        for batch in batches:
            assert len({data.source.pixels for _, data in batch if data.source}) == 1
            for tile, data in batch:
                assert data.source is not None
                assert data.source.window == tile.read
                again = data.source.pixels.cut(tile.read)
                assert again.source is data.as_float().source is None
                for name in ARRAYS:
                    assert np.array_equal(getattr(again, name), getattr(data, name))


def _starts(strip: tuple[Tile, ...], batch_size: int) -> range:
    return range(0, len(strip), batch_size)


# --- what is read ---


def _reads(pair: ScenePair, monkeypatch: pytest.MonkeyPatch) -> list[Window]:
    """Record every window of the MS raster that is read."""
    raster, reads = pair.ms.raster, []
    read_raw = raster.read_raw

    def record(window: Window, out: Any = None) -> Any:
        reads.append(window)
        return read_raw(window, out)

    monkeypatch.setattr(raster, "read_raw", record)
    return reads


def test_each_row_of_the_file_is_read_once(open_pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_pair() as pair:
        reads = _reads(pair, monkeypatch)
        list(read_ahead(pair, plan_tiles(52, 45, 12, 4, 1), 1))
    times = np.zeros((45, 52), int)
    for window in reads:
        times[window.row : window.bottom, window.col : window.right] += 1
    # four rows above the scene and seven below are reflections, whose rows can be read again
    assert (times[5:36] == 1).all()
    assert times.min() == 1
    assert times.max() <= 2


def test_only_the_tiles_of_a_plan_are_read(open_pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    every = plan_tiles(52, 45, 8, 2, 1)
    chosen = [tile for tile in every if tile.write.col in (8, 32, 40) and tile.write.row == 16]
    assert len(chosen) == 3
    with open_pair() as pair:
        _require_same(pair, chosen)
        reads = _reads(pair, monkeypatch)
        list(read_ahead(pair, chosen, 1))
    wanted = [chosen[0].read, Window(30, 14, 20, chosen[0].read.height)]
    columns = {(window.col, window.right) for window in reads}
    assert columns == {(window.col, window.right) for window in wanted}
    assert sum(window.height for window in reads) == sum(window.height for window in wanted)


def test_wide_strips_are_divided(open_pair: Any) -> None:
    tiles = plan_tiles(52, 45, 8, 2, 1)
    with open_pair(hide="nodata") as pair:
        most = 30 * tiles[0].read.height * pair.images.bytes_per_ms_px
        strips = list(plan_strips(tiles, pair.images.bytes_per_ms_px, most))
        assert [tile for strip in strips for tile in strip.tiles] == tiles
        assert max(strip.window.width for strip in strips) <= 30
        reader = StripReader(pair.images)
        for strip in strips:
            pixels = reader.read(strip)
            size = sum(array.nbytes for array in (pixels.ms, pixels.pan) if array is not None)
            assert size <= most
            for tile in strip.tiles:
                for name in ARRAYS:
                    found = getattr(pixels.cut(tile.read), name)
                    assert np.array_equal(found, getattr(pair.read_raw(tile.read), name))


def test_what_a_row_of_tiles_keeps_for_the_next_one_is_known_before(open_pair: Any) -> None:
    tiles = plan_tiles(52, 45, 8, 2, 1)
    with open_pair(hide="nodata") as pair:
        images = pair.images
        most = 30 * tiles[0].read.height * images.bytes_per_ms_px
        reader, kept = StripReader(images), []
        for strip in plan_strips(tiles, images.bytes_per_ms_px, most):
            reader.read(strip)
            kept.append(sum(_bytes_kept(rows) for rows in (reader._ms, reader._pan)))
        strips = kept_bytes(tiles, images.bytes_per_ms_px)
    # strips of a row read some columns twice, and whole masks are not kept
    assert 0.8 * strips < max(kept) < 1.2 * strips
    assert kept_bytes([], 30) == 0


def _bytes_kept(reader: Any) -> int:
    arrays = [array for rows in reader._kept for array in (rows.dn, rows.valid)]
    return sum(array.nbytes for array in arrays if array is not None)


def test_strips_of_files_in_tiles_make_room_for_what_is_kept(write_raster: WriteRaster) -> None:
    place = Affine(0.5, 0, LEFT, 0, -0.5, TOP)
    ms, pan = np.ones((2, 64, 64), np.uint8), np.ones((1, 256, 256), np.uint8)

    def most(**profile: Any) -> Callable[[int], int]:
        paths = (
            write_raster("ms.tif", ms, place @ Affine.scale(4), **profile),
            write_raster("pan.tif", pan, place, **profile),
        )
        with ScenePair.open(*paths, ratio=4) as pair:
            return pair.images.strip_bytes

    mib = 2**20
    in_rows = most()
    assert in_rows(0) == in_rows(36 * mib)  # rows of the file are read whole, or not at all
    in_tiles = most(tiled=True, blockxsize=32, blockysize=32)
    # two strips and what is kept take as much in every scene, as long as that is possible
    assert 2 * in_tiles(0) == 2 * in_tiles(10 * mib) + 10 * mib == 2 * in_tiles(36 * mib) + 36 * mib
    assert in_tiles(400 * mib) == in_tiles(500 * mib) > 0


def test_a_strip_has_enough_tiles_for_a_batch(open_pair: Any) -> None:
    tiles = plan_tiles(52, 45, 8, 2, 1)
    per_row = sum(tile.write.row == 0 for tile in tiles)
    for least, counts in [(1, [1] * per_row), (3, [3, 3, per_row - 6]), (100, [per_row])]:
        strips = list(plan_strips(tiles, 30, 1, least))
        assert [len(s.tiles) for s in strips if s.tiles[0].write.row == 0] == counts
        assert [tile for strip in strips for tile in strip.tiles] == tiles


def test_no_more_is_read_ahead_than_the_scene_has(
    open_pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_pair() as pair:
        whole = sum(
            a.nbytes
            for a in (
                pair.read_raw(Window(0, 0, 52, 45)).ms,
                pair.read_raw(Window(0, 0, 52, 45)).pan,
            )
        )
        assert bytes_ahead(pair) == 2 * whole
        monkeypatch.setattr(PairImages, "strip_bytes", lambda *_: 1000)
        assert bytes_ahead(pair) == 2000


# --- how it ends ---


def _readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread()]


@pytest.mark.parametrize("taken", [0, 1, 7])
def test_closing_ends_the_thread(open_pair: Any, taken: int) -> None:
    before = _readers()
    with open_pair() as pair:
        batches = read_ahead(pair, plan_tiles(52, 45, 4, 2, 1), 1)
        for _ in range(taken):
            next(batches)
        batches.close()
        assert _readers() == before
        assert pair.read(Window(0, 0, 4, 4)).valid.all()  # the pair is free again


def test_strips_in_memory_do_not_grow_in_number(
    open_pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, most = 0, 0
    read = StripReader.read

    def count(self: StripReader, strip: Any) -> Any:
        nonlocal alive, most
        import weakref

        pixels = read(self, strip)
        alive += 1
        most = max(most, alive)

        def forget() -> None:
            nonlocal alive
            alive -= 1

        weakref.finalize(pixels.ms, forget)
        return pixels

    monkeypatch.setattr(StripReader, "read", count)
    with open_pair() as pair:
        for _ in read_ahead(pair, plan_tiles(52, 45, 4, 2, 1), 1):
            pass  # 12 strips
        assert most <= 3  # one more where nothing was left to do without it
        del _
        for _ in read_ahead(pair, plan_tiles(52, 45, 4, 2, 1), 1, strips=5):
            pass
        assert most <= 6
        kept = list(read_ahead(pair, plan_tiles(52, 45, 4, 2, 1), 1))  # whoever wants all, gets all
        assert len(kept) == 13 * 12


def test_an_error_of_the_reader_comes_after_what_was_read_before(
    write_raster: Any, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    place = Affine(0.5, 0, LEFT, 0, -0.5, TOP)
    ms = write_raster(
        "ms.tif", rng.integers(0, 9, (2, 50, 50)).astype("uint8"), place @ Affine.scale(4)
    )
    pan = rng.integers(0, 60000, (200, 200)).astype("uint16")
    path = Path(write_raster("pan.tif", pan, place))
    path.write_bytes(path.read_bytes()[:50_000])  # of 80,000: the file ends after 120 rows
    before = _readers()
    with ScenePair.open(ms, str(path), ratio=4) as pair:
        batches = read_ahead(pair, plan_tiles(50, 50, 10, 1, 1), 5)
        next(batches)
        with pytest.raises(InputError, match=r"`pan\.tif` cannot be read"):
            list(batches)
    assert _readers() == before
