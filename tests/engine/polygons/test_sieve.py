"""The minimum mapping unit, against a literal implementation on pixels."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from scipy import ndimage

from panloom.engine.grid import Grid
from panloom.engine.polygons.ground import GroundArea
from panloom.engine.polygons.sieve import Sieve
from panloom.engine.polygons.strips import Strip


def _sieved(codes, smallest, rows):
    height, width = codes.shape
    strips = [Strip(r, codes[r : r + rows], None) for r in range(0, height, rows)]
    sieve = Sieve(0, GroundArea(Grid(None, Affine.identity(), width, height)), smallest)
    sieve.learn(strips)
    return np.concatenate([strip.codes for strip in sieve.apply(strips)])


def _regions(codes):
    """Label the 4-connected regions in the order of their first pixel, from 1; nodata is 0."""
    labels = np.zeros(codes.shape, dtype=int)
    offset = 0
    for code in np.unique(codes[codes != 0]):
        part, count = ndimage.label(codes == code)
        labels[part > 0] = part[part > 0] + offset
        offset += count
    first = sorted(np.argmax(labels.ravel() == k) for k in range(1, offset + 1))
    ordered = np.zeros_like(labels)
    for number, pixel in enumerate(first, start=1):
        ordered[labels == labels.ravel()[pixel]] = number
    return ordered


def _borders(labels):
    """Shared pixel edges: {region: {neighbor: edges}}."""
    borders: dict[int, dict[int, int]] = {}
    for one, other in (
        (labels[1:], labels[:-1]),
        (labels[:, 1:], labels[:, :-1]),
    ):
        for a, b in zip(one.ravel().tolist(), other.ravel().tolist()):
            if a and b and a != b:
                for x, y in ((a, b), (b, a)):
                    borders.setdefault(x, {}).setdefault(y, 0)
                    borders[x][y] += 1
    return borders


def _sieved_literally(codes, smallest):
    codes = codes.copy()
    while True:
        labels = _regions(codes)
        borders = _borders(labels)
        size = np.bincount(labels.ravel())
        code = {k: int(codes[labels == k][0]) for k in range(1, labels.max() + 1)}
        changes = {}
        for region in range(1, labels.max() + 1):
            around = borders.get(region, {})
            if size[region] >= smallest or not around:
                continue
            small = [n for n in around if size[n] < smallest]
            if any((size[n], n) < (size[region], region) for n in small):
                continue
            changes[region] = max(around, key=lambda n: (around[n], size[n], -code[n], -n))
        if not changes:
            return codes
        for region, neighbor in changes.items():
            codes[labels == region] = code[neighbor]


@pytest.mark.parametrize("seed", range(60))
def test_merging_is_that_of_the_literal_rule_for_any_strips(seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, rng.integers(3, 6), rng.integers(1, 14, 2)).astype(np.uint8)
    smallest = int(rng.integers(1, 12))
    expected = _sieved_literally(codes, smallest)
    for rows in (1, 2, 5, len(codes)):
        assert np.array_equal(_sieved(codes, smallest, rows), expected)


def test_no_region_with_a_neighbor_stays_too_small_and_nodata_stays():
    rng = np.random.default_rng(5)
    codes = np.kron(rng.integers(0, 5, (12, 12)), np.ones((4, 4), dtype=int)).astype(np.uint8)
    codes[rng.random(codes.shape) < 0.1] = 0
    merged = _sieved(codes, 40, 7)
    labels = _regions(merged)
    sizes = np.bincount(labels.ravel())
    alone = {k for k in range(1, labels.max() + 1) if k not in _borders(labels)}
    assert all(sizes[k] >= 40 or k in alone for k in range(1, labels.max() + 1))
    assert alone
    assert np.array_equal(merged == 0, codes == 0)


@pytest.mark.parametrize(
    ("before", "smallest", "after"),
    [
        ("1112 1332 1112", 3, "1112 1112 1112"),  # the longest border
        ("1132222", 2, "1122222"),  # as long: the larger neighbor
        ("2223111", 2, "2221111"),  # as long and as large: the lower code
        ("1114233", 2, "1111133"),  # 4 goes first, being as small as 2 but beginning before it
        ("0300", 9, "0300"),  # no neighbor: stays
    ],
)
def test_which_neighbor(before, smallest, after):
    codes, expected = (
        np.array([list(row) for row in text.split()]).astype(np.uint8) for text in (before, after)
    )
    assert np.array_equal(_sieved(codes, smallest, 1), expected)
