"""The best network so far, and when to stop looking for a better one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from .schedule import PEAK_SHARE

T = TypeVar("T")


@dataclass
class BestSoFar(Generic[T]):
    """Keeps the best of what it is offered; ``rank`` is compared as a tuple, larger is better.

    After ``patience`` offers in a row that were no better, counted from where the learning rate has
    begun to fall, ``is_over`` is True.
    """

    patience: int
    best: T | None = None
    epoch: int = 0
    rank: tuple[float, ...] = ()
    waited: int = 0

    def offer(self, rank: tuple[float, ...], item: T, epoch: int, share: float) -> bool:
        """Take note of an epoch at ``share`` of the training; return whether it is the best."""
        if self.best is None or rank > self.rank:
            self.best, self.rank, self.epoch, self.waited = item, rank, epoch, 0
            return True
        if share > PEAK_SHARE:
            self.waited += 1
        return False

    @property
    def is_over(self) -> bool:
        """True where nothing has got better for too long."""
        return self.waited >= self.patience
