"""How the C library's allocator treats the large blocks that inference frees and takes again."""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_MOST_MMAP = 32 << 20
"""glibc takes no greater threshold for blocks of their own from the system."""
_KEPT = 1 << 30


def reuse_memory() -> bool:
    """Keep what is freed for what comes next, in one arena for all threads; True where possible.

    Every tile takes and frees the same blocks of some MB. By default glibc gives them back to the
    system, which then has to clear every page anew: a fifth to a third of the time of a tile. Other
    C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # a C library without it, such as musl
        return False
    wanted = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _MOST_MMAP), (_TRIM_THRESHOLD, _KEPT))
    return all([set_option(name, value) == 1 for name, value in wanted])
