"""Fixtures: a QGIS in a fresh profile, a fake engine, a real pair."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from panloom.engine.sample.pair import sample_paths, write_sample

from .qgis_runner import QgisRunner

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fake_python(tmp_path: Path) -> str:
    """A file that can stand where the engine's Python stands: it starts the fake engine."""
    script = tmp_path / "fake python"
    engine = Path(__file__).with_name("fake_engine.py")
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{engine}" "$@"\n', encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


@pytest.fixture(scope="session")
def qgis(tmp_path_factory: pytest.TempPathFactory) -> QgisRunner:
    """The system's QGIS with a fresh profile that has Panloom installed and enabled."""
    program = next((p for p in ("qgis_process.bin", "qgis_process") if shutil.which(p)), None)
    if program is None:
        pytest.skip("needs QGIS: neither qgis_process.bin nor qgis_process is on PATH")
    runner = QgisRunner(program, tmp_path_factory.mktemp("qgis profile"), ROOT)
    enabled = runner.process("plugins", "enable", "panloom")
    assert enabled.returncode == 0, enabled.stderr
    return runner


@pytest.fixture(scope="session")
def sample_pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A small generated pair, as the parameters MS and PAN."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(sample_paths(str(folder)), size_ms_px=(90, 80), seed=11)
    paths = sample_paths(str(folder))
    return {"MS": str(paths.ms), "PAN": str(paths.pan)}


@pytest.fixture(scope="session")
def real_pair(data_dir: Path) -> dict[str, str]:
    """The Landsat-8 pair of Liverpool, as the parameters MS and PAN."""
    folder = data_dir / "landsat8_liverpool"
    return {"MS": str(folder / "ms.tif"), "PAN": str(folder / "pan.tif")}


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """The folder for pictures: PANLOOM_ARTIFACTS, or a temporary one."""
    folder = Path(os.environ.get("PANLOOM_ARTIFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
