"""Joining the arcs of one strip with those of the strips above."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from .arcs import Arcs, StripArcs
from .outlines import NONE
from .runs import BoolArray, IntArray


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


@dataclass(frozen=True)
class OpenArcs:
    """The arcs of all regions that are not complete, and the border below which they go on."""

    arcs: Arcs
    seam: Seam

    def join(self, part: StripArcs, kept: IntArray) -> OpenArcs:
        """Return these arcs and those of the next strip, linked across the border between them.

        ``kept`` has the new number of every region (open regions may have become one).
        """
        number = np.append(kept, NONE)
        by = len(self.arcs)
        arcs = replace(
            self.arcs, region=number[self.arcs.region], rival=number[self.arcs.rival]
        ).append(
            replace(part.arcs, hug=_moved(part.arcs.hug, by), cross=_moved(part.arcs.cross, by))
        )
        seam = replace(self.seam, up_rival=number[self.seam.up_rival])
        _link(arcs, seam, part, by)
        return OpenArcs(arcs, _below(seam, part, by))

    def keep(self, is_open: BoolArray) -> OpenArcs:
        """Return what belongs to the open regions, with regions and arcs numbered anew."""
        stays = is_open[self.arcs.region]
        rest = self.arcs.pick(np.flatnonzero(stays))
        arc, region = new_numbers(stays), new_numbers(is_open)
        arcs = replace(
            rest,
            region=region[rest.region],
            rival=region[rest.rival],
            hug=arc[rest.hug],
            cross=arc[rest.cross],
        )
        seam = self.seam
        return OpenArcs(
            arcs,
            Seam(arc[seam.down], arc[seam.up_hug], arc[seam.up_cross], region[seam.up_rival]),
        )


def new_numbers(stays: BoolArray) -> IntArray:
    """Return new numbers for those that stay, NONE for the others and (at the end) for NONE."""
    number = np.full(len(stays) + 1, NONE, dtype=np.int64)
    number[:-1][stays] = np.arange(int(stays.sum()))
    return number


def _moved(link: IntArray, by: int) -> IntArray:
    return np.where(link == NONE, NONE, link + by)


def _link(arcs: Arcs, seam: Seam, part: StripArcs, by: int) -> None:
    """Write into ``arcs`` how those that cross the border ``seam`` go on."""
    # Walks that came down the border go on in the new strip.
    coming = seam.down[part.first_node]
    real = coming != NONE
    hug, cross, rival = part.entering
    arcs.hug[coming[real]] = _moved(hug, by)[real]
    arcs.cross[coming[real]] = _moved(cross, by)[real]
    arcs.rival[coming[real]] = rival[real]
    # Walks that leave upward go on where the strip above said.
    arc, column = part.leaving_up
    arcs.hug[arc + by] = seam.up_hug[column]
    arcs.cross[arc + by] = seam.up_cross[column]
    arcs.rival[arc + by] = seam.up_rival[column]


def _below(seam: Seam, part: StripArcs, by: int) -> Seam:
    """Return the border below the new strip; edges that only pass through it stay as they are."""
    below = Seam(*(getattr(seam, column.name).copy() for column in fields(seam)))
    below.down[part.first_node] = NONE
    arc, column = part.leaving_down
    below.down[part.last_node] = NONE
    below.down[column] = arc + by
    hug, cross, rival = part.returning
    below.up_hug[part.last_node] = _moved(hug, by)
    below.up_cross[part.last_node] = _moved(cross, by)
    below.up_rival[part.last_node] = rival
    return below
