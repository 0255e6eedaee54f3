"""Closed rings on the pixel lattice, one canonical form for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arcs import Arcs
from .runs import IntArray, ragged_positions


@dataclass(frozen=True)
class Rings:
    """Rings ordered by polygon, the outer ring of each first.

    ``polygon`` (r,) ascending, ``size`` (r,) vertices of each ring (the first is not repeated),
    ``x`` and ``y`` all of their vertices in pixel corners. Each ring starts at its uppermost,
    then leftmost vertex and has its polygon on the right as rows run down.
    """

    polygon: IntArray
    size: IntArray
    x: IntArray
    y: IntArray

    def __len__(self) -> int:
        return len(self.size)


def close_rings(arcs: Arcs, leader: IntArray, position: IntArray, polygon: IntArray) -> Rings:
    """Return the rings that the arcs form; polygons are numbered anew by their first vertex.

    ``leader`` and ``position`` say which arcs follow each other, ``polygon`` whose each arc is.
    """
    order = np.lexsort((position, leader))
    arcs = arcs.pick(order)
    begins = np.flatnonzero(position[order] == 0)
    if not len(begins):
        return Rings(polygon, arcs.size, arcs.x, arcs.y)
    size = np.add.reduceat(arcs.size, begins)
    owner = polygon[order][begins]
    first = np.cumsum(size) - size
    turn = _start(arcs.x, arcs.y, first, size)
    outer = _twice_area(arcs.x, arcs.y, first, size) > 0
    start_y, start_x = arcs.y[first + turn], arcs.x[first + turn]
    rank = np.lexsort((start_x, start_y, ~outer, owner))
    at = ragged_positions(np.zeros(len(rank), dtype=np.int64), size[rank])
    wrap = np.repeat(size[rank], size[rank])
    at += np.repeat(turn[rank], size[rank])
    at = np.where(at >= wrap, at - wrap, at) + np.repeat(first[rank], size[rank])
    return Rings(owner[rank], size[rank], arcs.x[at], arcs.y[at])


def _start(x: IntArray, y: IntArray, first: IntArray, size: IntArray) -> IntArray:
    """Return the place in each ring of its uppermost, then leftmost vertex."""
    key = y * (int(x.max()) + 1) + x
    lowest = np.minimum.reduceat(key, first)
    hit = np.flatnonzero(key == np.repeat(lowest, size))
    ring = np.searchsorted(first, hit, side="right") - 1
    place = np.zeros(len(first), dtype=np.int64)
    place[ring[::-1]] = (hit - first[ring])[::-1]
    return place


def _twice_area(x: IntArray, y: IntArray, first: IntArray, size: IntArray) -> IntArray:
    """Return twice the signed area: positive where the region on the right is inside the ring."""
    last = first + size - 1
    next_x, next_y = np.append(x[1:], 0), np.append(y[1:], 0)
    next_x[last], next_y[last] = x[first], y[first]
    doubled: IntArray = np.add.reduceat(x * next_y - next_x * y, first)
    return doubled
