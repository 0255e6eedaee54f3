"""Stdin as a leash: what it says, and that it closes when whoever started the engine lets go.

It closes by itself when that process dies, by whatever way.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType


def watch_leash(
    on_close: Callable[[], None], on_line: Callable[[bytes], None] | None = None
) -> None:
    """Have a thread call ``on_line`` for each line on stdin, and ``on_close`` once it is closed.

    Without ``on_line`` what stdin says is not looked at.
    """
    threading.Thread(target=_watch, args=(on_close, on_line), daemon=True).start()


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Have Ctrl+C and a polite kill call ``stop``; needs the main thread."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)


def _watch(on_close: Callable[[], None], on_line: Callable[[bytes], None] | None) -> None:
    # Not sys.stdin: a thread that waits in it holds a lock that Python's end needs.
    rest = b""
    while chunk := os.read(0, 1 << 16):
        if on_line is not None:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                on_line(line)
    on_close()
