"""Timing things in turn, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Contestant:
    """Something to time: ``run`` returns how many pixels it classified."""

    name: str
    run: Callable[[], int]
    mmac: float | None = None
    """Million multiplications for each pixel, where they were counted."""


@dataclass(frozen=True)
class Timing:
    """Seconds for each pixel, by round: wall and CPU time of the process."""

    wall: list[float]
    cpu: list[float]

    @property
    def rate(self) -> float:
        """Return pixels per second of wall time, the median round."""
        return 1 / statistics.median(self.wall)


def time_in_turn(contestants: list[Contestant], rounds: int) -> list[Timing]:
    """Run each once to warm up, then all in turn, ``rounds`` times."""
    timings = [Timing([], []) for _ in contestants]
    for number in range(rounds + 1):
        for contestant, timing in zip(contestants, timings, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            pixels = contestant.run()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if number:
                timing.wall.append(wall / pixels)
                timing.cpu.append(cpu / pixels)
    return timings


def ratio_text(slow: list[float], fast: list[float]) -> str:
    """Return the median over the rounds of slow ÷ fast, and the range in brackets."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    digits = 0 if statistics.median(ratios) >= 10 else 2
    middle, low, high = (
        f"{r:,.{digits}f}" for r in (statistics.median(ratios), min(ratios), max(ratios))
    )
    return f"**{middle}** ({low}…{high})"


def duration_text(seconds: float) -> str:
    """Return a duration in the unit that people would use."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
