"""``panloom check``: what it finds of an engine, and of packages that an engine can do without."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from panloom.engine.recipes import check as recipe
from panloom.engine.recipes.check import CheckOptions, as_text, run

RUNTIMES = ("onnxruntime", "onnx", "openvino")
USES = {
    "onnxruntime": "makes large maps on a CPU, and runs networks in ONNX files",
    "onnx": "the two other runtimes need it",
    "openvino": "makes maps where a run asks for it",
}


def check() -> dict[str, Any]:
    summary = run(CheckOptions("cpu"), lambda event: None).summary
    return json.loads(json.dumps(summary, allow_nan=False))


def test_runtimes_are_listed_with_the_versions_that_are_installed() -> None:
    for name in RUNTIMES:
        pytest.importorskip(name)
    summary = check()
    assert summary["ok"] is True
    assert summary["versions"]["torch"] == version("torch")
    assert summary["runtimes"] == {
        name: {"version": version(name), "text": f"{version(name)}: {USES[name]}"}
        for name in RUNTIMES
    }
    lines = as_text(summary).splitlines()
    assert f"onnx        {version('onnx')}: the two other runtimes need it" in lines
    assert lines[-1] == "The engine works."


def test_cores_and_memory_that_a_run_may_use_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "usable_cores", lambda: 3)
    monkeypatch.setattr(recipe, "free_memory", lambda: 5_120_000_000)
    summary = check()
    assert (summary["cores"], summary["free_memory_bytes"]) == (3, 5_120_000_000)
    assert "cores       3; memory: 5.1 GB free, for this process" in as_text(summary).splitlines()


@pytest.mark.parametrize(
    ("name", "means"),
    [
        (
            "onnxruntime",
            "torch makes every map, large ones slower; networks in ONNX files do not run",
        ),
        (
            "onnx",
            "the two other runtimes need it, so torch makes every map, large ones slower; networks "
            "in ONNX files do not run",
        ),
        ("openvino", "nothing needs it"),
    ],
)
def test_what_is_not_installed_is_said_with_what_that_means(
    name: str, means: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    summary = check()
    assert summary["ok"] is True
    assert summary["runtimes"][name] == {"version": None, "text": f"not installed: {means}"}
    assert f"{name:<11} not installed: {means}" in as_text(summary).splitlines()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("raise OSError('libgomp.so.1 is missing')", "libgomp.so.1 is missing"),
        ("import no_such_part", "No module named 'no_such_part'"),
    ],
)
def test_a_package_that_does_not_load_is_not_called_missing(
    line: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino.py").write_text(f"{line}\n")
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    found = check()["runtimes"]["openvino"]
    assert found == {"version": None, "text": f"cannot be loaded ({why}): nothing needs it"}
