"""A runtime whose device may have too little memory: less at once, and the same results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from threading import Condition

import numpy as np
import torch

from ..device import is_out_of_memory
from ..scene.tile_data import TileData
from .runtime import Pieces, Runtime
from .torch_runtime import TorchRuntime


class FrugalRuntime:
    """Runs batches on another runtime, and with less memory after each time that it lacks some.

    At first ``seats`` threads compute at once. Then, in this order and for the rest of the run: one
    alone, half as many tiles at once, no strips in the device's memory, and at last what
    ``give_up`` returns for a tile that does not fit by itself.
    """

    def __init__(
        self, runtime: Runtime, seats: int, give_up: Callable[[TileData], Runtime]
    ) -> None:
        self._runtime = runtime
        self._seats = _Seats(seats)
        self._most_tiles = sys.maxsize
        self._give_up = give_up
        self._has_given_up = False

    @property
    def title(self) -> str:
        """Name and version of the other runtime."""
        return self._runtime.title

    def run(self, tiles: Sequence[TileData]) -> Pieces:
        """Return what a map shows of each tile; raises what ``give_up`` does."""
        done: list[Pieces] = []
        while tiles:
            with self._seats as is_alone:
                at_once = tiles[: self._most_tiles]
                pieces = self._try(at_once)
                if pieces is None:
                    self._take_less(at_once, is_alone=is_alone)
                    continue
            done.append(pieces)
            tiles = tiles[len(at_once) :]
        if len(done) == 1:
            return done[0]
        return np.concatenate([d[0] for d in done]), np.concatenate([d[1] for d in done])

    def _try(self, tiles: Sequence[TileData]) -> Pieces | None:
        """Return results, None where memory does not suffice.

        What a failed attempt has in memory goes with its error, when this returns and not before:
        the error's traceback refers to it.
        """
        try:
            return self._runtime.run(tiles)
        except RuntimeError as error:
            if self._has_given_up or not is_out_of_memory(error):
                raise
            return None

    def _take_less(self, tiles: Sequence[TileData], *, is_alone: bool) -> None:
        torch.cuda.empty_cache()  # what one stream has kept for itself, another may need
        if not is_alone:  # then nobody knows whose the memory is
            self._seats.leave_one()
        elif len(tiles) > 1:
            self._most_tiles = len(tiles) // 2
        elif not (isinstance(self._runtime, TorchRuntime) and self._runtime.give_back_strips()):
            self._runtime = self._give_up(tiles[0])
            self._has_given_up = True


class _Seats:
    """Lets as many threads in as there are seats; says to each whether there is only one."""

    def __init__(self, count: int) -> None:
        self._count, self._taken = count, 0
        self._changed = Condition()

    def leave_one(self) -> None:
        """Take all seats away but one; threads that are in stay there."""
        self._count = 1

    def __enter__(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._taken < self._count)
            self._taken += 1
            return self._count == 1

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()
