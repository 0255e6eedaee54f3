"""The engine's environment: how it is made, and that a failure changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from panloom.engine.events import Result
from panloom.qgis_plugin import environment_setup
from panloom.qgis_plugin.base_python import find_base_python
from panloom.qgis_plugin.engine_command import engine_environment
from panloom.qgis_plugin.engine_home import EngineRecord, read_record, write_record
from panloom.qgis_plugin.engine_process import EngineCancelled, EngineError
from panloom.qgis_plugin.environment_setup import SetupOptions, Voice, set_up


class Words:
    """Keeps what the set-up says."""

    def __init__(self, cancel_at: str = "") -> None:
        self.lines: list[str] = []
        self.steps: list[str] = []
        self.cancel_at = cancel_at

    @property
    def voice(self) -> Voice:
        return Voice(
            step=lambda fraction, title: self.steps.append(title),
            line=self.lines.append,
            is_cancelled=lambda: bool(self.cancel_at) and self.cancel_at in "\n".join(self.steps),
        )


def options(folder: Path, **changes: object) -> SetupOptions:
    values = {"folder": folder, "base_python": sys.executable, "device": "cpu", **changes}
    return SetupOptions(environment=engine_environment(os.environ), **values)


@pytest.fixture
def quick(monkeypatch):
    """Nothing to install, and a proof that always succeeds: the rest is done for real."""
    monkeypatch.setattr(environment_setup, "requirements", lambda: ["pip"])
    monkeypatch.setattr(environment_setup, "_prove", lambda *_: Result({}, {}))


def test_the_environment_serves_the_plugins_folder_and_replaces_the_one_before(quick, tmp_path):
    folder = tmp_path / "Grüße, World"
    for name in ("1", "2024"):
        (folder / name / "bin").mkdir(parents=True)
    (folder / "1" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    write_record(folder, EngineRecord(str(folder / "1" / "bin" / "python"), "old", "cpu"))
    python = set_up(options(folder), Words().voice)
    assert read_record(folder).python == python
    assert sorted(p.name for p in folder.iterdir()) == ["2", "2024", "engine.json"]
    ask = "import panloom.engine.events as e, panloom.models.classes, sys; print(e.__file__)"
    said = subprocess.run(
        [python, "-c", ask], env=engine_environment(os.environ), cwd=tmp_path, capture_output=True,
        check=True, text=True,
    )  # fmt: skip
    root = Path(environment_setup.PLUGIN_FOLDER)
    assert Path(said.stdout.strip()) == root / "engine" / "events.py"


def test_a_failure_leaves_the_old_environment_in_use(quick, monkeypatch, tmp_path):
    record = EngineRecord(str(tmp_path / "1" / "bin" / "python"), "lock", "cpu")
    (tmp_path / "1").mkdir()
    write_record(tmp_path, record)
    monkeypatch.setattr(environment_setup, "requirements", lambda: ["no-such-package==1"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(EngineError) as caught:
        set_up(options(tmp_path, wheels=str(tmp_path / "empty")), Words().voice)
    assert caught.value.message.startswith("pip could not install the engine (exit code 1):\n")
    assert "No matching distribution found for no-such-package==1" in caught.value.message
    assert caught.value.hint == (
        "Try another base Python, or a wheel folder that holds every package."
    )
    assert read_record(tmp_path) == record
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "empty", "engine.json"]


def test_an_engine_that_fails_its_proof_is_not_kept(quick, monkeypatch, tmp_path):
    def fails(*_: object) -> Result:
        raise EngineError("The forward pass gave NaN.")

    monkeypatch.setattr(environment_setup, "_prove", fails)
    with pytest.raises(EngineError, match="The forward pass gave NaN"):
        set_up(options(tmp_path), Words().voice)
    assert list(tmp_path.iterdir()) == []


def test_cancel_leaves_nothing(quick, tmp_path):
    words = Words(cancel_at="Installing")
    with pytest.raises(EngineCancelled):
        set_up(options(tmp_path), words.voice)
    assert list(tmp_path.iterdir()) == []


def test_a_password_in_the_proxy_is_never_shown(quick, tmp_path):
    words = Words()
    proxy = "http://ann:s3cret@proxy.example:8080"
    run = environment_setup._Runner({**os.environ, "HTTP_PROXY": proxy}, words.voice, proxy)
    run([sys.executable, "-c", "import os; print('via', os.environ['HTTP_PROXY'])"], "failed")
    assert words.lines[-1] == "via (proxy)"
    assert "s3cret" not in "\n".join(words.lines)


@pytest.mark.parametrize(
    ("device", "configured", "system", "expected"),
    [
        ("cpu", False, "linux", ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]),
        ("gpu", False, "linux", []),
        ("cpu", True, "linux", []),
        ("cpu", False, "darwin", []),
        ("gpu", False, "win32", ["--extra-index-url", environment_setup.WINDOWS_GPU_INDEX]),
    ],
)
def test_where_torch_comes_from(device, configured, system, expected):
    assert environment_setup._index(device, configured, system) == expected


def test_a_base_python_that_does_not_fit_is_named_with_the_reason(tmp_path):
    old = tmp_path / "python3.8"
    old.write_text("#!/bin/sh\necho 3 8 True /usr/bin/python3.8\n")
    old.chmod(0o755)
    with pytest.raises(EngineError) as caught:
        find_base_python(str(old), os.environ)
    assert caught.value.message == (
        "No Python was found that the engine can use; Python 3.10 … 3.14, 64 bits, is needed. "
        f"Tried: {old} (Python 3.8)."
    )


def test_a_base_python_is_found_and_is_no_qgis(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/usr/bin/qgis.bin")
    found = find_base_python("", engine_environment(os.environ))
    assert "qgis" not in found
    asked = subprocess.run(
        [found, "-c", "import sys; print(sys.version_info >= (3, 10))"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert asked.stdout.strip() == "True"


@pytest.mark.skipif(
    not os.environ.get("PANLOOM_TEST_SETUP"),
    reason="downloads or copies 1.7 GB; set PANLOOM_TEST_SETUP=1 to run the whole set-up",
)
def test_the_whole_set_up_in_qgis_makes_an_engine_that_classifies(qgis, sample_pair, tmp_path):
    folder = tmp_path / "Engine folder ü"
    done = qgis.algorithm("panloom:setupengine", {"FOLDER": str(folder)}, PANLOOM_PYTHON="")
    assert done.returncode == 0, done.stdout + done.stderr
    target = tmp_path / "map.tif"
    inputs = {**sample_pair, "OUTPUT": str(target)}
    done = qgis.algorithm("panloom:classify", inputs, PANLOOM_PYTHON="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert target.is_file()
