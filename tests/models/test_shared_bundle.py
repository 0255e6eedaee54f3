"""A model is read once, and again when its file is another one."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
import torch

from panloom.models import shared_bundle
from panloom.models.bundle import load_bundle, save_model
from panloom.models.file import ModelFileError, find_model
from panloom.models.shared_bundle import KEPT, load_shared_bundle

SHIPPED = find_model("landsat-5class")


@pytest.fixture(autouse=True)
def nothing_loaded():
    shared_bundle._loaded.cache_clear()
    yield
    shared_bundle._loaded.cache_clear()


def test_the_same_file_is_one_model(tmp_path):
    shutil.copy(SHIPPED, tmp_path / "m.safetensors")
    first = load_shared_bundle(tmp_path / "m.safetensors")
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "m.safetensors")
    assert load_shared_bundle(tmp_path / "link.safetensors") is first
    expected = load_bundle(SHIPPED)
    assert first.card == expected.card
    for name, tensor in expected.network.state_dict().items():
        assert torch.equal(first.network.state_dict()[name], tensor)


def test_a_model_that_was_trained_again_is_read_again(tmp_path):
    path = tmp_path / "m.safetensors"
    shutil.copy(SHIPPED, path)
    first = load_shared_bundle(path)
    before = path.stat()
    network = load_bundle(path).network
    with torch.no_grad():
        next(network.parameters()).add_(1.0)
    save_model(path, network, replace(first.card, title="Another"))
    # A file system with coarse times tells nothing by them.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = load_shared_bundle(path)
    assert second.card.title == "Another"
    assert not torch.equal(next(second.network.parameters()), next(first.network.parameters()))


def test_a_file_that_lies_is_refused_each_time(tmp_path):
    path = tmp_path / "m.safetensors"
    content = bytearray(SHIPPED.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(ModelFileError):
            load_shared_bundle(path)
    with pytest.raises(ModelFileError):
        load_shared_bundle(tmp_path / "none.safetensors")


def test_only_the_models_used_last_are_kept(tmp_path):
    paths = [tmp_path / f"{n}.safetensors" for n in range(KEPT + 1)]
    for path in paths:
        shutil.copy(SHIPPED, path)
    loaded = [load_shared_bundle(path) for path in paths]
    assert [load_shared_bundle(p) for p in paths[:0:-1]] == loaded[:0:-1]
    assert load_shared_bundle(paths[0]) is not loaded[0]
