"""Boundary arcs of the regions in one strip: directed pieces of outline, region on the right."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from .chains import chain_positions
from .outlines import NONE, NORTH, SOUTH, StripOutlines
from .runs import BoolArray, IntArray, ragged_positions


@dataclass(frozen=True)
class Arcs:
    """Arcs with their vertices, as columns of one table.

    ``region`` is on the right of the arc. ``hug`` is the arc that goes on where this one ends, NONE
    where that is not known yet. An arc also ends where two pixels of one code meet at a corner
    only. If ``region`` and ``rival``, the region of the other pixel, turn out to be one, it goes on
    with ``cross``, so that no ring touches itself; else with ``hug``, which keeps 4-connectivity.
    ``size`` vertices of each arc follow each other in ``x`` and ``y`` (pixel corners), without the
    vertex at which the next arc begins.
    """

    region: IntArray
    hug: IntArray
    cross: IntArray
    rival: IntArray
    size: IntArray
    x: IntArray
    y: IntArray

    def __len__(self) -> int:
        return len(self.region)

    @classmethod
    def none(cls) -> Arcs:
        """Return the empty table."""
        return cls(*(np.empty(0, dtype=np.int64) for _ in fields(cls)))

    def pick(self, which: IntArray) -> Arcs:
        """Return the arcs ``which`` (indices) in that order; links are left as they are."""
        first = np.cumsum(self.size) - self.size
        at = ragged_positions(first[which], self.size[which])
        return Arcs(
            self.region[which],
            self.hug[which],
            self.cross[which],
            self.rival[which],
            self.size[which],
            self.x[at],
            self.y[at],
        )

    def append(self, other: Arcs) -> Arcs:
        """Return both tables, one after the other; links are left as they are."""
        return Arcs(
            *(
                np.concatenate([getattr(self, column.name), getattr(other, column.name)])
                for column in fields(self)
            )
        )


@dataclass(frozen=True)
class StripArcs:
    """The arcs of one strip, numbered from 0, and how they meet the strips above and below."""

    arcs: Arcs
    first_node: IntArray
    """Columns (k,) that an edge enters from above and whose first node lies in this strip."""
    entering: tuple[IntArray, IntArray, IntArray]
    """(hug, cross, rival) for walks that come down those columns; NONE where region is nodata."""
    leaving_up: tuple[IntArray, IntArray]
    """(arc, column) of the arcs that leave northward."""
    leaving_down: tuple[IntArray, IntArray]
    """(arc, column) of the arcs that leave southward."""
    last_node: IntArray
    """Columns (k,) that an edge leaves downward from a node of this strip."""
    returning: tuple[IntArray, IntArray, IntArray]
    """(hug, cross, rival) for walks that come up those columns."""


def strip_arcs(outlines: StripOutlines, row: int) -> StripArcs:
    """Chain the half-edges of a strip into arcs; its first lattice row is ``row`` of the map."""
    halves = _half_edges(outlines)
    chains = _chains(halves)
    last, ends = halves.node[chains.last], halves.direction[chains.last]
    start = chains.order[chains.begin]
    arcs = Arcs(
        outlines.region[halves.node[start], halves.direction[start]],
        chains.arc[halves.hug[chains.last]],
        chains.arc[halves.cross[chains.last]],
        halves.rival[chains.last],
        chains.size,
        outlines.col[halves.node[chains.order]],
        outlines.row[halves.node[chains.order]] + row,
    )
    goes_out = ~halves.is_inside[chains.last]
    up, down = (np.flatnonzero(goes_out & (ends == way)) for way in (NORTH, SOUTH))
    entered, returned = outlines.leaving(NORTH), outlines.leaving(SOUTH)
    return StripArcs(
        arcs,
        outlines.col[entered],
        _onward(outlines, chains, halves, entered, SOUTH),
        (up, outlines.col[last[up]]),
        (down, outlines.col[last[down]]),
        outlines.col[returned],
        _onward(outlines, chains, halves, returned, NORTH),
    )


@dataclass(frozen=True)
class _HalfEdges:
    """The half-edges with a region on their right, and how walks along them go on.

    ``hug`` and ``cross`` are numbers of half-edges, NONE for those that leave the strip; ``number``
    (4 · nodes + 1,) gives them for 4 · node + direction, and NONE for its last entry, NONE.
    """

    node: IntArray
    direction: IntArray
    is_inside: BoolArray
    hug: IntArray
    cross: IntArray
    rival: IntArray
    number: IntArray


def _half_edges(outlines: StripOutlines) -> _HalfEdges:
    exists = ((outlines.edges[:, None] >> np.arange(4, dtype=np.uint8)) & 1).astype(bool)
    exists &= outlines.region >= 0
    half = np.flatnonzero(exists)
    number = np.full(exists.size + 1, NONE, dtype=np.int64)
    number[half] = np.arange(len(half))
    node, direction = half >> 2, half & 3
    target = outlines.target[node, direction]
    is_inside = target >= 0
    hug, cross, rival = (np.full(len(half), NONE, dtype=np.int64) for _ in range(3))
    to_hug, to_cross, rival[is_inside] = outlines.arrive(target[is_inside], direction[is_inside])
    hug[is_inside], cross[is_inside] = number[to_hug], number[to_cross]
    return _HalfEdges(node, direction, is_inside, hug, cross, rival, number)


@dataclass(frozen=True)
class _Chains:
    """Half-edges in the order of arcs: arc k is ``order[begin[k]]`` … ``order[last]``."""

    order: IntArray
    begin: IntArray
    size: IntArray
    last: IntArray
    arc: IntArray
    """(halves + 1,) the arc of every half-edge, and NONE for NONE."""


def _chains(halves: _HalfEdges) -> _Chains:
    """Chain half-edges while it is certain how they go on."""
    count = len(halves.node)
    certain = halves.hug == halves.cross
    leader, position = chain_positions(np.where(certain, halves.hug, NONE))
    first = np.flatnonzero(position == 0)
    arc = np.full(count + 1, NONE, dtype=np.int64)
    arc[first] = np.arange(len(first))
    arc[:-1] = arc[leader]
    size = np.bincount(arc[:-1], minlength=len(first))
    begin = np.cumsum(size) - size
    order = np.empty(count, dtype=np.int64)
    order[begin[arc[:-1]] + position] = np.arange(count)
    return _Chains(order, begin, size, order[begin + size - 1], arc)


def _onward(
    outlines: StripOutlines, chains: _Chains, halves: _HalfEdges, node: IntArray, arriving: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Return (hug, cross, rival) as arcs for walks that reach ``node`` from beyond the strip."""
    hug, cross, rival = outlines.arrive(node, np.full(len(node), arriving))
    return chains.arc[halves.number[hug]], chains.arc[halves.number[cross]], rival
