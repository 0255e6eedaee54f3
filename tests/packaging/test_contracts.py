"""The layers of docs/architecture.md hold, and their contracts notice when they do not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_PARTS = ("engine", "models", "qgis_plugin", "__init__.py", "pyproject.toml")


def lint_imports(folder: Path) -> tuple[int, str]:
    """Run the contracts of ``folder``'s pyproject on the package ``panloom`` beside or in it."""
    program = Path(sys.executable).parent / "lint-imports"
    package_parent = folder.parent if folder.name == "panloom" else None
    env = dict(os.environ)
    if package_parent is not None:
        env["PYTHONPATH"] = str(package_parent)
    done = subprocess.run(
        [str(program), "--no-cache"], cwd=folder, env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package without tests, to be spoilt."""
    folder = tmp_path / "panloom"
    folder.mkdir()
    for part in PACKAGE_PARTS:
        source = ROOT / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
            shutil.copytree(source, folder / part, ignore=ignored)
        else:
            shutil.copy(source, folder / part)
    return folder


def test_the_import_contracts_hold(copy):
    code, said = lint_imports(copy)
    assert code == 0, said
    assert re.search(r"Contracts: [3-9] kept, 0 broken", said), said


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("engine/tiling.py", "from ..qgis_plugin import provider", "arrows never point up"),
        ("models/classes.py", "from ..engine import grid", "arrows never point up"),
        ("engine/recipes/sample.py", "from . import classify", "recipes do not import each other"),
        ("qgis_plugin/provider.py", "import numpy", "QGIS's Python sees"),
        ("qgis_plugin/provider.py", "from ..engine import grid", "QGIS's Python sees"),
        ("models/file.py", "import torch", "QGIS's Python sees"),
    ],
)
def test_a_wrong_import_breaks_its_contract(copy, file, line, contract):
    path = copy / file
    future = "from __future__ import annotations\n"
    text = path.read_text(encoding="utf-8")
    assert future in text
    path.write_text(text.replace(future, f"{future}{line}\n", 1), encoding="utf-8")
    code, said = lint_imports(copy)
    assert code == 1, said
    broken = [name for name in said.splitlines() if name.endswith("BROKEN")]
    assert any(name.startswith(contract) for name in broken), said
