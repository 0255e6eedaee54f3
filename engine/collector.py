"""Python's search for garbage, which finds none among modules and takes long to look at them.

With torch and the libraries for rasters loaded there are 180,000 objects that stay to the end. A
full search among them takes 0.09 s; there are some while they are imported, one after every run of
a warm engine, and several when Python ends.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_objects() -> Iterator[None]:
    """Let what is made meanwhile, such as modules, stay for good: nobody searches it for garbage.

    The same holds for what was there before.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def leave_all() -> None:
    """Search nothing any more: the process ends, and the system takes its memory back."""
    gc.disable()
    gc.freeze()
