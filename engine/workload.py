"""How large tiles are and how many are computed at once, by the memory that is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .device import Device
from .errors import DeviceError
from .events import Message
from .machine import free_memory
from .tiling import ON_GPU, Tile, TileLimits

RESERVED_BYTES = 280 * 2**20
"""What a run takes beside its tiles and the strips that are read ahead: libraries, caches, blocks
to be written."""
USUAL_STRIPS_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Room:
    """What a run has for its tiles on a device; ``bytes`` None: the device says when it is full."""

    device: Device
    bytes: int | None

    @staticmethod
    def on(device: Device, strips_bytes: int = USUAL_STRIPS_BYTES) -> Room:
        """Return what is free at present, but for ``strips_bytes`` that are read ahead."""
        if not device.is_cpu:
            return Room(device, None)
        return Room(device, max(0, free_memory() - RESERVED_BYTES - strips_bytes))

    def limits(self, bytes_per_px: int) -> TileLimits:
        """Return what bounds tiles that nobody chose the size of: there always are some that fit.

        ``bytes_per_px`` is what the network needs for an MS pixel of a patch.
        """
        if self.bytes is None:
            return ON_GPU
        usual = TileLimits(self.device.workers, bytes_per_px=bytes_per_px)
        assert usual.bytes_per_worker is not None
        return replace(
            usual,
            workers=max(1, min(usual.workers, self.bytes // usual.bytes_per_worker)),
            bytes_per_worker=min(usual.bytes_per_worker, self.bytes),
        )

    def workers(
        self, tiles: Sequence[Tile], batch_size: int, bytes_per_px: int, *, chosen: bool
    ) -> int:
        """Return how many batches of ``tiles`` are computed at once.

        Raises DeviceError where somebody has ``chosen`` a size that there is not room for once.
        """
        if self.bytes is None or not tiles:
            return self.device.workers
        read, in_batch = tiles[0].read, min(batch_size, len(tiles))
        needed = in_batch * read.width * read.height * bytes_per_px
        if needed > self.bytes and chosen:
            what = "A tile" if in_batch == 1 else f"A batch of {in_batch} tiles"
            raise DeviceError(
                f"{what} of {read.width:,} × {read.height:,} MS pixels takes about "
                f"{needed / 1e9:.1f} GB; {self.bytes / 1e9:.1f} GB of memory are free for it.",
                "out-of-memory",
                "Choose smaller tiles (`--tile-px`) or fewer at once (`--batch-size`), or end "
                "other programs.",
            )
        return self.at_once(-(-len(tiles) // in_batch), needed)

    def at_once(self, batches: int, needed_bytes: int, held: int = 0) -> int:
        """Return how many of ``batches`` are computed at once, each by a worker.

        One needs ``needed_bytes``; ``held`` of them have theirs already.
        """
        usual = min(self.device.workers, batches)
        if self.bytes is None or needed_bytes <= 0:
            return usual
        return max(1, min(usual, held + self.bytes // needed_bytes))

    def note(self, workers: int, batches: int) -> Message | None:
        """Return what to say where fewer of ``batches`` are computed at once than cores could."""
        cores = self.device.workers
        if workers >= min(cores, batches):
            return None
        return Message(
            f"Cores used: {workers} of {cores}; more tiles at once do not fit the memory."
        )
