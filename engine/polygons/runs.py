"""Pixel runs of a class map and the connected components they form, without a loop over pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


class Runs:
    """The horizontal runs of equal code in ``codes`` (h, w), in row-major order.

    A component found on runs costs a fraction of one found on pixels, since a run stands for all of
    its pixels. ``of_pixel`` (h·w,) is the run of every pixel; ``first``, ``length``, ``code``,
    ``row`` and ``col`` describe the runs; ``starts`` (h, w) is True where a run begins and
    ``breaks`` (h − 1, w) where the code differs from that of the pixel below.
    """

    def __init__(self, codes: IntArray) -> None:
        height, width = codes.shape
        self.starts: BoolArray = np.ones(codes.shape, dtype=bool)
        np.not_equal(codes[:, 1:], codes[:, :-1], out=self.starts[:, 1:])
        self.breaks: BoolArray = codes[1:] != codes[:-1]
        self.of_pixel: IntArray = np.cumsum(self.starts.reshape(-1), dtype=np.int32)
        self.of_pixel -= 1
        self.first: IntArray = np.flatnonzero(self.starts)
        self.length: IntArray = np.diff(self.first, append=height * width)
        self.code: IntArray = codes.reshape(-1)[self.first]
        self.row: IntArray = self.first // width
        self.col: IntArray = self.first - self.row * width
        self._width = width

    def __len__(self) -> int:
        return len(self.first)

    def overlaps(self) -> tuple[IntArray, IntArray, IntArray]:
        """Return (upper run, lower run, shared pixel edges) for every pair of touching runs."""
        starts = self.starts[:-1] | self.starts[1:]
        at = np.flatnonzero(starts)
        shared = np.diff(at, append=starts.size)
        return self.of_pixel[at], self.of_pixel[at + self._width], shared

    def links(self, empty: int) -> tuple[IntArray, IntArray]:
        """Return (upper run, lower run) for touching runs of one code, ``empty`` left out."""
        starts = self.starts[:-1] | self.starts[1:]
        starts &= ~self.breaks
        at = np.flatnonzero(starts)
        upper = self.of_pixel[at]
        full = self.code[upper] != empty
        return upper[full], self.of_pixel[at[full] + self._width]


def connected_roots(count: int, a: IntArray, b: IntArray) -> IntArray:
    """Return, for each of ``count`` items, the lowest one it is connected with by pairs (a, b).

    Trees are hooked onto lower roots and then flattened, over and over, each time for all pairs at
    once (Shiloach and Vishkin 1982, doi:10.1016/0196-6774(82)90008-6).
    """
    parent = np.arange(count, dtype=np.int32)
    while len(a):
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while True:
            above = parent[parent]
            if np.array_equal(above, parent):
                break
            parent = above
        a, b = parent[a], parent[b]
        apart = a != b
        a, b = a[apart], b[apart]
    return parent


def summed(group: IntArray, values: IntArray | FloatArray, count: int) -> FloatArray:
    """Return the sum of ``values`` in each of ``count`` groups; exact for whole numbers < 2⁵³."""
    return np.bincount(group, values, minlength=count).astype(np.float64)


def ragged_positions(starts: IntArray, lengths: IntArray) -> IntArray:
    """Return start, start + 1, … (``length`` of them) for every piece, one after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    positions: IntArray = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return positions
