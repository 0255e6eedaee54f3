"""Graphs are kept, found, bounded in number, and damaged ones count as absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from panloom.engine.runtimes import graph_cache
from panloom.engine.runtimes.graph_cache import GraphCache, default_cache


def test_a_graph_comes_back_under_its_key_only(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path / "deep" / "graphs")
    cache.put("first", b"graph one")
    assert cache.get("first") == b"graph one"
    assert cache.get("second") is None


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 32 + b"graph one"])
def test_a_damaged_file_counts_as_absent_and_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    cache = GraphCache(tmp_path)
    cache.put("key", b"graph one")
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert cache.get("key") is None
    cache.put("key", b"graph two")
    assert cache.get("key") == b"graph two"


def test_those_unused_for_longest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_cache, "MOST_FILES", 3)
    cache = GraphCache(tmp_path)
    for number in range(3):
        cache.put(str(number), b"graph")
        for file in tmp_path.glob(f"{number}.*"):
            os.utime(file, (number, number))
    assert cache.get("0") == b"graph"  # used just now
    cache.put("3", b"graph")
    assert [cache.get(str(n)) is not None for n in range(4)] == [True, False, True, True]


def test_without_a_folder_or_the_right_to_write_nothing_is_kept_and_nothing_raised(
    tmp_path: Path,
) -> None:
    for folder in (None, tmp_path / "file" / "below"):
        (tmp_path / "file").touch()
        cache = GraphCache(folder)
        cache.put("key", b"graph")
        assert cache.get("key") is None


def test_the_folder_is_the_users_cache_unless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_cache.sys, "platform", "linux")
    monkeypatch.delenv("PANLOOM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache().folder == tmp_path / "panloom" / "graphs"
    monkeypatch.setenv("PANLOOM_CACHE", str(tmp_path / "own"))
    assert default_cache().folder == tmp_path / "own" / "graphs"
    monkeypatch.setenv("PANLOOM_CACHE", "off")
    assert default_cache().folder is None
    monkeypatch.delenv("PANLOOM_CACHE")
    monkeypatch.setattr(graph_cache.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert default_cache().folder == tmp_path / "local" / "panloom" / "graphs"
