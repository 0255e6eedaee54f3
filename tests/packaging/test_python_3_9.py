"""What runs inside QGIS runs on Python 3.9, which QGIS 3.22 ships on Windows."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def modules_in_qgis() -> list[Path]:
    """The plugin's modules and every module of Panloom that they lead to."""
    found: list[Path] = []
    open_ends = [ROOT / "__init__.py", *sorted((ROOT / "qgis_plugin").rglob("*.py"))]
    while open_ends:
        path = open_ends.pop()
        if path in found:
            continue
        found.append(path)
        open_ends += [p for p in imported(path) if p not in found]
    return sorted(found)


def imported(path: Path) -> Iterator[Path]:
    """Modules of this tree that relative imports anywhere in ``path`` name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        base = path.parents[node.level - 1]
        target = base.joinpath(*(node.module or "").split("."))
        names = [target, *(target / alias.name for alias in node.names)]
        for name in names:
            for candidate in (name.with_suffix(".py"), name / "__init__.py"):
                if candidate.is_file():
                    yield candidate


def test_the_walk_finds_the_shared_modules():
    names = {path.relative_to(ROOT).as_posix() for path in modules_in_qgis()}
    assert {"engine/events.py", "models/card.py", "models/classes.py"} <= names
    assert not names & {"engine/grid.py", "engine/scene/pair.py", "models/bundle.py"}


def test_modules_in_qgis_are_python_3_9():
    wrong = []
    for path in modules_in_qgis():
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, str(path), feature_version=(3, 9))
        wrong += [f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in newer(tree)]
    assert wrong == []


def newer(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What 3.9's grammar takes and its interpreter or library does not."""
    evaluated = list(runtime_nodes(tree))
    for node in evaluated:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            if is_type(node.left) or is_type(node.right):
                yield node.lineno, "X | Y evaluated at run time"
        elif isinstance(node, ast.Call):
            named = {keyword.arg for keyword in node.keywords}
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = node.func.id if isinstance(node.func, ast.Name) else called
            if called == "zip" and "strict" in named:
                yield node.lineno, "zip(strict=)"
            if called == "dataclass" and named & {"slots", "kw_only"}:
                yield node.lineno, "dataclass(slots=, kw_only=)"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{name}" for name in names}
            late = names & {"tomllib", "typing.Self", "typing.TypeAlias", "datetime.UTC",
                            "typing.assert_never", "typing.override", "itertools.pairwise",
                            "enum.StrEnum", "contextlib.chdir", "types.NoneType"}  # fmt: skip
            if late:
                yield node.lineno, ", ".join(sorted(late))


def runtime_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node except annotations, which ``from __future__ import annotations`` leaves alone."""
    postponed = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    )
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        yield node
        for field, value in ast.iter_fields(node):
            if postponed and field in ("annotation", "returns"):
                continue
            children = value if isinstance(value, list) else [value]
            stack += [child for child in children if isinstance(child, ast.AST)]


def is_type(node: ast.expr) -> bool:
    builtin = {"int", "float", "str", "bytes", "bool", "dict", "list", "tuple", "set", "object"}
    if isinstance(node, ast.Constant):
        return node.value is None
    if isinstance(node, ast.Subscript):
        return is_type(node.value)
    return isinstance(node, ast.Name) and node.id in builtin


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("Path = str | None", "X | Y"),
        ("def f(x: int | None): ...", "X | Y"),
        ("isinstance(1, int | str)", "X | Y"),
        ("for a, b in zip(x, y, strict=True): ...", "zip"),
        ("from itertools import pairwise", "pairwise"),
    ],
)
def test_the_check_for_python_3_9_sees(code, what):
    assert [found for _, found in newer(ast.parse(code)) if what in found]


def test_the_check_for_python_3_9_lets_postponed_annotations_pass():
    code = "from __future__ import annotations\ndef f(x: int | None) -> str | None: ...\na = 1 | 2"
    assert list(newer(ast.parse(code))) == []


def test_shared_modules_import_in_python_3_9(tmp_path):
    python = working_python_3_9()
    if python is None:
        pytest.skip("needs python3.9 on the PATH; its grammar is checked without it above")
    (tmp_path / "panloom").symlink_to(ROOT)
    shared = [
        ".".join(("panloom", *path.relative_to(ROOT).with_suffix("").parts))
        for path in modules_in_qgis()
        if path.parent.name in ("engine", "models") and path.name != "__init__.py"
    ]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = subprocess.run(
        [python, "-B", "-c", code, *shared], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYENV_VERSION": "3.9"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def working_python_3_9() -> str | None:
    python = shutil.which("python3.9")
    if python is None:
        return None
    env = {**os.environ, "PYENV_VERSION": "3.9"}
    done = subprocess.run([python, "-V"], env=env, capture_output=True, check=False)
    return python if done.returncode == 0 else None
