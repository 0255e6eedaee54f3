"""Boundary arcs of the regions in one strip: directed pieces of outline, region on the right.

A node is a corner of the pixel lattice where an outline turns, branches or crosses another. Rows
run down, so a walk with the region on its right goes east along the region's top edge, then south,
west and north. Directions are numbered in that order, a right turn adds 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from .chains import chain_positions
from .runs import IntArray, Runs, ragged_positions

EAST, SOUTH, WEST, NORTH = range(4)
NONE = -1


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
class Seam:
    """What crosses a border between strips, one entry for each lattice column (width + 1).

    ``down`` is the arc that leaves southward there. ``up_hug``, ``up_cross`` and ``up_rival`` say
    how an arc that comes northward goes on. NONE where there is nothing.
    """

    down: IntArray
    up_hug: IntArray
    up_cross: IntArray
    up_rival: IntArray

    @classmethod
    def empty(cls, columns: int) -> Seam:
        """Return a border that nothing crosses."""
        return cls(*(np.full(columns, NONE, dtype=np.int64) for _ in range(4)))


def _turns() -> IntArray:
    """Return the direction in which to leave, by edges at the node (bit 1 << d) and arrival.

    Right before straight before left: the walk hugs its region.
    """
    table = np.zeros((16, 4), dtype=np.int64)
    for edges in range(16):
        for arriving in range(4):
            options = [(arriving + turn) % 4 for turn in (1, 0, 3)]
            table[edges, arriving] = next((d for d in options if edges >> d & 1), 0)
    return table


_TURNS = _turns()


class StripOutlines:
    """The nodes of a strip, the half-edges that leave them, and how each goes on."""

    def __init__(self, runs: Runs, region_of_run: IntArray, empty: int) -> None:
        """Find the nodes between the pixel rows of ``runs``, whose outer columns are nodata."""
        beside, below = runs.starts[:, 1:], runs.breaks
        north, south = beside[:-1], beside[1:]
        west, east = below[:, :-1], below[:, 1:]
        node = (north ^ south) | (west ^ east) | (north & west)
        self.height, self.columns = node.shape
        at = np.flatnonzero(node)
        self.row = at // self.columns
        self.col = at - self.row * self.columns
        self.edges = np.zeros(len(at), dtype=np.uint8)
        for direction, mask in ((EAST, east), (SOUTH, south), (WEST, west), (NORTH, north)):
            self.edges |= mask[self.row, self.col].astype(np.uint8) << np.uint8(direction)
        pixel = at + self.row  # pixel rows are one longer than lattice rows
        width = self.columns + 1
        # (n, 4): region to the right of the half-edge that leaves east, south, west, north
        corner = runs.of_pixel[
            pixel[:, None] + np.array([width + 1, width, 0, 1], dtype=np.int64)[None, :]
        ]
        self.region = region_of_run[corner]
        self.code = runs.code[corner]
        self.target = self._targets()
        self._meet(empty)

    def _targets(self) -> IntArray:
        """Return (n, 4), the node reached in each direction; NONE beyond the strip or no edge."""
        count = len(self.row)
        number = np.arange(count)
        order = np.argsort(
            self.col.astype(np.uint16) if self.columns < 2**16 else self.col, kind="stable"
        )
        same = self.col[order[1:]] == self.col[order[:-1]]
        target = np.full((count, 4), NONE, dtype=np.int64)
        target[:, EAST], target[:, WEST] = number + 1, number - 1
        target[order[:-1][same], SOUTH] = order[1:][same]
        target[order[1:][same], NORTH] = order[:-1][same]
        for direction in range(4):
            target[(self.edges >> direction & 1) == 0, direction] = NONE
        return target

    def _meet(self, empty: int) -> None:
        """Find the nodes where two pixels of one code meet at a corner only."""
        crossing = self.edges == 15
        code = self.code
        # on the right of east, south, west, north: the pixels south-east, south-west, north-west,
        # north-east
        self._falling = crossing & (code[:, EAST] == code[:, WEST]) & (code[:, EAST] != empty)
        self._rising = crossing & (code[:, SOUTH] == code[:, NORTH]) & (code[:, SOUTH] != empty)

    def arrive(self, node: IntArray, arriving: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return (hug, cross, rival) for walks that reach ``node`` going ``arriving``.

        ``hug`` and ``cross`` are half-edges (4 · node + direction), the same unless the node is a
        meeting of two pixels of one code; ``rival`` is the other pixel's region there, else NONE.
        """
        leave = _TURNS[self.edges[node], arriving]
        # Going south or north, the pixel on the right is on the falling diagonal.
        falls = (arriving == SOUTH) | (arriving == NORTH)
        meets = np.where(falls, self._falling[node], self._rising[node])
        across = np.where(meets, (arriving + 3) % 4, leave)
        rival = np.where(meets, self.region[node, across], NONE)
        return 4 * node + leave, 4 * node + across, rival


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
    exists = ((outlines.edges[:, None] >> np.arange(4, dtype=np.uint8)) & 1).astype(bool)
    exists &= outlines.region >= 0
    half = np.flatnonzero(exists)
    number = np.full(exists.size + 1, NONE, dtype=np.int64)  # the last entry answers for NONE
    number[half] = np.arange(len(half))
    node, direction = half >> 2, half & 3

    target = outlines.target[node, direction]
    inside = target >= 0
    hug, cross = (np.full(len(half), NONE, dtype=np.int64) for _ in range(2))
    rival = hug.copy()
    hug[inside], cross[inside], rival[inside] = outlines.arrive(target[inside], direction[inside])
    certain = hug == cross
    leader, position = chain_positions(np.where(certain & inside, number[hug], NONE))

    first = np.flatnonzero(position == 0)
    arc_of = np.empty(len(half) + 1, dtype=np.int64)
    arc_of[first] = np.arange(len(first))
    arc_of[:-1] = arc_of[leader]
    arc_of[-1] = NONE
    size = np.bincount(arc_of[:-1], minlength=len(first))
    begin = np.cumsum(size) - size
    order = np.empty(len(half), dtype=np.int64)
    order[begin[arc_of[:-1]] + position] = np.arange(len(half))
    last = order[begin + size - 1]

    def arc_at(half_edge: IntArray) -> IntArray:
        return arc_of[number[half_edge]]

    arcs = Arcs(
        outlines.region[node[first], direction[first]],
        arc_at(hug[last]),
        arc_at(cross[last]),
        rival[last],
        size,
        outlines.col[node[order]],
        outlines.row[node[order]] + row,
    )
    up, down = (np.flatnonzero(~inside[last] & (direction[last] == way)) for way in (NORTH, SOUTH))
    entered, returned = (_open_columns(outlines, way) for way in (NORTH, SOUTH))
    return StripArcs(
        arcs,
        outlines.col[entered],
        _as_arcs(outlines, entered, SOUTH, arc_at),
        (up, outlines.col[node[last[up]]]),
        (down, outlines.col[node[last[down]]]),
        outlines.col[returned],
        _as_arcs(outlines, returned, NORTH, arc_at),
    )


def _open_columns(outlines: StripOutlines, way: int) -> IntArray:
    """Return the nodes with an edge going ``way`` beyond the strip."""
    edge = (outlines.edges >> np.uint8(way) & 1).astype(bool)
    return np.flatnonzero(edge & (outlines.target[:, way] == NONE))


def _as_arcs(
    outlines: StripOutlines, node: IntArray, arriving: int, arc_at: Callable[[IntArray], IntArray]
) -> tuple[IntArray, IntArray, IntArray]:
    hug, cross, rival = outlines.arrive(node, np.full(len(node), arriving))
    return arc_at(hug), arc_at(cross), rival
