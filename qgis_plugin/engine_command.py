"""The engine's command line and environment, as started from QGIS.

Standard library only, Python 3.9: no QGIS here, so this is tested without QGIS.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Optional

OptionValue = Optional[object]

_REMOVED = frozenset(
    [
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONEXECUTABLE",
        "PYTHONSTARTUP",
        "VIRTUAL_ENV",
        "GDAL_DATA",
        "GDAL_DRIVER_PATH",
        "PROJ_DATA",
        "PROJ_LIB",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
    ]
)
_REMOVED_PREFIXES = ("DYLD_", "QT_")


PROGRAM_WORDS = 3
"""How many words of a command start the engine; the others are those typed after ``panloom``."""


def engine_command(python: str, command: str, *words: str, **options: OptionValue) -> list[str]:
    """Return the command that runs the engine's ``command`` with ``--events``.

    ``words`` are positional arguments; options are written ``--name=value``, underscores turned
    into dashes. True gives a bare flag; None, False and the empty string leave the option out.
    """
    line = [python, "-m", "panloom.engine", command, *words]
    for name, value in options.items():
        if value is None or value is False or value == "":
            continue
        flag = "--" + name.replace("_", "-")
        # One word, since a value such as -1,0.5 would read as an option of its own.
        line.append(flag if value is True else f"{flag}={value}")
    return [*line, "--events"]


def copyable(command: Sequence[str], platform: str = sys.platform) -> str:
    """Return ``command`` quoted so that it can be pasted into the platform's shell."""
    if platform == "win32":
        return subprocess.list2cmdline(command)
    return " ".join(shlex.quote(word) for word in command)


def engine_environment(
    inherited: Mapping[str, str], qgis_roots: Sequence[str] = ()
) -> dict[str, str]:
    """Return the environment for the engine: ``inherited`` without what belongs to QGIS.

    ``qgis_roots`` are folders whose entries on PATH are dropped. QGIS points these variables at its
    own Python, GDAL and PROJ; an engine that kept them would load the wrong libraries or data.
    """
    kept = {name: value for name, value in inherited.items() if not _belongs_to_qgis(name)}
    for name in [name for name in kept if name.upper() == "PATH"]:
        kept[name] = _path_without(kept[name], qgis_roots)
    kept["PYTHONSAFEPATH"] = "1"
    kept["PYTHONUTF8"] = "1"
    return kept


def qgis_roots(
    prefix: str, environment: Mapping[str, str], platform: str = sys.platform
) -> tuple[str, ...]:
    """Return the folders that hold QGIS's own programs, given QGIS's ``prefix`` path.

    On Linux QGIS lives in ``/usr`` beside everything else, so nothing there is its own.
    """
    if platform == "win32":
        return tuple(root for root in (environment.get("OSGEO4W_ROOT", ""), prefix) if root)
    if platform == "darwin" and ".app" in prefix:
        return (prefix[: prefix.index(".app") + len(".app")],)
    return ()


def _belongs_to_qgis(name: str) -> bool:
    upper = name.upper()
    return upper in _REMOVED or upper.startswith(_REMOVED_PREFIXES)


def _path_without(path: str, roots: Sequence[str]) -> str:
    folders = [folder for folder in path.split(os.pathsep) if folder]
    return os.pathsep.join(f for f in folders if not any(_is_inside(f, root) for root in roots))


def _is_inside(folder: str, root: str) -> bool:
    folder, root = (os.path.normcase(os.path.normpath(p)) for p in (folder, root))
    return folder == root or folder.startswith(root.rstrip("\\/") + os.sep)
