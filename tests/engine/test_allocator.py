"""Freed memory is kept: taking it again costs no page faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from panloom.engine.allocator import reuse_memory
if sys.argv[1] == "keep" and not reuse_memory():
    print("not possible")
    raise SystemExit
def touch():
    blocks = [b"x" * (20 << 20) for _ in range(8)]
for _ in range(3):
    touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has this option")
def test_kept_memory_is_taken_again_without_page_faults() -> None:
    found = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
        ).stdout.strip()
        for how in ("keep", "default")
    ]
    if found[0] == "not possible":
        pytest.skip("this C library has no mallopt")
    assert int(found[0]) < 100
    assert int(found[1]) > int(found[0])


RETURNING = """
import ctypes, sys
from panloom.engine.allocator import give_back_memory
ctypes.CDLL(None).mallopt(-3, 32 << 20)  # blocks below 32 MB come from the heap
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20
blocks = [b"x" * (8 << 20) for _ in range(16)]
last = b"x" * 100_000  # above them on the heap, which so cannot shrink from its end
del blocks
held = resident()
print("not possible" if not give_back_memory() else held - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has this function")
def test_free_memory_between_what_is_in_use_goes_back_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RETURNING], capture_output=True, text=True, check=True
    )
    if done.stdout.strip() == "not possible":
        pytest.skip("this C library has no malloc_trim")
    assert int(done.stdout) > 100
