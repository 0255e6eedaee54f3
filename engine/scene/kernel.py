"""Kernels of resampling: which source pixels count around a position, and how much."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

NOWHERE = -1e9
"""Stands for the position of a point that has none."""

_CUBIC_A = -0.5


class Taps:
    """The source indices and weights of a kernel around each position, tap by tap."""

    def __init__(
        self, centers: Floats, radius: float, size: int, kernel: Callable[[Floats], Floats]
    ) -> None:
        self.shape = centers.shape
        self._centers: Floats = np.where(np.isfinite(centers), centers, NOWHERE)
        self._first = np.floor(self._centers - 0.5 - radius).astype(np.int64) + 1
        self._count = math.ceil(2 * radius)
        self._radius, self._size, self._kernel = radius, size, kernel
        self._weights: list[Image] = []

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Image]]:
        for tap in range(self._count):
            index = self._first + tap
            yield np.clip(index, 0, self._size - 1), self._weight(index)

    def sums(self, image: Image, axis: int) -> Image:
        """Return weighted sums of (C, h, w) along an axis, for positions along that axis alone."""
        if not self._weights:
            self._weights = [self._weight(self._first + tap) for tap in range(self._count)]
        first = self._first.ravel()
        start, count = int(first[0]), len(first)
        is_run = np.array_equal(first, np.arange(start, start + count))
        if is_run:  # neighbors as slices of the image, repeated beyond its border
            image, start = _repeat_border(image, axis, start, start + count + self._count - 1)
        total: Image | None = None
        for tap, weight in enumerate(self._weights):
            if is_run:
                part = image[_along(axis, slice(start + tap, start + tap + count))]
            else:
                part = image.take(np.clip(first + tap, 0, self._size - 1), axis)
            if total is None:
                total = part * weight
                product = np.empty_like(total)
            else:
                total += np.multiply(part, weight, out=product)
        assert total is not None
        return total

    def _weight(self, index: NDArray[np.int64]) -> Image:
        offset = (index + 0.5 - self._centers) * (2 / self._radius)
        weight: Floats = np.where((index >= 0) & (index < self._size), self._kernel(offset), 0.0)
        return weight.astype(np.float32)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (slice(None),) * axis + (part,)


def _repeat_border(image: Image, axis: int, start: int, stop: int) -> tuple[Image, int]:
    """Return an image that reaches from ``start`` to ``stop`` along an axis, and its new start."""
    before, after = max(0, -start), max(0, stop - image.shape[axis])
    if before or after:
        widths = [(0, 0)] * image.ndim
        widths[axis] = (before, after)
        image = np.pad(image, widths, mode="edge")
    return image, start + before


def cubic(offset: Floats) -> Floats:
    """Keys' cubic convolution kernel (eq. 4) at offsets in kernel units, zero beyond 2."""
    d, a = np.abs(offset), _CUBIC_A
    inner = ((a + 2) * d - (a + 3)) * d * d + 1
    outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.asarray(np.where(d <= 1, inner, np.where(d < 2, outer, 0.0)))


def tent(offset: Floats) -> Floats:
    """A triangle as wide as the cubic kernel, positive inside."""
    return np.asarray(np.maximum(0.0, 2 - np.abs(offset)))
