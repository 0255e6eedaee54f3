"""Pixels reach a device through a few buffers, none of which is filled before it was copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from panloom.engine.runtimes.device_copies import (
    CudaQueue,
    PlainCopies,
    Sent,
    StagedCopies,
    copies_to,
)

CPU = torch.device("cpu")


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


class FakeCuda:
    """Writes down in which stream things happen; ``current`` is that of the calling thread."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.current = "compute"
        fake = self

        class Stream:
            def __init__(self, device: object, name: str = "copy") -> None:
                self.name = name

            def wait_event(self, event: Event) -> None:
                fake.log.append(f"{self.name} waits for {event.of}")

        class Event:
            def __init__(self, *, blocking: bool) -> None:
                assert blocking

            def record(self, stream: Stream) -> None:
                self.of = f"{stream.name} {sum('copied' in line for line in fake.log)}"

            def synchronize(self) -> None:
                fake.log.append(f"thread waits for {self.of}")

        @contextmanager
        def stream(inner: Stream) -> Iterator[None]:
            before, fake.current = fake.current, inner.name
            yield
            fake.current = before

        def empty(*arguments: Any, **options: Any) -> Tensor:
            fake.log.append(f"{'pinned' if options.pop('pin_memory', 0) else fake.current} memory")
            return torch_empty(*arguments, **options)

        def copy(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
            fake.log.append(f"copied in {fake.current}")
            assert non_blocking
            return target

        torch_empty = torch.empty
        for name, value in (
            ("Stream", Stream), ("Event", Event), ("stream", stream),
            ("current_stream", lambda device: Stream(device, "compute")),
        ):  # fmt: skip
            patch.setattr(torch.cuda, name, value)
        patch.setattr(torch, "empty", empty)
        patch.setattr(Tensor, "copy_", copy)
        patch.setattr(
            Tensor, "record_stream", lambda t, s: self.log.append(f"{t.dtype} kept for {s.name}")
        )


def test_on_cuda_copies_have_a_stream_and_the_computing_one_waits_for_its_strip_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = FakeCuda(monkeypatch)
    copies = StagedCopies(CudaQueue(CPU), buffer_bytes=512, buffers=2)
    images = [np.zeros((1, 16, 16), np.uint16), np.zeros((1, 32, 16), np.uint8)]
    sent = copies.send(images)
    assert cuda.log == [
        "copy memory", "copy memory", "pinned memory", "pinned memory",
        "copied in copy", "copied in copy",
    ]  # fmt: skip
    cuda.log.clear()
    copies.require(sent)
    assert cuda.log == [
        "compute waits for copy 2", "torch.uint16 kept for compute", "torch.uint8 kept for compute",
    ]  # fmt: skip
    cuda.log.clear()
    copies.send(images)
    assert cuda.log == [
        "copy memory", "copy memory",
        "thread waits for copy 1", "copied in copy", "thread waits for copy 2", "copied in copy",
    ]  # fmt: skip


def test_devices_without_pinned_memory_get_plain_copies() -> None:
    copies: Any = copies_to(CPU)
    assert isinstance(copies, PlainCopies)
    sent = copies.send(arrays())
    copies.require(sent)
    assert_arrived(sent.tensors, arrays())
    (tensor,) = PlainCopies(torch.device("meta")).send(arrays()[:1]).tensors
    assert (tensor.device.type, tensor.dtype, tensor.shape) == ("meta", torch.uint16, (3, 7, 11))
