"""Finds a Python that the engine's environment can be made from.

Standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping

from .engine_process import EngineError

OLDEST = (3, 10)
NEWEST = (3, 14)
"""The newest Python that torch has wheels for."""

_ASK = (
    "import sys, venv, ensurepip; print(*sys.version_info[:2], sys.maxsize > 2**32, sys.executable)"
)


def find_base_python(chosen: str, environment: Mapping[str, str]) -> str:
    """Return a Python 3.10 … 3.14 that can make environments: ``chosen``, or the best one found.

    Raises EngineError saying what was tried.
    """
    tried = []
    for candidate in [chosen] if chosen else _candidates(environment):
        reason = _reason_against(candidate, environment)
        if not reason:
            return candidate
        tried.append(f"{candidate} ({reason})")
    needed = (
        f"Python {'.'.join(map(str, OLDEST))} … {'.'.join(map(str, NEWEST))}, 64 bits, is needed"
    )
    raise EngineError(
        f"No Python was found that the engine can use; {needed}. "
        f"Tried: {', '.join(tried) or 'nothing, none is on PATH'}.",
        "Install one (from python.org on Windows and macOS; on Debian and Ubuntu "
        "`sudo apt install python3-venv`) and choose it in “Base Python”.",
        "no-base-python",
    )


def _candidates(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what may be a Python, the best first; each path once.

    ``sys.executable`` is not among them: inside QGIS it can be QGIS itself.
    """
    seen = set()
    minors = [12, 13, 11, 14, 10]  # wheels are most complete in the middle
    names = [f"python3.{minor}" for minor in minors] + ["python3", "python"]
    found = [shutil.which(name, path=environment.get("PATH")) for name in names]
    # QGIS for Windows and macOS brings a real interpreter beside its standard library.
    own = "python.exe" if os.name == "nt" else "bin/python3"
    for path in (*found, *_launcher(environment), os.path.join(sys.base_prefix, own)):
        if path and os.path.isfile(path) and os.path.realpath(path) not in seen:
            seen.add(os.path.realpath(path))
            yield path


def _launcher(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the interpreter that Windows' ``py`` launcher would start."""
    launcher = shutil.which("py", path=environment.get("PATH")) if os.name == "nt" else None
    if launcher is None:
        return ()
    code, said = _ask([launcher, "-3", "-c", "import sys; print(sys.executable)"], environment)
    return (said.strip(),) if code == 0 else ()


def _reason_against(python: str, environment: Mapping[str, str]) -> str:
    """Return why ``python`` cannot be used, or nothing."""
    code, said = _ask([python, "-c", _ASK], environment)
    if code != 0:
        return (
            "it lacks the venv module" if "ensurepip" in said or "venv" in said else "does not run"
        )
    major, minor, is_64_bit = said.split()[:3]
    if not OLDEST <= (int(major), int(minor)) <= NEWEST:
        return f"Python {major}.{minor}"
    return "" if is_64_bit == "True" else "32 bits"


def _ask(command: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=30,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.TimeoutExpired):
        return -1, ""
    return done.returncode, done.stdout.decode("utf-8", "replace")
