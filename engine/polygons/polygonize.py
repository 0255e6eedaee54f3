"""Polygons of equal code from strips of a class map, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .arcs import Arcs, strip_arcs
from .chains import chain_positions
from .ground import GroundArea
from .outlines import NONE, StripOutlines
from .regions import Regions
from .rings import Rings, close_rings
from .runs import BoolArray, FloatArray, IntArray, Runs, connected_roots, ragged_positions, summed
from .seams import OpenArcs, Seam, new_numbers
from .strips import Strip

_NO_CONFIDENCE = 255


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
        self._open = OpenArcs(Arcs.none(), Seam.empty(width + 1))

    def advance(self, strip: Strip, is_last: bool) -> PolygonBatch:
        """Take in the next strip; return the polygons that are complete with it."""
        codes = self._framed(strip.codes, is_last)
        runs = Runs(codes)
        region_of_run, regions, kept = self._grow(runs, strip)
        outlines = StripOutlines(runs, region_of_run, self._empty)
        joined = self._open.join(strip_arcs(outlines, strip.row), kept)

        region_of_pixel = region_of_run[runs.of_pixel.reshape(codes.shape)[-1]]
        is_open = np.zeros(len(regions), dtype=bool)
        is_open[region_of_pixel[region_of_pixel != NONE]] = True
        batch = _complete(regions, joined.arcs, ~is_open)
        self._regions = regions.pick(is_open)
        self._open = joined.keep(is_open)
        self._region_of_pixel = new_numbers(is_open)[region_of_pixel]
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


def _complete(regions: Regions, arcs: Arcs, is_complete: BoolArray) -> PolygonBatch:
    """Return the complete regions with their arcs closed into rings."""
    mine = np.flatnonzero(is_complete[arcs.region])
    number = new_numbers(is_complete[arcs.region])
    picked = arcs.pick(mine)
    following = np.where(picked.rival == picked.region, picked.cross, picked.hug)
    leader, position = chain_positions(number[following])
    rings = close_rings(picked, leader, position, new_numbers(is_complete)[picked.region])
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
