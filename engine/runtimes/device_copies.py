"""How pixels get into a device's memory while it computes.

On CUDA copies run on a stream of their own, from buffers of pinned memory that are used in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BUFFERS = 4
BUFFER_BYTES = 16 * 2**20
"""While one buffer is filled the others are copied; a power of two, as torch pins no others."""

Array = NDArray[Any]


class Mark(Protocol):
    """A point in a queue of copies, such as a CUDA event."""

    def synchronize(self) -> None:
        """Wait until all copies before it are done."""


@dataclass(frozen=True)
class Sent:
    """Tensors of a device that are complete from ``end`` on: at once if that is None."""

    tensors: list[Tensor]
    end: Mark | None


class Copies(Protocol):
    """Copies arrays into the memory of one device."""

    def send(self, arrays: Sequence[Array]) -> Sent:
        """Return the arrays as tensors that are to be used after ``require`` only.

        The arrays may change then. One thread sends at a time. Raises torch.OutOfMemoryError before
        anything is copied.
        """

    def require(self, sent: Sent) -> None:
        """Let what the calling thread queues next on the device start after these copies."""


class PlainCopies:
    """Copies that are complete when ``send`` returns: for MPS, which shares the CPU's memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def send(self, arrays: Sequence[Array]) -> Sent:
        """Return the arrays on the device; on a CPU they are the arrays themselves."""
        return Sent([torch.from_numpy(array).to(self._device) for array in arrays], None)

    def require(self, sent: Sent) -> None:
        """Do nothing: they are complete."""


class CopyQueue(Protocol):
    """Copies that are done in order, some time later."""

    def buffer(self, size: int) -> Tensor:
        """Return bytes of the CPU's memory to copy from."""

    def empty(self, array: Array) -> Tensor:
        """Return room for an array in the device's memory, to be written by this queue."""

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Queue a copy of bytes from a buffer to the device."""

    def mark(self) -> Mark:
        """Return the end of the queue as it is now."""

    def require(self, sent: Sent) -> None:
        """See ``Copies``; the tensors' memory is nobody else's before what uses them is done."""


class StagedCopies:
    """Copies through a ring of buffers: one is filled again only after it has been copied."""

    def __init__(
        self, queue: CopyQueue, buffer_bytes: int = BUFFER_BYTES, buffers: int = BUFFERS
    ) -> None:
        self._queue = queue
        self._sizes = [buffer_bytes] * buffers
        self._buffers: list[Tensor] = []
        self._marks: list[Mark | None] = [None] * buffers
        self._turn = 0

    def send(self, arrays: Sequence[Array]) -> Sent:
        """Return the arrays as tensors whose copies are queued; see ``Copies``."""
        targets = [self._queue.empty(array) for array in arrays]
        self._buffers = self._buffers or [self._queue.buffer(size) for size in self._sizes]
        for target, array in zip(targets, arrays, strict=True):
            self._send(target.view(-1).view(torch.uint8), array.reshape(-1).view(np.uint8))
        return Sent(targets, self._queue.mark())

    def require(self, sent: Sent) -> None:
        """Let what the calling thread queues next on the device start after these copies."""
        self._queue.require(sent)

    def _send(self, target: Tensor, source: NDArray[np.uint8]) -> None:
        """Queue copies of bytes, a buffer at a time."""
        size = self._sizes[0]
        for start in range(0, source.size, size):
            piece = source[start : start + size]
            slot = self._turn = (self._turn + 1) % len(self._buffers)
            mark = self._marks[slot]
            if mark is not None:
                mark.synchronize()
            buffer = self._buffers[slot][: piece.size]
            # Not torch's copy, whose pool of threads would take the cores that decode.
            np.copyto(buffer.numpy(), piece)
            self._queue.copy(target[start : start + piece.size], buffer)
            self._marks[slot] = self._queue.mark()


class CudaQueue:
    """A CUDA stream for copies.

    A strip's memory comes from this stream's own pool, so that no kernel of another stream can
    still be at work on it when a copy writes there. ``require`` makes the computing stream wait for
    the copies; ``record_stream`` keeps the allocator from giving the memory to the next strip
    before that stream's work is done, even if the last reference to it goes earlier.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._device = device

    def buffer(self, size: int) -> Tensor:
        """Return pinned memory, without which a copy would stop the thread that asks for it."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def empty(self, array: Array) -> Tensor:
        """Return memory that belongs to the stream of copies."""
        dtype = torch.from_numpy(array[:0]).dtype
        with torch.cuda.stream(self._stream):
            return torch.empty(array.shape, dtype=dtype, device=self._device)

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Queue a copy that no thread waits for."""
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)

    def mark(self) -> Mark:
        """Return an event; who waits for it sleeps instead of taking a core."""
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(self._stream)
        return event

    def require(self, sent: Sent) -> None:
        """Make the thread's current stream wait for the copies, and the allocator for it."""
        stream = torch.cuda.current_stream(self._device)
        assert isinstance(sent.end, torch.cuda.Event)
        stream.wait_event(sent.end)
        for tensor in sent.tensors:
            tensor.record_stream(stream)


def copies_to(device: torch.device) -> Copies:
    """Return how pixels best get to a device."""
    return StagedCopies(CudaQueue(device)) if device.type == "cuda" else PlainCopies(device)
