"""Where memory is short less is computed at once, and what comes out is the same."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from panloom.engine.errors import DeviceError
from panloom.engine.runtimes.device_copies import PlainCopies
from panloom.engine.runtimes.device_strip import DeviceStrips
from panloom.engine.runtimes.frugal_runtime import FrugalRuntime
from panloom.engine.runtimes.runtime import Pieces
from panloom.engine.runtimes.torch_runtime import TorchRuntime
from panloom.engine.scene.tile_data import TileData

from .random_networks import LOOK, network_of, step_of

CPU = torch.device("cpu")


class Block:
    """Stands for memory of a device."""


class Fake:
    """Gives each tile its own number; has memory for ``room`` tiles of all threads together."""

    title = "fake 1"

    def __init__(self, room: int, error: Exception | None = None) -> None:
        self.room, self.taken = room, 0
        self.error = error or torch.OutOfMemoryError("no more")
        self.asked: list[int] = []
        self.lock = threading.Lock()
        self.blocks: list[weakref.ref[Block]] = []
        self.left_over: list[int] = []
        self.meet: Callable[[], object] = lambda: None

    def run(self, tiles: Sequence[TileData]) -> Pieces:
        self.left_over.append(sum(block() is not None for block in self.blocks))
        block = Block()
        with self.lock:
            self.blocks.append(weakref.ref(block))
            self.asked.append(len(tiles))
            self.taken += len(tiles)
        try:
            self.meet()
            if self.taken > self.room:
                raise type(self.error)(*self.error.args)  # an error that is kept keeps frames
            numbers = np.array([tile.ms[0, 0, 0] for tile in tiles], np.uint8)[:, None, None]
            return numbers, numbers + 100
        finally:
            with self.lock:
                self.taken -= len(tiles)


def tiles_of(count: int) -> list[TileData]:
    mask = np.ones((2, 2), bool)
    return [
        TileData(np.full((1, 1, 1), n, "u1"), np.zeros((1, 2, 2), "u1"), mask, mask, mask)
        for n in range(count)
    ]


def refuse(tile: TileData) -> Any:
    raise DeviceError("nothing else may compute", "out-of-memory")


def assert_numbers(pieces: Pieces, count: int) -> None:
    assert pieces[0].ravel().tolist() == list(range(count))
    assert pieces[1].ravel().tolist() == list(range(100, 100 + count))


@pytest.mark.parametrize(
    ("room", "asked"),
    [
        (9, [7]),
        (3, [7, 3, 3, 1]),
        (2, [7, 3, 1, 1, 1, 1, 1, 1, 1]),
        (1, [7, 3, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_a_batch_is_halved_until_it_fits_and_later_ones_begin_there(
    room: int, asked: list[int]
) -> None:
    fake = Fake(room)
    runtime = FrugalRuntime(fake, 1, refuse)
    assert_numbers(runtime.run(tiles_of(7)), 7)
    assert fake.asked == asked
    fake.asked.clear()
    assert_numbers(runtime.run(tiles_of(7)), 7)
    assert fake.asked == [n for n in asked if n <= room]


def test_a_failed_attempt_leaves_nothing_in_memory_for_the_next() -> None:
    fake = Fake(1)
    FrugalRuntime(fake, 2, refuse).run(tiles_of(8))
    assert len(fake.asked) > 8
    assert set(fake.left_over) == {0}


def test_two_threads_that_do_not_fit_together_take_turns() -> None:
    fake = Fake(1)
    both = threading.Barrier(2)

    def meet() -> None:
        if len(fake.asked) <= 2:
            both.wait(10)

    fake.meet = meet
    runtime = FrugalRuntime(fake, 2, refuse)
    with ThreadPoolExecutor(2) as pool:
        for pieces in pool.map(runtime.run, [tiles_of(1)] * 6):
            assert_numbers(pieces, 1)
    assert fake.asked[:2] == [1, 1]
    assert len(fake.asked) in (7, 8)  # one of the first two failed, or both


def test_at_last_another_runtime_computes_and_stays() -> None:
    fake, other = Fake(0), Fake(9)
    given_up: list[int] = []

    def give_up(tile: TileData) -> Fake:
        given_up.append(int(tile.ms[0, 0, 0]))
        return other

    runtime = FrugalRuntime(fake, 2, give_up)
    assert_numbers(runtime.run(tiles_of(4)), 4)
    assert_numbers(runtime.run(tiles_of(4)), 4)
    assert fake.asked == [4, 4, 2, 1]
    assert other.asked == [1] * 8
    assert given_up == [0]


def test_the_error_of_the_last_resort_is_its_own() -> None:
    runtime = FrugalRuntime(Fake(0), 1, lambda tile: Fake(0))
    with pytest.raises(torch.OutOfMemoryError):
        runtime.run(tiles_of(2))
    with pytest.raises(DeviceError, match="nothing else may compute"):
        FrugalRuntime(Fake(0), 1, refuse).run(tiles_of(2))


def test_other_errors_pass() -> None:
    fake = Fake(0, RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(RuntimeError, match="device-side assert"):
        FrugalRuntime(fake, 2, refuse).run(tiles_of(2))
    assert fake.asked == [2]


def test_strips_leave_the_device_before_it_is_given_up() -> None:
    class Tight(TorchRuntime):
        """Has memory for one tile, if no strip is there."""

        strips_there = True
        tried: list[bool] = []  # noqa: RUF012

        def run(self, tiles: Sequence[TileData]) -> Pieces:
            self.tried.append(self.strips_there)
            if self.strips_there:
                raise torch.OutOfMemoryError("no more")
            return Fake(1).run(tiles)

        def give_back_strips(self) -> bool:
            self.strips_there = not super().give_back_strips()
            return not self.strips_there

    network = network_of("adcdnet_patch", "")
    strips = DeviceStrips(PlainCopies(CPU))
    tight = Tight(step_of(network, network.halo_px), LOOK, CPU, strips=strips)
    assert_numbers(FrugalRuntime(tight, 1, refuse).run(tiles_of(1)), 1)
    assert tight.tried == [True, False]
    tight.strips_there = True
    with pytest.raises(DeviceError):  # there is nothing more to give back
        FrugalRuntime(tight, 1, refuse).run(tiles_of(1))
