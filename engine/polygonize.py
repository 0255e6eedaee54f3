"""Polygons of equal code from strips of a class map, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from .arcs import NONE, Arcs, Seam, StripArcs, StripOutlines, strip_arcs
from .chains import chain_positions
from .ground import GroundArea
from .rings import Rings, close_rings
from .runs import FloatArray, IntArray, Runs, connected_roots, ragged_positions, summed
from .strips import Strip

_NO_CONFIDENCE = 255


@dataclass(frozen=True)
class Regions:
    """4-connected regions of equal code, as columns of one table.

    ``area`` is in units of ``GroundArea.unit_m2``; ``confidence`` is the sum of percent over the
    ``confident`` pixels, those that have one. All sums are whole numbers, so they do not depend on
    the strips they were gathered from.
    """

    code: IntArray
    pixels: FloatArray
    area: FloatArray
    confidence: FloatArray
    confident: FloatArray

    def __len__(self) -> int:
        return len(self.code)

    @classmethod
    def none(cls) -> Regions:
        """Return the empty table."""
        return cls(np.empty(0, dtype=np.int64), *(np.empty(0) for _ in range(4)))

    @classmethod
    def joined(cls, parts: list[Regions]) -> Regions:
        """Return the regions of all parts, one after the other."""
        return cls(
            *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls))
        )

    def pick(self, which: IntArray) -> Regions:
        """Return the regions ``which`` (indices or mask) in that order."""
        return Regions(*(getattr(self, column.name)[which] for column in fields(self)))


@dataclass(frozen=True)
class PolygonBatch:
    """Complete polygons: one region and its rings each, outer ring first, in pixel corners."""

    regions: Regions
    rings: Rings


def polygonize(
    strips: Iterable[Strip], width: int, height: int, empty: int, ground: GroundArea
) -> Iterator[PolygonBatch]:
    """Yield the 4-connected regions of the map as polygons, as soon as each is complete.

    A vertex stands wherever an outline turns and wherever more than two regions meet, so the
    polygons are a valid coverage (neighbors share their vertices). Neither polygons nor their
    vertices depend on the height of the strips; only the order of the polygons does. Memory holds
    one strip and the outlines of the regions that reach its last row.
    """
    front = _Front(width, empty, ground)
    for strip in strips:
        yield front.advance(strip, strip.row + len(strip.codes) == height)


class _Front:
    """The regions that reach the last row read so far, and the arcs of their outlines."""

    def __init__(self, width: int, empty: int, ground: GroundArea) -> None:
        self._empty = empty
        self._ground = ground
        self._codes: IntArray | None = None  # (width + 2,) last pixel row
        self._region_of_pixel: IntArray = np.full(width + 2, NONE, dtype=np.int64)
        self._regions = Regions.none()
        self._arcs = Arcs.none()
        self._seam = Seam.empty(width + 1)

    def advance(self, strip: Strip, is_last: bool) -> PolygonBatch:
        """Take in the next strip; return the polygons that are complete with it."""
        codes = self._framed(strip.codes, is_last)
        runs = Runs(codes)
        region_of_run, regions, kept = self._grow(runs, strip)
        part = strip_arcs(StripOutlines(runs, region_of_run, self._empty), strip.row)
        arcs = _renumber(self._arcs, kept).append(_shift(part.arcs, len(self._arcs)))
        arcs, seam = _join(arcs, self._seam, part, len(self._arcs), kept)

        region_of_pixel = region_of_run[runs.of_pixel.reshape(codes.shape)[-1]]
        is_open = np.zeros(len(regions) + 1, dtype=bool)
        is_open[region_of_pixel] = True
        is_open = is_open[:-1]
        batch = _complete(regions, arcs, ~is_open)
        self._keep(regions, arcs, seam, is_open)
        new_number = _numbers(is_open)
        self._region_of_pixel = new_number[region_of_pixel]
        self._codes = codes[-1]
        return batch

    def _framed(self, codes: IntArray, is_last: bool) -> IntArray:
        """Return the rows with the last row before them and nodata around the map."""
        height, width = codes.shape
        framed = np.full((height + 1 + is_last, width + 2), self._empty, dtype=codes.dtype)
        framed[1 : height + 1, 1:-1] = codes
        if self._codes is not None:
            framed[0] = self._codes
        return framed

    def _grow(self, runs: Runs, strip: Strip) -> tuple[IntArray, Regions, IntArray]:
        """Join the strip's runs with the open regions.

        Returns (region of every run, regions, new number of every region that was open).
        """
        known = len(self._regions)
        upper, lower = runs.links(self._empty)
        carried = np.flatnonzero((runs.row == 0) & (runs.code != self._empty))
        before = self._region_of_pixel[runs.col[carried]]
        root = connected_roots(
            known + len(runs),
            np.concatenate([before, upper + known]),
            np.concatenate([carried + known, lower + known]),
        )
        counted = np.ones(known + len(runs), dtype=bool)
        counted[known:] = runs.code != self._empty
        is_root = counted & (root == np.arange(len(root)))
        number = np.where(counted, (np.cumsum(is_root) - 1)[root], NONE)
        sums = self._sums(runs, strip)
        regions = Regions(
            np.concatenate([self._regions.code, runs.code])[is_root].astype(np.int64),
            *(summed(number[counted], column[counted], int(is_root.sum())) for column in sums),
        )
        return number[known:], regions, number[:known]

    def _sums(self, runs: Runs, strip: Strip) -> list[FloatArray]:
        """Return pixels, area, confidence and confident pixels of the open regions and the runs."""
        fresh = (runs.row > 0) & (runs.code != self._empty)
        row, col, length = runs.row[fresh], runs.col[fresh], runs.length[fresh]
        columns = [np.zeros(len(runs)) for _ in range(4)]
        columns[0][fresh] = length
        columns[1][fresh] = self._ground.of_runs(row - 1 + strip.row, col - 1, length)
        if strip.confidence is not None and len(row):
            has = strip.confidence != _NO_CONFIDENCE
            percent = np.where(has, strip.confidence, 0)
            begin = (row - 1) * strip.codes.shape[1] + col - 1
            for column, values in ((2, percent), (3, has)):
                total = np.zeros(values.size + 1, dtype=np.int64)
                np.cumsum(values.reshape(-1), out=total[1:])
                columns[column][fresh] = total[begin + length] - total[begin]
        old = self._regions
        return [
            np.concatenate([before, column])
            for before, column in zip(
                (old.pixels, old.area, old.confidence, old.confident), columns
            )
        ]

    def _keep(self, regions: Regions, arcs: Arcs, seam: Seam, is_open: IntArray) -> None:
        """Drop everything that belongs to complete regions, and number the rest anew."""
        self._regions = regions.pick(is_open)
        stays = is_open[arcs.region]
        number = _numbers(stays)
        rest = arcs.pick(np.flatnonzero(stays))
        region_number = _numbers(is_open)
        self._arcs = replace(
            rest,
            region=region_number[rest.region],
            rival=region_number[rest.rival],
            hug=number[rest.hug],
            cross=number[rest.cross],
        )
        self._seam = Seam(
            number[seam.down],
            number[seam.up_hug],
            number[seam.up_cross],
            region_number[seam.up_rival],
        )


def _numbers(stays: IntArray) -> IntArray:
    """Return new numbers for those that stay, NONE for the others and (at the end) for NONE."""
    number = np.full(len(stays) + 1, NONE, dtype=np.int64)
    number[:-1][stays] = np.arange(int(stays.sum()))
    return number


def _renumber(arcs: Arcs, kept: IntArray) -> Arcs:
    """Return the arcs with the regions' new numbers (open regions may have become one)."""
    number = np.append(kept, NONE)
    return replace(arcs, region=number[arcs.region], rival=number[arcs.rival])


def _shift(arcs: Arcs, by: int) -> Arcs:
    """Return the arcs with links that fit behind ``by`` others."""
    return replace(arcs, hug=_moved(arcs.hug, by), cross=_moved(arcs.cross, by))


def _moved(link: IntArray, by: int) -> IntArray:
    return np.where(link == NONE, NONE, link + by)


def _join(arcs: Arcs, seam: Seam, part: StripArcs, by: int, kept: IntArray) -> tuple[Arcs, Seam]:
    """Link the arcs across the border above; return them and the border below."""
    hug, cross, rival = arcs.hug, arcs.cross, arcs.rival
    # Walks that came down the border go on in this strip.
    column = part.first_node
    coming = seam.down[column]
    real = coming != NONE
    hug[coming[real]] = _moved(part.entering[0], by)[real]
    cross[coming[real]] = _moved(part.entering[1], by)[real]
    rival[coming[real]] = part.entering[2][real]
    # Walks that leave upward go on where the strip above said.
    arc, column = part.leaving_up
    hug[arc + by], cross[arc + by] = seam.up_hug[column], seam.up_cross[column]
    rival[arc + by] = np.append(kept, NONE)[seam.up_rival[column]]

    below = Seam(
        seam.down.copy(),
        seam.up_hug.copy(),
        seam.up_cross.copy(),
        np.append(kept, NONE)[seam.up_rival],
    )
    below.down[part.first_node] = NONE
    for column_state in (below.down, below.up_hug, below.up_cross, below.up_rival):
        column_state[part.last_node] = NONE
    arc, column = part.leaving_down
    below.down[column] = arc + by
    below.up_hug[part.last_node] = _moved(part.returning[0], by)
    below.up_cross[part.last_node] = _moved(part.returning[1], by)
    below.up_rival[part.last_node] = part.returning[2]
    return replace(arcs, hug=hug, cross=cross, rival=rival), below


def _complete(regions: Regions, arcs: Arcs, is_complete: IntArray) -> PolygonBatch:
    """Return the complete regions with their arcs closed into rings."""
    mine = np.flatnonzero(is_complete[arcs.region])
    number = _numbers(is_complete[arcs.region])
    picked = arcs.pick(mine)
    following = np.where(picked.rival == picked.region, picked.cross, picked.hug)
    leader, position = chain_positions(number[following])
    rings = close_rings(picked, leader, position, _numbers(is_complete)[picked.region])
    return _ordered(regions.pick(is_complete), rings)


def _ordered(regions: Regions, rings: Rings) -> PolygonBatch:
    """Return the polygons in the order of their first vertex, row by row."""
    if not len(rings):
        return PolygonBatch(regions, rings)
    first = np.cumsum(rings.size) - rings.size
    outer = np.flatnonzero(np.diff(rings.polygon, prepend=-1))
    order = np.lexsort((rings.x[first[outer]], rings.y[first[outer]]))
    count = np.diff(outer, append=len(rings))
    which = ragged_positions(outer[order], count[order])
    at = ragged_positions(first[which], rings.size[which])
    polygon = np.repeat(np.arange(len(order)), count[order])
    return PolygonBatch(
        regions.pick(order), Rings(polygon, rings.size[which], rings.x[at], rings.y[at])
    )
