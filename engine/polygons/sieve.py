"""Minimum mapping unit: regions that are too small join a neighbor before polygons are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .ground import GroundArea
from .runs import BoolArray, FloatArray, IntArray, Runs, connected_roots, summed
from .strips import Strip

_Pairs = tuple[IntArray, IntArray]


@dataclass(frozen=True)
class RegionGraph:
    """Regions in the order of their first pixel, and the borders between them.

    ``code`` and ``area`` (n,) in units of GroundArea; ``a`` < ``b`` (m,) are the regions on both
    sides of a border and ``border`` (m,) its length in pixel edges.
    """

    code: IntArray
    area: FloatArray
    a: IntArray
    b: IntArray
    border: IntArray


def merge_small_regions(graph: RegionGraph, smallest: float) -> IntArray:
    """Return the code that each region has once none is smaller than ``smallest``.

    Works in rounds. In each, every region that is too small joins the neighbor with which it shares
    the longest border (then the larger, then the lower code, then the one that begins first),
    unless one of its neighbors is too small as well and smaller (or as small and begins before):
    that one goes first. Regions of one code that come to touch are one region from the next round
    on. A region without neighbors stays.
    """
    region = np.arange(len(graph.code), dtype=np.int64)
    graph = _relevant(graph, smallest)
    while len(graph.a):
        source, target = _joining(graph, smallest)
        code = graph.code.copy()
        code[source] = code[target]
        same = code[graph.a] == code[graph.b]
        root = connected_roots(
            len(code),
            np.concatenate([source, graph.a[same]]),
            np.concatenate([target, graph.b[same]]),
        )
        is_root = root == np.arange(len(root))
        number = (np.cumsum(is_root) - 1)[root]
        region = number[region]
        graph = _relevant(
            RegionGraph(
                code[is_root],
                summed(number, graph.area, int(is_root.sum())),
                number[graph.a],
                number[graph.b],
                graph.border,
            ),
            smallest,
        )
    return graph.code[region]


def _relevant(graph: RegionGraph, smallest: float) -> RegionGraph:
    """Return the graph with one entry a border, without those that can never matter again.

    Between two regions that are large enough nothing is ever decided.
    """
    small = graph.area < smallest
    low, high = np.minimum(graph.a, graph.b), np.maximum(graph.a, graph.b)
    matters = (low != high) & (small[low] | small[high])
    key, border = summed_pairs(low[matters], high[matters], graph.border[matters])
    return replace(graph, a=key >> 32, b=key & 0xFFFFFFFF, border=border)


def summed_pairs(low: IntArray, high: IntArray, weight: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct pairs as low · 2³² + high, ascending, and their summed weights."""
    key = low.astype(np.int64) << 32 | high
    order = np.argsort(key)
    key, weight = key[order], weight[order]
    begins = np.flatnonzero(np.diff(key, prepend=-1))
    if not len(begins):
        return key, weight
    return key[begins], np.add.reduceat(weight, begins)


def _joining(graph: RegionGraph, smallest: float) -> tuple[IntArray, IntArray]:
    """Return (region, neighbor it joins) for this round."""
    source = np.concatenate([graph.a, graph.b])
    target = np.concatenate([graph.b, graph.a])
    border = np.concatenate([graph.border, graph.border])
    small = graph.area < smallest
    goes_first = small[target] & (
        (graph.area[target] < graph.area[source])
        | ((graph.area[target] == graph.area[source]) & (target < source))
    )
    waits = np.zeros(len(graph.code), dtype=bool)
    waits[source[goes_first]] = True
    ready = np.flatnonzero(small[source] & ~waits[source])
    source, target, border = source[ready], target[ready], border[ready]
    order = np.lexsort((target, graph.code[target], -graph.area[target], -border, source))
    best = order[np.flatnonzero(np.diff(source[order], prepend=-1))]
    return source[best], target[best]


class Sieve:
    """The codes of a map after small regions were merged, given out strip by strip.

    Reads the map twice and keeps a few numbers for each region and each border between regions, not
    for each pixel: about 60 bytes a border while merging, 1 to 4 bytes a region afterwards.
    """

    def __init__(self, empty: int, ground: GroundArea, smallest_m2: float) -> None:
        self._empty = empty
        self._ground = ground
        self._smallest = smallest_m2 / ground.unit_m2
        self._code: IntArray = np.empty(0, dtype=np.int64)
        self._first_of_strip: list[int] = []

    def learn(self, strips: Iterable[Strip]) -> None:
        """Read the map once and decide which regions join which."""
        survey = _Survey(self._empty, self._ground)
        for strip in strips:
            self._first_of_strip.append(survey.count)
            survey.add(strip)
        graph, region = survey.graph()
        self._code = merge_small_regions(graph, self._smallest)[region]

    def apply(self, strips: Iterable[Strip]) -> Iterator[Strip]:
        """Yield the strips, cut exactly as ``learn`` saw them, with the codes after merging."""
        for strip, first in zip(strips, self._first_of_strip):
            runs = Runs(strip.codes)
            piece, _ = _pieces(runs, self._empty)
            full = piece >= 0
            code = runs.code.copy()
            code[full] = self._code[piece[full] + first]
            yield replace(strip, codes=code[runs.of_pixel].reshape(strip.codes.shape))


class _Survey:
    """Pieces of regions, one strip after the other, and how they touch."""

    def __init__(self, empty: int, ground: GroundArea) -> None:
        self.count = 0
        self._empty = empty
        self._ground = ground
        self._code: list[IntArray] = []
        self._area: list[FloatArray] = []
        self._links: list[_Pairs] = []
        self._borders: list[_Pairs] = []
        self._above: _Pairs | None = None

    def add(self, strip: Strip) -> None:
        """Take in the strip below the last one."""
        runs = Runs(strip.codes)
        piece, first_run = _pieces(runs, self._empty)
        full = piece >= 0
        area = self._ground.of_runs(runs.row[full] + strip.row, runs.col[full], runs.length[full])
        self._area.append(summed(piece[full], area, len(first_run)))
        self._code.append(runs.code[first_run])
        piece[full] += self.count
        self._borders.append(_borders(runs, piece))
        of_pixel = piece[runs.of_pixel].reshape(strip.codes.shape)
        if self._above is not None:
            link, border = _across(self._above, (strip.codes[0], of_pixel[0]))
            self._links.append(link)
            self._borders.append(border)
        self._above = strip.codes[-1], of_pixel[-1].copy()
        self.count += len(first_run)

    def graph(self) -> tuple[RegionGraph, IntArray]:
        """Return the regions of the whole map, and the region of every piece."""
        root = connected_roots(self.count, *_joined(self._links))
        is_root = root == np.arange(self.count)
        region = (np.cumsum(is_root) - 1)[root]
        keys, lengths = _joined(self._borders)
        graph = RegionGraph(
            np.concatenate(self._code)[is_root],
            summed(region, np.concatenate(self._area), int(is_root.sum())),
            region[keys >> 32],
            region[keys & 0xFFFFFFFF],
            lengths,
        )
        return graph, region


def _joined(pairs: list[_Pairs]) -> _Pairs:
    empty = np.empty(0, dtype=np.int64)
    first, second = zip((empty, empty), *pairs)
    return np.concatenate(first), np.concatenate(second)


def _pieces(runs: Runs, empty: int) -> tuple[IntArray, IntArray]:
    """Return (piece of every run, first run of every piece): components within one strip."""
    root = connected_roots(len(runs), *runs.links(empty))
    is_root: BoolArray = (root == np.arange(len(runs))) & (runs.code != empty)
    number = np.where(runs.code == empty, -1, (np.cumsum(is_root) - 1)[root])
    return number, np.flatnonzero(is_root)


def _borders(runs: Runs, piece: IntArray) -> tuple[IntArray, IntArray]:
    """Return the borders between the pieces of a strip as keys and lengths."""
    upper, lower, shared = runs.overlaps()
    left = np.flatnonzero(runs.row[1:] == runs.row[:-1])
    one = np.concatenate([piece[upper], piece[left]])
    other = np.concatenate([piece[lower], piece[left + 1]])
    length = np.concatenate([shared, np.ones(len(left), dtype=np.int64)])
    return _between(one, other, length)


def _between(one: IntArray, other: IntArray, length: IntArray) -> tuple[IntArray, IntArray]:
    real = (one >= 0) & (other >= 0) & (one != other)
    one, other = one[real], other[real]
    return summed_pairs(np.minimum(one, other), np.maximum(one, other), length[real])


def _across(
    above: tuple[IntArray, IntArray], below: tuple[IntArray, IntArray]
) -> tuple[tuple[IntArray, IntArray], tuple[IntArray, IntArray]]:
    """Return (pieces of one code that touch across a strip border, borders between the others)."""
    same = (above[0] == below[0]) & (above[1] >= 0) & (below[1] >= 0)
    begins = same & (np.diff(above[1], prepend=-2) != 0) | same & (
        np.diff(below[1], prepend=-2) != 0
    )
    link = above[1][begins], below[1][begins]
    apart = ~same
    border = _between(above[1][apart], below[1][apart], np.ones(int(apart.sum()), dtype=np.int64))
    return link, border
