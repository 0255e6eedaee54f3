"""Fixtures of every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real imagery; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("PANLOOM_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "README.md").is_file():
        pytest.skip(f"needs real imagery: {folder} is absent; set PANLOOM_DATA to its folder")
    return folder
