"""Where a process spends its CPU time: every thread's, by the stage that its Python stack is in.

A thread of its own looks at all others fifty times a second and reads the CPU clock of each;
what a thread used since the last look goes to the stage it is in now. A thread that waits uses
nothing, whatever it waits in. Threads without a Python stack (GDAL's, a runtime's) are summed up by
themselves. Being watched costs a run some percent. Linux only: other systems have no clock for
another thread.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from types import FrameType, TracebackType

NATIVE = "threads without Python"
Stage = Callable[[FrameType], str]


class CpuSampler:
    """Sums up CPU seconds by stage while it is entered; ``stage_of`` names that of a stack."""

    def __init__(self, stage_of: Stage, every_s: float = 0.02) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.own_s = 0.0
        """CPU seconds of looking itself."""
        self._stage_of, self._every_s = stage_of, every_s
        self._used: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> CpuSampler:
        for name in os.listdir("/proc/self/task"):
            self._used[int(name)] = thread_cpu_s(int(name)) or 0.0
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._look()
        self.own_s = time.thread_time()

    def _look(self) -> None:
        own = threading.get_native_id()
        frames = sys._current_frames()
        stacks = {t.native_id: frames.get(t.ident or 0) for t in threading.enumerate()}
        for name in os.listdir("/proc/self/task"):
            thread = int(name)
            used = thread_cpu_s(thread)
            if used is None or thread == own:
                continue
            frame = stacks.get(thread)
            stage = NATIVE if frame is None else self._stage_of(frame)
            self.seconds[stage] += used - self._used.get(thread, 0.0)
            self._used[thread] = used


def thread_cpu_s(native_id: int) -> float | None:
    """Return the CPU seconds of a thread of this process, None where it has ended.

    The clock's number is Linux's: the thread's complement, shifted by three bits, and 6 for the
    scheduler's clock of one thread.
    """
    try:
        return time.clock_gettime((~native_id << 3) | 6)
    except OSError:
        return None
