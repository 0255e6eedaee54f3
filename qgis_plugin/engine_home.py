"""Which Python runs the engine, and the record of the environment that the set-up made.

Standard library only, Python 3.9. See docs/decisions for how that Python finds the engine's code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from .engine_process import SET_UP, EngineError

VARIABLE = "PANLOOM_PYTHON"
RECORD = "engine.json"
PLUGIN_FOLDER = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class EngineRecord:
    """What the set-up made: written last, so an environment with a record is complete."""

    python: str
    lock: str
    device: str


def find_python(environment: Mapping[str, str], setting: str, folder: Path) -> str:
    """Return the interpreter: ``PANLOOM_PYTHON``, else the setting, else the set-up's environment.

    Raises EngineError with the one thing to do where there is none.
    """
    for value, origin in (
        (environment.get(VARIABLE, ""), f"The variable {VARIABLE}"),
        (setting, "The setting “Python of the engine”"),
    ):
        if value:
            if not os.path.isfile(value):
                text = f"{origin} names “{value}”, and there is no such file."
                raise EngineError(text, "Correct it or take it out.", "engine-missing")
            return value
    record = read_record(folder)
    if record is None or not os.path.isfile(record.python):
        raise EngineError("The engine is not set up yet.", SET_UP, "engine-missing")
    if record.lock != lock_digest():
        text = "The engine was set up for another version of Panloom."
        raise EngineError(text, SET_UP, "engine-old")
    return record.python


def read_record(folder: Path) -> Optional[EngineRecord]:
    """Return the record in ``folder``, or None where there is none that can be read."""
    try:
        return EngineRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_record(folder: Path, record: EngineRecord) -> None:
    """Write ``record`` so that a reader sees the old one or the new one, whole."""
    draft = folder / (RECORD + ".part")
    draft.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    os.replace(draft, folder / RECORD)


def lock_digest(plugin_folder: Path = PLUGIN_FOLDER) -> str:
    """Return a digest of what the engine needs: it changes when an environment is out of date."""
    text = "\n".join(requirements(plugin_folder)) + "\n" + _constraints(plugin_folder)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def requirements(plugin_folder: Path = PLUGIN_FOLDER) -> list[str]:
    """Return the engine's requirements, read from pyproject.toml (Python 3.9 has no tomllib)."""
    text = (plugin_folder / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    return re.findall(r'^\s*"([^"]+)"', block.group(1), re.MULTILINE) if block else []


def _constraints(plugin_folder: Path) -> str:
    path = plugin_folder / "constraints.txt"
    return path.read_text(encoding="utf-8") if path.is_file() else ""
