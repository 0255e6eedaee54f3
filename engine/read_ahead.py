"""Pixels of the next tiles, read by a thread of its own while the network works."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable

from .scene.pair import ScenePair, TileData
from .tiling import Tile

READ_AHEAD = 2
"""Batches that are read while the network works on an earlier one."""


def read_ahead(
    pair: ScenePair, tiles: Iterable[Tile], batch_size: int
) -> Generator[list[tuple[Tile, TileData]]]:
    """Yield batches of tiles with their pixels, read by one thread into a bounded queue."""
    batches: queue.Queue[list[tuple[Tile, TileData]] | BaseException | None] = queue.Queue(
        READ_AHEAD
    )
    stop = threading.Event()
    reader = threading.Thread(
        target=_read, args=(pair, list(tiles), batch_size, batches, stop), daemon=True
    )
    reader.start()
    try:
        while (item := batches.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        while reader.is_alive():
            _drain(batches)
            reader.join(0.01)


def _read(
    pair: ScenePair,
    tiles: list[Tile],
    batch_size: int,
    batches: queue.Queue[list[tuple[Tile, TileData]] | BaseException | None],
    stop: threading.Event,
) -> None:
    try:
        for start in range(0, len(tiles), batch_size):
            if stop.is_set():
                return
            batches.put([(t, pair.read(t.read)) for t in tiles[start : start + batch_size]])
        batches.put(None)
    except BaseException as error:
        batches.put(error)


def _drain(batches: queue.Queue[list[tuple[Tile, TileData]] | BaseException | None]) -> None:
    while not batches.empty():
        batches.get_nowait()
