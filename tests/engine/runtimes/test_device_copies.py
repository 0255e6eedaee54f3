"""Pixels reach a device through a few buffers, none of which is filled before it was copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from panloom.engine.runtimes.device_copies import PlainCopies, Sent, StagedCopies, copies_to


class LateQueue:
    """Copies as late as it may: only when somebody waits for them."""

    def __init__(self) -> None:
        self.queued: list[Callable[[], object]] = []
        self.done = 0
        self.buffers: list[int] = []

    def buffer(self, size: int) -> Tensor:
        self.buffers.append(size)
        return torch.zeros(size, dtype=torch.uint8)

    def empty(self, array: np.ndarray) -> Tensor:
        return torch.zeros(array.shape, dtype=torch.from_numpy(array[:0]).dtype)

    def copy(self, target: Tensor, source: Tensor) -> None:
        self.queued.append(lambda: target.copy_(source))

    def mark(self) -> Mark:
        return Mark(self, len(self.queued))

    def require(self, sent: Sent) -> None:
        assert sent.end is not None
        sent.end.synchronize()


class Mark:
    def __init__(self, queue: LateQueue, end: int) -> None:
        self.queue, self.end = queue, end

    def synchronize(self) -> None:
        for copy in self.queue.queued[self.queue.done : self.end]:
            copy()
        self.queue.done = max(self.queue.done, self.end)


def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [
        rng.integers(0, 60000, (3, 7, 11)).astype(np.uint16),
        rng.integers(-9000, 9000, (1, 14, 22)).astype(np.int16),
        rng.random((14, 22)) < 0.5,
        rng.random((2, 5, 3)).astype(np.float32),
        rng.integers(0, 255, (1, 3, 3)).astype(np.uint8),
    ]


def assert_arrived(found: list[Tensor], wanted: list[np.ndarray]) -> None:
    assert len(found) == len(wanted)
    for tensor, array in zip(found, wanted):
        assert tensor.numpy().dtype == array.dtype
        np.testing.assert_array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("buffer_bytes", [64, 100, 616, 100_000])
@pytest.mark.parametrize("buffers", [1, 2, 4])
def test_what_is_copied_late_is_what_was_sent(buffer_bytes: int, buffers: int) -> None:
    queue = LateQueue()
    copies = StagedCopies(queue, buffer_bytes, buffers)
    sent, wanted = [], []
    for _ in range(3):
        mine = arrays()
        wanted.append([array.copy() for array in mine])
        sent.append(copies.send(mine))
        for array in mine:
            array[...] = 1  # whoever sent it may write to it again
    for one, other in zip(sent[::-1], wanted[::-1]):
        copies.require(one)
        assert_arrived(one.tensors, other)
    assert queue.buffers == [buffer_bytes] * buffers  # made once


def test_only_what_was_sent_before_is_waited_for() -> None:
    queue = LateQueue()
    copies = StagedCopies(queue, 4096, 8)
    first, second = copies.send(arrays()), copies.send(arrays())
    copies.require(first)
    assert_arrived(first.tensors, arrays())
    assert not any(tensor.any() for tensor in second.tensors)


def test_nothing_is_copied_where_not_everything_has_room() -> None:
    class Small(LateQueue):
        def empty(self, array: np.ndarray) -> Tensor:
            if array.dtype == np.float32:
                raise torch.OutOfMemoryError("no more")
            return super().empty(array)

    queue = Small()
    copies = StagedCopies(queue, 64, 2)
    with pytest.raises(torch.OutOfMemoryError):
        copies.send(arrays())
    assert queue.queued == []
    integers = arrays()[:3]
    sent = copies.send(integers)
    copies.require(sent)
    assert_arrived(sent.tensors, integers)


def test_devices_without_pinned_memory_get_plain_copies() -> None:
    copies: Any = copies_to(torch.device("cpu"))
    assert isinstance(copies, PlainCopies)
    sent = copies.send(arrays())
    copies.require(sent)
    assert_arrived(sent.tensors, arrays())
    (tensor,) = PlainCopies(torch.device("meta")).send(arrays()[:1]).tensors
    assert (tensor.device.type, tensor.dtype, tensor.shape) == ("meta", torch.uint16, (3, 7, 11))
