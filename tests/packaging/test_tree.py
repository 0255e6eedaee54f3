"""Rules of the whole tree: no unpickling, reasons and locks for dependencies, no machine paths."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_nothing_unpickles():
    """A weights file from a stranger must not be able to run code."""
    modules = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    wrong = []
    for path in tracked("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
                wrong += [f"{where}: import {name}" for name in names & modules]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                name = str(node.module).split(".")[0]
                wrong += [f"{where}: from {name}"] if name in modules else []
                if node.module == "torch" and any(alias.name == "load" for alias in node.names):
                    wrong.append(f"{where}: from torch import load")
            elif isinstance(node, ast.Attribute) and node.attr == "load":
                if isinstance(node.value, ast.Name) and node.value.id == "torch":
                    wrong.append(f"{where}: torch.load")
            elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                allowed = getattr(node.value, "value", True) is not False
                wrong += [f"{where}: allow_pickle"] if allowed else []
    assert wrong == []


def test_every_dependency_says_why_it_is_there():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = text[text.index("[project]") : text.index("[project.scripts]")]
    lines = [line for line in project.splitlines() if re.match(r'\s+"[A-Za-z0-9._-]+\W', line)]
    assert len(lines) > 10
    assert [line for line in lines if len(line.partition("#")[2].split()) < 3] == []


def test_every_dependency_is_locked():
    """`pip install -c constraints.txt` must leave nothing that the project names to chance."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = text[text.index("[project]") : text.index("[project.scripts]")]
    named = set(re.findall(r'^\s+"([A-Za-z0-9._-]+)', project, re.M)) - {"mamba-ssm"}
    lock = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.M))
    assert {name.lower().replace("_", "-") for name in named} - locked == set()
    assert "torch==2.13.0\n" in lock


def test_no_file_names_a_place_on_the_machine_it_was_written_on():
    places = re.compile(
        r"/[w]ork/|/[r]oot/\.pyenv|/[h]ome/\w+/|/[U]sers/\w+/|file:///[o]pt|[C]:\\Users\\\w"
    )
    wrong = []
    for path in tracked():
        if path.suffix in (".safetensors", ".png", ".gpkg", ".tif"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if places.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert wrong == []


def tracked(*patterns: str) -> list[Path]:
    """Files of the working tree that git knows or would take, so not what it ignores."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git clone: which files belong to the project is git's to say")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--"]
    listed = subprocess.run(
        [*command, *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
