"""Rasters at half the resolution: each pixel is made of a 2 × 2 block, ignoring nodata.

What lies beyond an odd border counts as nodata; a block without any valid pixel gives nodata.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.uint8]


def majority(values: Values, nodata: int) -> Values:
    """Return the most frequent valid value of each block: (h, w) to (⌈h/2⌉, ⌈w/2⌉).

    Among equally frequent values the first in reading order wins (upper left, upper right, lower
    left, lower right). Unlike the smallest value this favors no class.
    """
    values = _even(values, nodata)
    a, b = values[::2, ::2].copy(), values[::2, 1::2].copy()
    c, d = values[1::2, ::2].copy(), values[1::2, 1::2].copy()
    # The first value loses only when it stands alone and two of the others agree.
    alone = (a != b) & (a != c) & (a != d)
    b_twice = (b == c) | (b == d)
    c_twice = c == d
    if (values == nodata).any():
        alone |= a == nodata
        b_twice &= b != nodata
        c_twice &= c != nodata
        for other in (b, c, d):
            np.copyto(a, other, where=a == nodata)
    np.copyto(a, b, where=alone & b_twice)
    np.copyto(a, c, where=alone & c_twice & ~b_twice)
    return a


def mean(values: Values, nodata: int) -> Values:
    """Return the mean of each block's valid values, halves rounded up: (h, w) to (⌈h/2⌉, ⌈w/2⌉)."""
    values = np.ascontiguousarray(_even(values, nodata))
    empty = values == nodata
    if not empty.any():
        quarters = (_block_sums(values) + np.uint16(2)) >> np.uint16(2)
        return quarters.astype(np.uint8)
    counts = np.uint16(4) - _block_sums(empty.view(np.uint8))
    sums = _block_sums(np.where(empty, np.uint8(0), values))
    means: Values = _rounded_means(nodata)[counts, sums]
    return means


def _even(values: Values, nodata: int) -> Values:
    """Return ``values`` with a border of nodata where a side is odd."""
    height, width = values.shape
    if height % 2 == 0 and width % 2 == 0:
        return values
    padded = np.full((height + height % 2, width + width % 2), nodata, np.uint8)
    padded[:height, :width] = values
    return padded


def _block_sums(values: Values) -> NDArray[np.uint16]:
    """Return the sum of each 2 × 2 block of (h, w), both even, in C order."""
    # Two neighbors read as one number of 16 bits: much faster than slices with a step of 2.
    pairs = values.view(np.uint16)
    rows = (pairs & np.uint16(255)) + (pairs >> np.uint16(8))
    sums: NDArray[np.uint16] = rows[::2] + rows[1::2]
    return sums


@cache
def _rounded_means(nodata: int) -> Values:
    """Return the rounded mean by number of values (0…4) and their sum (0…1020)."""
    counts, sums = np.arange(1, 5)[:, None], np.arange(4 * 255 + 1)[None]
    means = np.full((5, sums.size), nodata, np.uint8)
    means[1:] = np.minimum((2 * sums + counts) // (2 * counts), 255)
    return means
