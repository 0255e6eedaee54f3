"""Pixels of the next tiles, read by a thread of its own while the network works."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Generator, Iterable

from .scene.pair import ScenePair, TileData
from .scene.strips import Strip, StripReader, kept_bytes, plan_strips
from .scene.tile_data import Pixels
from .tiling import Tile

STRIPS = 2
"""Strips in memory: one that tiles are cut from and one that is read meanwhile."""


def bytes_ahead(pair: ScenePair) -> int:
    """Return what strips take at most; of files in tiles with the rows kept beside them."""
    images, grid = pair.images, pair.ms.grid
    whole = images.bytes_per_ms_px * grid.width * grid.height
    return STRIPS * min(images.strip_bytes(0), whole)


def read_ahead(
    pair: ScenePair,
    tiles: Iterable[Tile],
    batch_size: int,
    *,
    by_strip: bool = False,
    strips: int = STRIPS,
) -> Generator[list[tuple[Tile, TileData]]]:
    """Yield batches of tiles with their pixels, as ``pair.read_raw`` gives them, in order.

    ``strips`` are in memory at once, as long as nobody waits for more. With ``by_strip`` no batch
    has tiles of two, a strip has enough for a batch, and tiles know their ``source``.

    One thread reads strips of tiles; ``pair`` belongs to it until the generator ends or is closed,
    which ends the thread. Pixels are views of a strip, and a strip lives as long as they do:
    whoever keeps all of them keeps the whole scene in memory.
    """
    planned = list(tiles)
    handover = _Handover(strips)
    least_tiles = batch_size if by_strip else 1
    reader = threading.Thread(
        target=_read, args=(pair, planned, least_tiles, handover), daemon=True
    )
    reader.start()
    try:
        yield from _batches(handover, batch_size, by_strip=by_strip)
    finally:
        handover.stop()
        reader.join()


def _batches(
    handover: _Handover, batch_size: int, *, by_strip: bool
) -> Generator[list[tuple[Tile, TileData]]]:
    batch: list[tuple[Tile, TileData]] = []
    while (taken := handover.take()) is not None:
        strip, pixels = taken
        for tile in strip.tiles:
            batch.append((tile, pixels.cut(tile.read, with_source=by_strip)))
            if len(batch) == batch_size or (by_strip and tile is strip.tiles[-1]):
                yield batch
                batch = []
        del taken, pixels  # what is held while the next strip is waited for is held twice
    if batch:
        yield batch


def _read(pair: ScenePair, tiles: list[Tile], least_tiles: int, handover: _Handover) -> None:
    try:
        reader = StripReader(pair.images, handover.check)
        images = pair.images
        px_bytes = images.bytes_per_ms_px
        most_bytes = images.strip_bytes(kept_bytes(tiles, px_bytes))
        for strip in plan_strips(tiles, px_bytes, most_bytes, least_tiles):
            handover.wait_for_room()
            handover.put(strip, reader.read(strip))
        handover.end(None)
    except _Stopped:
        pass
    except BaseException as error:
        handover.end(error)


class _Stopped(Exception):
    """Nobody waits for more strips."""


class _Handover:
    """Strips on their way from the reader to whoever cuts tiles from them.

    Room for a strip is there while less than ``most`` are alive, counting those that tiles in
    work are still parts of, or when nothing is left to do without it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._ready: deque[tuple[Strip, Pixels]] = deque()
        self._alive = 0
        self._is_awaited = self._is_stopped = self._has_ended = False
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise _Stopped after ``stop``."""
        if self._is_stopped:
            raise _Stopped

    def wait_for_room(self) -> None:
        """Wait until one more strip may be read; raises _Stopped after ``stop``."""
        with self._changed:
            self._changed.wait_for(self._has_room)
            self.check()

    def put(self, strip: Strip, pixels: Pixels) -> None:
        """Hand over a strip that was read."""
        with self._changed:
            self._alive += 1
            # All arrays of a strip go when the last tile does; the PAN stands for them.
            weakref.finalize(pixels.pan, self._forget).atexit = False
            self._ready.append((strip, pixels))
            self._changed.notify_all()

    def end(self, error: BaseException | None) -> None:
        """Say that no strip will follow, and why if that is an error."""
        with self._changed:
            self._has_ended, self._error = True, error
            self._changed.notify_all()

    def take(self) -> tuple[Strip, Pixels] | None:
        """Wait for the next strip, None after the last; raises what ended the reading."""
        with self._changed:
            self._is_awaited = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ready or self._has_ended)
            self._is_awaited = False
            if self._ready:
                return self._ready.popleft()
            if self._error is not None:
                raise self._error
            return None

    def stop(self) -> None:
        """Let the reader end before its next read."""
        with self._changed:
            self._is_stopped = True
            self._ready.clear()
            self._changed.notify_all()

    def _has_room(self) -> bool:
        is_starving = self._is_awaited and not self._ready
        return self._is_stopped or self._alive < self._most or is_starving

    def _forget(self) -> None:
        with self._changed:
            self._alive -= 1
            self._changed.notify_all()
