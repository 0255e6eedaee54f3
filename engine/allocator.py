"""How the C library's allocator treats the large blocks that a run frees and takes again."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_MOST_MMAP = 32 << 20
"""glibc takes no greater threshold for blocks of their own from the system."""
_KEPT, _RETURNED = 1 << 30, 1 << 20


def reuse_memory() -> bool:
    """Keep what is freed for what comes next, in one arena for all threads; True where possible.

    Every tile takes and frees the same blocks of some MB. By default glibc gives them back to the
    system, which then has to clear every page anew: a fifth to a third of the time of a tile. Other
    C libraries are left as they are.
    """
    set_option = _from_c_library("mallopt")
    if set_option is None:
        return False
    wanted = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _MOST_MMAP), (_TRIM_THRESHOLD, _KEPT))
    return all([set_option(name, value) == 1 for name, value in wanted])


def give_back_memory() -> bool:
    """Give the system back what is free, now and later; True where possible.

    For a runtime that keeps memory itself: what else was used, and then kept by the C library,
    would lie idle beside it. Blocks of a megabyte or more are returned when they are freed.
    """
    set_option, trim = _from_c_library("mallopt"), _from_c_library("malloc_trim")
    if set_option is None or trim is None:
        return False
    set_option(_TRIM_THRESHOLD, _RETURNED)
    done = set_option(_MMAP_THRESHOLD, _RETURNED) == 1
    trim(0)
    return done


def _from_c_library(name: str) -> Callable[..., int] | None:
    """Return a function of glibc, None where there is another C library, such as musl."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    return function
