"""Windows cut from a strip on a device are those that are cut on the CPU, bit for bit."""

from __future__ import annotations

import time
import weakref
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from panloom.engine.grid import Window
from panloom.engine.radiometry import Radiometry
from panloom.engine.read_ahead import read_ahead
from panloom.engine.runtimes.device_copies import PlainCopies, Sent, StagedCopies
from panloom.engine.runtimes.device_strip import DeviceStrips
from panloom.engine.runtimes.map_step import arrays_of
from panloom.engine.scene.pair import ScenePair, TileData
from panloom.engine.scene.pair_images import PairImages
from panloom.engine.scene.tile_data import Pixels
from panloom.engine.tiling import plan_tiles

from .test_device_copies import LateQueue

CPU = torch.device("cpu")
LOOK = Radiometry((0.0,) * 3, (1.0,) * 3, 0.0, 1.0, (-1.0, 6.0))
PLACES = ("exact", "offset", "south-up", "half a pixel", "ratio 3.7", "rotated", "degrees")


def strips_on(device: torch.device = CPU) -> DeviceStrips:
    return DeviceStrips(PlainCopies(device))


def batches_of(pair: ScenePair, plan: tuple[int, int, int], size: int) -> Generator[list[TileData]]:
    grid = pair.ms.grid
    tiles = plan_tiles(grid.width, grid.height, *plan)
    for batch in read_ahead(pair, tiles, size, by_strip=True):
        yield [data for _, data in batch]


def assert_same(found: tuple[torch.Tensor, ...] | None, tiles: list[TileData]) -> None:
    assert found is not None
    *wanted, _, _ = arrays_of(tiles, LOOK)
    assert len(found) == len(wanted)
    for tensor, array in zip(found, wanted):
        assert tensor.numpy().dtype == array.dtype
        np.testing.assert_array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("hide", ["nothing", "nodata", "mask"])
@pytest.mark.parametrize("place", PLACES)
def test_windows_are_those_cut_on_the_cpu(open_pair: Any, place: str, hide: str) -> None:
    with open_pair(place, hide=hide) as pair:
        for plan in [(16, 5, 1), (20, 33, 2), (100, 9, 8)]:
            strips = strips_on()
            for tiles in batches_of(pair, plan, 3):
                assert_same(strips.batch(tiles), tiles)


@pytest.mark.parametrize("hide", ["nothing", "nodata"])
@pytest.mark.parametrize(
    "dtypes",
    [("uint8", "uint16"), ("uint16", "int16"), ("int32", "uint8"), ("float64", "float32")],
)
def test_types_stay_those_of_the_files(open_pair: Any, dtypes: tuple[str, str], hide: str) -> None:
    with open_pair(dtypes=dtypes, hide=hide) as pair:
        strips = strips_on()
        for tiles in batches_of(pair, (16, 5, 2), 4):
            assert_same(strips.batch(tiles), tiles)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2)])
def test_tiny_scenes_are_reflected_on_the_device_too(open_pair: Any, size: tuple[int, int]) -> None:
    with open_pair(size=size, hide="mask") as pair:
        for tiles in batches_of(pair, (4, 33, 2), 3):
            assert_same(strips_on().batch(tiles), tiles)


def test_strips_in_sections_come_through_buffers_smaller_than_they_are(
    open_pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PairImages, "strip_bytes", lambda *_: 30 * 12 * 50)
    queue = LateQueue()
    strips = DeviceStrips(StagedCopies(queue, buffer_bytes=1000, buffers=2))
    with open_pair(hide="nodata") as pair:
        for tiles in batches_of(pair, (8, 2, 1), 2):
            assert_same(strips.batch(tiles), tiles)
    assert len(queue.queued) > 50


def test_a_strip_without_an_invalid_pixel_sends_no_masks(open_pair: Any) -> None:
    class Counted(PlainCopies):
        counts: list[int] = []  # noqa: RUF012

        def send(self, arrays: Any) -> Sent:
            self.counts.append(len(arrays))
            return super().send(arrays)

    copies = Counted(CPU)
    with open_pair() as pair:
        strips = DeviceStrips(copies)
        for tiles in batches_of(pair, (16, 0, 1), 2):
            assert_same(strips.batch(tiles), tiles)
            assert_same(strips.batch(tiles[:1]), tiles[:1])
    assert copies.counts == [2, 2, 2]  # three rows of tiles, each sent once


def test_a_strip_goes_when_its_last_tile_does(open_pair: Any) -> None:
    class Seen(PlainCopies):
        alive: list[weakref.ref[torch.Tensor]] = []  # noqa: RUF012

        def send(self, arrays: Any) -> Sent:
            sent = super().send(arrays)
            self.alive += [weakref.ref(tensor) for tensor in sent.tensors]
            return sent

    copies = Seen(CPU)
    strips = DeviceStrips(copies)
    with open_pair(hide="mask") as pair, closing(batches_of(pair, (16, 5, 1), 4)) as batches:
        tiles = next(batches)
        pixels = weakref.ref(tiles[0].source.pixels)  # type: ignore[union-attr]
        cut = strips.batch(tiles)
        held = tiles[-1:]
        del tiles, cut
        next(batches)  # the reader has let go of the first strip
        assert pixels() is not None
        assert len(copies.alive) == 3
        assert all(tensor() is not None for tensor in copies.alive)
        del held
        assert pixels() is None
        assert [tensor() for tensor in copies.alive] == [None] * 3


# --- where there is no strip to cut from ---


def test_a_batch_of_several_strips_or_of_none_is_not_cut(open_pair: Any) -> None:
    with open_pair() as pair:
        first, second = (batch[0] for batch in islice(batches_of(pair, (16, 5, 1), 4), 2))
        strips = strips_on()
        assert_same(strips.batch([first]), [first])
        assert strips.batch([first, second]) is None
        assert strips.batch([pair.read_raw(Window(0, 0, 9, 9))]) is None
        assert strips.batch([first.as_float()]) is None


class Small(PlainCopies):
    """A device that has room for images of so many bytes."""

    def __init__(self, room: int, error: Exception | None = None) -> None:
        super().__init__(CPU)
        self.room, self.asked = room, 0
        self.error = error or torch.OutOfMemoryError("no more")

    def send(self, arrays: Any) -> Sent:
        self.asked += 1
        if sum(array.nbytes for array in arrays) > self.room:
            raise self.error
        return super().send(arrays)


def test_a_strip_that_does_not_fit_is_not_tried_again(open_pair: Any) -> None:
    with open_pair() as pair:
        tiles = next(batches_of(pair, (16, 5, 1), 4))
        source = tiles[0].source
        assert source is not None
        copies = Small(source.pixels.pan.nbytes)
        strips = DeviceStrips(copies)
        assert strips.batch(tiles) is strips.batch(tiles) is None
        assert copies.asked == 1


def test_threads_that_want_the_same_strip_send_it_once(open_pair: Any) -> None:
    class Slow(Small):
        def send(self, arrays: Any) -> Sent:
            time.sleep(0.05)
            return super().send(arrays)

    copies = Slow(10**9)
    strips = DeviceStrips(copies)
    with open_pair(hide="mask") as pair:
        tiles = next(batches_of(pair, (16, 5, 1), 4))
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(strips.batch, [tiles[n:] for n in range(4)]):
                assert found is not None
    assert copies.asked == 1


@pytest.mark.parametrize(
    ("text", "is_memory"),
    [
        ("MPS backend out of memory (MPS allocated: 1 GB).", True),
        ("CUDA error: out of memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: an illegal memory access was encountered", False),
    ],
)
def test_other_errors_are_not_taken_for_a_lack_of_memory(
    open_pair: Any, text: str, is_memory: bool
) -> None:
    with open_pair() as pair:
        tiles = next(batches_of(pair, (16, 5, 1), 4))
        strips = DeviceStrips(Small(0, RuntimeError(text)))
        if is_memory:
            assert strips.batch(tiles) is None
        else:
            with pytest.raises(RuntimeError, match="illegal memory access"):
                strips.batch(tiles)


def test_after_close_nothing_is_sent(open_pair: Any) -> None:
    copies = Small(10**9)
    strips = DeviceStrips(copies)
    with open_pair() as pair:
        first, second = islice(batches_of(pair, (16, 5, 1), 4), 2)
        assert strips.batch(first) is not None
        assert strips.close()
        assert strips.batch(first) is strips.batch(second) is None
        assert not strips.close()
    assert copies.asked == 1


def test_meta_tensors_have_the_shapes_of_the_map_step() -> None:
    """Nothing of the cutting asks the device for values."""
    pixels = Pixels(
        Window(0, 0, 20, 10), np.zeros((3, 10, 20), "u2"), np.zeros((1, 20, 40), "u2"),
        np.ones((20, 40), bool), None, Window(2, 2, 30, 10),
    )  # fmt: skip
    tiles = [pixels.cut(Window(col, 1, 6, 5), with_source=True) for col in (0, 9)]
    found = strips_on(torch.device("meta")).batch(tiles)
    assert found is not None
    assert [t.device.type for t in found] == ["meta"] * 5
    assert [tuple(t.shape) for t in found] == [(2, 3, 5, 6), *[(2, 1, 10, 12)] * 4]
