"""Tiles and workers fit the memory that is free; what was asked for and cannot be is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from panloom.engine import workload
from panloom.engine.device import Device
from panloom.engine.errors import DeviceError
from panloom.engine.tiling import ON_GPU, TileLimits, choose_tile_px, plan_tiles
from panloom.engine.workload import RESERVED_BYTES, Room

MIB = 2**20
BYTES_PER_PX = 2000


@dataclass(frozen=True)
class Cores(Device):
    """A CPU with eight cores."""

    @property
    def workers(self) -> int:
        return 8


CPU = Cores(torch.device("cpu"), "")
USUAL = TileLimits(8, bytes_per_px=BYTES_PER_PX)


def room(mib: float) -> Room:
    return Room(CPU, int(mib * MIB))


def test_with_much_memory_all_cores_compute_tiles_of_the_usual_size() -> None:
    assert room(20_000).limits(BYTES_PER_PX) == USUAL


@pytest.mark.parametrize("mib", [1, 30, 203, 205, 700, 1500])
def test_with_less_memory_tiles_that_fit_are_chosen(mib: float) -> None:
    limits = room(mib).limits(BYTES_PER_PX)
    assert 1 <= limits.workers <= 8
    if mib >= 204:
        assert limits == replace(USUAL, workers=int(mib // 204))
    side = choose_tile_px((5000, 5000), 20, 1, limits)
    tiles = plan_tiles(5000, 5000, side, 20, 1)
    workers = room(mib).workers(tiles, 1, BYTES_PER_PX, chosen=False)
    assert workers == limits.workers
    patch = tiles[0].read.width ** 2 * BYTES_PER_PX
    assert workers * patch <= mib * MIB or (workers == 1 and side == 64)


@pytest.mark.parametrize(("side", "batch_size", "workers"), [(80, 1, 8), (360, 1, 3), (360, 3, 1)])
def test_fewer_workers_take_the_tiles_that_were_asked_for(
    side: int, batch_size: int, workers: int
) -> None:
    tiles = plan_tiles(5000, 5000, side, 20, 1)
    each = batch_size * tiles[0].read.width ** 2 * BYTES_PER_PX
    found = room(1000).workers(tiles, batch_size, BYTES_PER_PX, chosen=True)
    assert found == workers == min(8, 1000 * MIB // each)


def test_what_does_not_fit_even_once_is_refused_in_a_sentence() -> None:
    with pytest.raises(DeviceError) as caught:
        room(1000).workers(plan_tiles(5000, 4000, 5000, 20, 1), 4, BYTES_PER_PX, chosen=True)
    assert str(caught.value) == (
        f"A tile of 5,040 × 4,040 MS pixels takes about {5040 * 4040 * 2000 / 1e9:.1f} GB; "
        f"{1000 * MIB / 1e9:.1f} GB of memory are free for it. Choose smaller tiles (`--tile-px`) "
        "or fewer at once (`--batch-size`), or end other programs."
    )
    with pytest.raises(DeviceError, match="A batch of 9 tiles of 1,040 × 1,040 MS pixels takes"):
        room(9000).workers(plan_tiles(3000, 3000, 1000, 20, 1), 64, BYTES_PER_PX, chosen=True)


def test_what_is_held_already_needs_no_room() -> None:
    assert [room(100).at_once(99, 40 * MIB, held=held) for held in (0, 1)] == [2, 3]
    assert room(10).at_once(99, 40 * MIB) == 1
    assert room(10).at_once(99, 0) == 8


def test_there_are_no_more_workers_than_batches() -> None:
    tiles = plan_tiles(160, 80, 80, 20, 1)
    assert room(20_000).workers(tiles, 1, BYTES_PER_PX, chosen=False) == len(tiles) == 2
    assert room(20_000).workers(tiles, 64, BYTES_PER_PX, chosen=False) == 1


def test_fewer_workers_than_usual_are_told() -> None:
    assert room(1).note(8, 99) is None
    assert room(1).note(3, 3) is None, "there is no fourth tile"
    note = room(1).note(3, 99)
    assert note is not None
    assert note.text == "Cores used: 3 of 8; more tiles at once do not fit the memory."


def test_a_gpu_says_itself_when_it_is_full() -> None:
    gpu = Device(torch.device("cuda", 0), "")
    assert Room.on(gpu).limits(BYTES_PER_PX) == ON_GPU
    huge = plan_tiles(100_000, 100_000, 50_000, 20, 1)
    assert Room.on(gpu).workers(huge, 64, BYTES_PER_PX, chosen=True) == gpu.workers


def test_the_room_is_what_is_free_but_for_what_else_a_run_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strips = 30 * MIB
    monkeypatch.setattr(workload, "free_memory", lambda: RESERVED_BYTES + strips + 5)
    assert Room.on(CPU, strips).bytes == 5
    assert Room.on(CPU, strips + 6).bytes == 0
