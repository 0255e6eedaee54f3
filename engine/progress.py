"""Progress of a part of a run, with its rate and remaining time."""

from __future__ import annotations

import time
from collections.abc import Callable

from .events import Event, Progress

Report = Callable[[Event], None]


def section(report: Report, start: float, end: float, stage: str = "") -> Report:
    """Return a report in which progress 0…1 means ``start``…``end`` of the whole run."""

    def scaled(event: Event) -> None:
        if isinstance(event, Progress):
            fraction = start + (end - start) * event.fraction
            event = Progress(fraction, event.stage or stage, event.rate, event.remaining_s)
        report(event)

    return scaled


class Meter:
    """Reports how many of ``total`` pixels are done, at most some times a second."""

    _EVERY_S = 0.2

    def __init__(self, report: Report, total: int, stage: str) -> None:
        self._report = report
        self._total = max(total, 1)
        self._stage = stage
        self._done = 0
        self._began = time.monotonic()
        self._next = self._began

    def add(self, pixels: int) -> None:
        """Count ``pixels`` more as done."""
        self._done += pixels
        now = time.monotonic()
        if now < self._next and self._done < self._total:
            return
        self._next = now + self._EVERY_S
        rate = self._done / max(now - self._began, 1e-6)
        remaining = (self._total - self._done) / rate if rate > 0 else None
        self._report(Progress(min(1.0, self._done / self._total), self._stage, rate, remaining))
