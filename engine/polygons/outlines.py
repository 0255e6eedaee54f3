"""The corners where outlines turn, branch or cross in one strip of a class map.

A node is a corner of the pixel lattice where an outline turns, branches or crosses another. Rows
run down, so a walk with its region on the right goes east along the region's top edge, then south,
west and north. Directions are numbered in that order, a right turn adds 1.
"""

from __future__ import annotations

import numpy as np

from .runs import IntArray, Runs

EAST, SOUTH, WEST, NORTH = range(4)
NONE = -1


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

    def leaving(self, way: int) -> IntArray:
        """Return the nodes with an edge going ``way`` (SOUTH or NORTH) beyond the strip."""
        edge = (self.edges >> np.uint8(way) & 1).astype(bool)
        return np.flatnonzero(edge & (self.target[:, way] == NONE))
