"""What this process may use of its machine: cores and memory, also within a container's limits."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
"""Which groups this process is in: on Linux, containers and batch systems limit those."""


def usable_cores() -> int:
    """Return on how many cores this process may compute at once, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([cores or 1, *(math.ceil(quota) for quota in _core_quotas())]))


def free_memory() -> int:
    """Return how many bytes this process may still take before others are pushed out or it ends."""
    import psutil  # only runs need it

    return max(0, min([int(psutil.virtual_memory().available), *_memory_left()]))


def resident_memory() -> int:
    """Return how many bytes of memory this process has at present."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _core_quotas() -> Iterator[float]:
    """Yield the limits of the groups of this process, in cores."""
    for version, folder in _groups("cpu"):
        if version == 2:
            words = _read(folder / "cpu.max").split()
            limit, period = words if len(words) == 2 else ("", "")
        else:
            limit, period = (_read(folder / f"cpu.cfs_{what}_us") for what in ("quota", "period"))
        if limit.isdecimal() and period.isdecimal() and int(period):  # "max" or -1: no limit
            yield int(limit) / int(period)


def _memory_left() -> Iterator[int]:
    """Yield what is left of the limits of the groups of this process, in bytes.

    Files that were read and are not in use count as left: they give way.
    """
    for version, folder in _groups("memory"):
        names = (
            ("memory.max", "memory.current", "inactive_file")
            if version == 2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        limit, used = (_read(folder / name) for name in names[:2])
        if limit.isdecimal() and used.isdecimal():
            yield int(limit) - int(used) + _statistic(folder / "memory.stat", names[2])


def _groups(controller: str) -> Iterator[tuple[int, Path]]:
    """Yield the version and the folder of every group around this process, innermost first."""
    for line in _read(OWN_GROUPS).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        version = 1 if controllers else 2
        root = CONTROL_GROUPS / controllers if controllers else CONTROL_GROUPS
        folder = root / path.strip("/")
        # In a container the path may be that outside of it; its own group is then the root.
        for group in (folder, *folder.parents):
            yield version, group
            if group == root:
                break


def _statistic(path: Path, name: str) -> int:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):  # no such limit, or no Linux
        return ""
