"""Runs and their components, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from panloom.engine.polygons.runs import Runs, connected_roots, ragged_positions, summed


@pytest.mark.parametrize("seed", range(10))
def test_connected_roots_are_the_lowest_items_of_components(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 300))
    a, b = rng.integers(0, count, (2, int(rng.integers(0, count))))
    _, labels = connected_components(
        coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count)), directed=False
    )
    lowest = np.array([np.flatnonzero(labels == label)[0] for label in labels])
    assert np.array_equal(connected_roots(count, a, b), lowest)


def test_a_star_whose_center_has_the_highest_number_and_a_path():
    leaves = np.arange(5000)
    assert not connected_roots(5001, leaves, np.full(5000, 5000)).any()
    assert not connected_roots(5001, leaves, leaves + 1).any()


@pytest.mark.parametrize("seed", range(10))
def test_components_of_runs_are_components_of_pixels(seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, rng.integers(1, 25, 2))
    runs = Runs(codes)
    root = connected_roots(len(runs), *runs.links(0))[runs.of_pixel].reshape(codes.shape)
    for code in (1, 2):
        labels, count = ndimage.label(codes == code)
        for label in range(1, count + 1):
            assert len(np.unique(root[labels == label])) == 1
        assert len(np.unique(root[codes == code])) == count


def test_runs_say_where_they_are():
    runs = Runs(np.array([[1, 1, 2], [2, 2, 2]]))
    assert runs.code.tolist() == [1, 2, 2]
    assert runs.row.tolist() == [0, 0, 1]
    assert runs.col.tolist() == [0, 2, 0]
    assert runs.length.tolist() == [2, 1, 3]
    assert runs.of_pixel.tolist() == [0, 0, 1, 2, 2, 2]
    upper, lower, shared = runs.overlaps()
    assert list(zip(upper, lower, shared)) == [(0, 2, 2), (1, 2, 1)]


def test_pieces_of_arrays():
    assert ragged_positions(np.array([5, 0]), np.array([2, 3])).tolist() == [5, 6, 0, 1, 2]
    assert len(ragged_positions(np.array([], dtype=int), np.array([], dtype=int))) == 0
    assert summed(np.array([1, 1, 0]), np.array([2, 3, 4]), 3).tolist() == [4.0, 5.0, 0.0]
