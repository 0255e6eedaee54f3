"""A child process, watched: its wall time, its CPU time and the most memory it held."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Seconds of wall and CPU time, and peak resident memory in bytes, of one process."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def run_child(command: Sequence[str]) -> Usage:
    """Run ``command`` to its end; raises RuntimeError, with what it said, where it fails.

    Linux counts a child's peak from what its parent holds at the start: keep the parent small.
    """
    began = time.perf_counter()
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command}: exit code {child.returncode}\n{said.decode()}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)
