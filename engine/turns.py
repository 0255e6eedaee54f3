"""Work for several devices in turn, each with threads of its own, and results in order."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")
Other = TypeVar("Other")


@dataclass(frozen=True)
class _Pending(Generic[Result]):
    turn: int
    future: Future[Result]


class Turns(Generic[Result]):
    """Runs work in the threads of ``devices``; use it as a context manager, in one thread.

    What belongs to one strip runs on one device, the next strip on the next device. ``workers``
    threads in all call ``initializer`` first.
    """

    def __init__(
        self, devices: int, workers: int, initializer: Callable[[], object] | None = None
    ) -> None:
        each = max(1, workers // devices)
        self._pools = [ThreadPoolExecutor(each, initializer=initializer) for _ in range(devices)]
        self._workers = each * devices
        self._pending: deque[_Pending[Result]] = deque()
        self._turn = 0
        self._strip: Callable[[], object | None] = lambda: None

    @property
    def is_full(self) -> bool:
        """True while all threads have work and one more piece of it waits.

        Of several devices, each has a strip and the next one waits: batches of a single strip, as
        many as they may be, would leave the others without work.
        """
        if len(self._pending) <= self._workers:
            return False
        strips = self._pending[-1].turn - self._pending[0].turn + 1
        return len(self._pools) == 1 or strips > len(self._pools)

    @property
    def is_empty(self) -> bool:
        """True while nothing is to be waited for."""
        return not self._pending

    def submit(self, strip: object | None, work: Callable[[int], Result]) -> None:
        """Run ``work(device)``, a number from 0 on; None is a strip of its own each time."""
        if strip is None or self._strip() is not strip:
            self._turn += 1
            # A weak reference: strips go when their last tile does.
            self._strip = (lambda: None) if strip is None else weakref.ref(strip)
        device = (self._turn - 1) % len(self._pools)
        self._pending.append(_Pending(self._turn, self._pools[device].submit(work, device)))

    def add(self, result: Result) -> None:
        """Queue a result that takes no work."""
        future: Future[Result] = Future()
        future.set_result(result)
        self._pending.append(_Pending(self._turn, future))

    def call(self, function: Callable[[], Other]) -> Other:
        """Return what a function returns in a thread of the first device."""
        return self._pools[0].submit(function).result()

    def take(self) -> Result:
        """Wait for the oldest result that was not taken yet."""
        return self._pending.popleft().future.result()

    def __enter__(self) -> Turns[Result]:
        return self

    def __exit__(self, *error: object) -> None:
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in self._pools:
            pool.shutdown()
