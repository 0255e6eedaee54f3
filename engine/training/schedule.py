"""The learning rate over a training: one cycle, planned in steps or fitted into minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

PEAK_SHARE = 0.2
"""Share of the training in which the rate rises."""

_START_DIVISOR, _END_DIVISOR = 25.0, 1e4
_MOMENTUM = (0.85, 0.95)


@dataclass(frozen=True)
class Cycle:
    """One cycle (Smith and Topin, arXiv:1708.07120) over ``steps`` steps, as torch's OneCycleLR.

    Both rate and momentum follow half cosines: the rate from a 25th of ``peak`` up to it in a fifth
    of the steps and down to a 250,000th, the momentum the other way. Unlike torch's, the place in
    the cycle need not be a whole step.
    """

    peak: float
    steps: int

    def at(self, step: float) -> tuple[float, float]:
        """Return learning rate and momentum (the first of Adam's betas) at ``step``."""
        start = self.peak / _START_DIVISOR
        low, high = _MOMENTUM
        turn, end = float(PEAK_SHARE * self.steps) - 1, self.steps - 1
        if step <= turn:
            share = step / turn if turn > 0 else 1.0
            return _between(start, self.peak, share), _between(high, low, share)
        share = (step - turn) / (end - turn)
        return _between(self.peak, start / _END_DIVISOR, share), _between(low, high, share)


@dataclass
class Pace:
    """How far a training is: by its steps, or by the time that is left, whichever is further.

    Without ``seconds`` the place in the cycle is the step itself and nothing depends on the clock.
    With ``seconds`` and no number of ``steps`` the time alone decides.
    """

    steps: int | None
    seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)

    NOMINAL_STEPS = 1000
    """Length of the cycle where only the time is given; places in it are then fractions."""

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise ValueError("a training needs a number of steps or of seconds")
        self.began = self.clock()

    @property
    def cycle_steps(self) -> int:
        """Length of the cycle that ``place`` is in."""
        return self.steps or self.NOMINAL_STEPS

    def place(self, step: int) -> float:
        """Return where in the cycle the step comes; ``cycle_steps`` or more means the end."""
        place = float(step) if self.steps is not None else 0.0
        if self.seconds is None:
            return place
        spent = (self.clock() - self.began) / max(self.seconds, 1e-9)
        return max(place, spent * self.cycle_steps)

    def planned_steps(self, step: int) -> float:
        """Return how many steps there will be, as far as one can tell at ``step``."""
        if self.seconds is None:
            return float(self.cycle_steps)
        return step * self.cycle_steps / max(self.place(step), 1e-9)


def _between(start: float, end: float, share: float) -> float:
    """Return the value of a half cosine from ``start`` at 0 to ``end`` at 1."""
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
