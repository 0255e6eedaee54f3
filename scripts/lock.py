"""Write constraints.txt: the exact versions that a development install takes today.

    python scripts/lock.py python3.11 python3.10

The first interpreter's resolution holds for its Python and newer ones, the second's for Python
3.10, whose last NumPy, pandas and others are older. Nothing is installed: pip only resolves.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Exact versions for `pip install -c constraints.txt -e .[dev]`, on Python 3.10 to 3.13.
# Refresh: python scripts/lock.py python3.11 python3.10, then run the tests and commit.
# torch has no local suffix here, so that its CPU and CUDA builds both satisfy it; the CUDA
# packages are left out, since torch's own metadata pins them.
"""
PINNED_BY_TORCH = ("nvidia-", "cuda-", "triton")


def main(newer: str, oldest: str) -> None:
    """Resolve for both interpreters and write constraints.txt."""
    recent, old = resolve(newer), resolve(oldest)
    lines = []
    for name in sorted(recent.keys() | old.keys()):
        if recent.get(name) == old.get(name):
            lines.append(f"{name}=={recent[name]}")
            continue
        if name in recent:
            lines.append(f'{name}=={recent[name]} ; python_version >= "3.11"')
        if name in old:
            lines.append(f'{name}=={old[name]} ; python_version < "3.11"')
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


def resolve(python: str) -> dict[str, str]:
    """Return version by package name as pip resolves ``.[dev]`` for ``python``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run([python, "-m", "venv", f"{folder}/venv"], check=True)
        pip = [f"{folder}/venv/bin/python", "-m", "pip", "install", "--quiet", "--dry-run"]
        command = [*pip, "--ignore-installed", "--report", str(report), "--editable", ".[dev]"]
        subprocess.run(command, check=True, cwd=ROOT)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    versions = {}
    for item in found:
        name = item["metadata"]["name"].lower().replace("_", "-")
        if name not in ("panloom", "setuptools") and not name.startswith(PINNED_BY_TORCH):
            versions[name] = item["metadata"]["version"].split("+")[0]
    return versions


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
