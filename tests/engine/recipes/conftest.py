"""Fixtures of the tests that train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from panloom.engine.recipes import train
from panloom.engine.sample.pair import SamplePair

from .training_samples import make_pair, make_polygons


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> SamplePair:
    """A made-up pair with its truth; nobody may change it."""
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="session")
def polygons(pair: SamplePair) -> Path:
    """Squares of five classes on ``pair``."""
    return make_polygons(pair)


@pytest.fixture
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make an epoch two small steps, of one thread: more of them only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(train, "EPOCH_STEPS", 2)
    monkeypatch.setattr(train, "STAGE_ONE_STEPS", 3)
    monkeypatch.setattr(train, "BATCH_SIZE", 2)
    monkeypatch.setattr(train, "CROP_PX", 24)
    yield
    torch.set_num_threads(threads)
