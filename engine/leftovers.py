"""Drafts of runs that were killed: known by their names, and removed once that is certain.

A draft is named ``.STEM.PROCESS.part…``. PROCESS says which process writes it: its number, its
start, the boot of the machine and the machine. It is over where this machine has no such process.
What cannot be known, such as of a run on another machine, counts as under way. Windows keeps
leftovers: there only a look that needs rights tells whether a process is the one that it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

_PROCESS = r"([1-9]\d{0,8})-([0-9a-f]{1,16})-([0-9a-f]{8})-([0-9a-f]{8})"
_UNKNOWN, _GONE = "0", "gone"


def draft_stem(stem: str) -> str:
    """Return how the names of this process's drafts for a file called ``stem`` begin."""
    process = f"{os.getpid()}-{_start_of(os.getpid())}-{_boot()}-{_machine()}"
    return f".{stem}.{process}.part"


def hidden_names(folder: Path) -> list[str]:
    """Return the hidden files of a folder, none where it does not tell."""
    with contextlib.suppress(OSError):
        return [name for name in os.listdir(folder) if name.startswith(".")]
    return []


def remove_leftovers(folder: Path, stem: str, names: Iterable[str]) -> None:
    """Remove those of ``names`` in ``folder`` that a run left that wrote a file called ``stem``.

    They go where that run's process is certainly over, and stay in every doubt.
    """
    draft = re.compile(rf"\.{re.escape(stem)}\.{_PROCESS}\.part(?![^.\-])")
    for name in names:
        found = draft.match(name)
        path = folder / name
        if found and _is_own(path) and _is_over(path, *found.groups()):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_own(path: Path) -> bool:
    """True for a file or folder of this user's, and no link."""
    try:
        return not path.is_symlink() and path.lstat().st_uid == os.geteuid()
    except (OSError, AttributeError):  # Windows has no user numbers
        return False


def _is_over(path: Path, pid: str, start: str, boot: str, machine: str) -> bool:
    """True where the process that has written ``path`` no longer runs."""
    if machine != _machine():
        return False
    if boot != _boot():
        # The machine has started anew since, or two of one name share a folder.
        with contextlib.suppress(OSError, ValueError, IndexError):
            return path.lstat().st_mtime < time.time() - _seconds_since_boot()
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # somebody else's
    return _start_of(int(pid)) not in (start, _UNKNOWN)


def _start_of(pid: int) -> str:
    """Return when a process has started, in the system's ticks since its boot as hexadecimal.

    ``_UNKNOWN`` where the system does not tell; ``_GONE`` for one that only waits to be buried.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return _GONE if fields[0] in "ZX" else f"{int(fields[19]):x}"
    except (OSError, ValueError, IndexError):
        return _UNKNOWN


def _seconds_since_boot() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def _boot() -> str:
    return _digest(_content("/proc/sys/kernel/random/boot_id"))


def _machine() -> str:
    """Return what tells this machine from others, and a container from others on it."""
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return _digest(f"{platform.node()} {_content('/etc/machine-id')} {namespace}")


def _content(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
