"""Positions along chains and rings, against walking them one by one."""

from __future__ import annotations

import numpy as np
import pytest

from panloom.engine.polygons.chains import chain_positions


def _random_links(rng: np.random.Generator, count: int) -> np.ndarray:
    """Chains and rings of random lengths over shuffled items."""
    following = np.full(count, -1)
    items = rng.permutation(count)
    while len(items):
        size = int(rng.integers(1, min(len(items), 40) + 1))
        part, items = items[:size], items[size:]
        following[part[:-1]] = part[1:]
        if rng.random() < 0.5:
            following[part[-1]] = part[0]
    return following


@pytest.mark.parametrize("seed", range(20))
def test_positions_are_those_of_a_walk(seed):
    rng = np.random.default_rng(seed)
    following = _random_links(rng, int(rng.integers(1, 400)))
    leader, position = chain_positions(following)
    followed = set(following[following >= 0].tolist())
    for item in np.unique(leader):
        assert leader[item] == item
        assert position[item] == 0
        at, steps = int(item), 0
        while True:
            assert (leader[at], position[at]) == (item, steps)
            at, steps = int(following[at]), steps + 1
            if at in (-1, item):
                break
        assert steps == np.count_nonzero(leader == item)
        assert at == item or int(item) not in followed  # a chain is led by its first item


def test_one_long_ring_and_one_long_chain():
    ring = np.append(np.arange(1, 100_000), 0)
    leader, position = chain_positions(ring)
    assert len(set(leader.tolist())) == 1
    assert np.array_equal(np.diff(np.roll(position, -int(leader[0]))), np.ones(99_999))
    chain = np.append(np.arange(1, 100_000), -1)
    leader, position = chain_positions(chain)
    assert not leader.any()
    assert np.array_equal(position, np.arange(100_000))


def test_nothing():
    leader, position = chain_positions(np.empty(0, dtype=np.int64))
    assert len(leader) == len(position) == 0
