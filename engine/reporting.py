"""How a run talks to whoever started it: event lines to a program, text to a person.

With ``--events`` the engine owns a private copy of stdout and stdin is a leash: when it closes, the
run is cancelled. A run that does not react in time is ended by the watching thread.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from types import FrameType
from typing import TextIO

from . import outputs
from .errors import Cancelled
from .events import Cancelled as CancelledEvent
from .events import Event, Message, Progress, encode

GRACE_S = 1.0
"""Seconds between a cancel and the end by force."""

TRAINING_GRACE_S = 8.0
"""As long for a training: a step may take seconds, and then the best model is its result."""

EXIT_RESULT, EXIT_FAILURE, EXIT_USAGE, EXIT_CANCELLED = 0, 1, 2, 130


class Reporter:
    """Sends events and raises Cancelled from ``report`` once the user asked to stop."""

    def __init__(self, *, events: bool, grace_s: float = GRACE_S) -> None:
        self.events, self.grace_s = events, grace_s
        self._out: TextIO = _private_stdout() if events else sys.stderr
        self._cancelled = threading.Event()
        self._ended = threading.Lock()
        self._last_fraction = 0.0
        self._on_progress_line = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        if events:
            threading.Thread(target=self._watch_leash, daemon=True).start()

    def report(self, event: Event) -> None:
        """Send an event; raises Cancelled where the user asked to stop."""
        if self._cancelled.is_set():
            raise Cancelled
        if isinstance(event, Progress):
            self._last_fraction = max(self._last_fraction, min(1.0, event.fraction))
            event = Progress(self._last_fraction, event.stage, event.rate, event.remaining_s)
        self._send(event)

    def end(self, event: Event) -> None:
        """Send the terminal event; nothing is sent after it."""
        if self._ended.acquire(blocking=False):
            self._send(event)

    def _send(self, event: Event) -> None:
        if not self.events:
            self._print(event)
            return
        try:
            self._out.write(encode(event) + "\n")
            self._out.flush()
        except OSError:  # whoever listened is gone
            self.cancel()

    def cancel(self) -> None:
        """Ask the run to stop: the next ``report`` raises; if none comes, the process ends."""
        if not self._cancelled.is_set():
            self._cancelled.set()
            timer = threading.Timer(self.grace_s, self._end_by_force)
            timer.daemon = True
            timer.start()

    def _end_by_force(self) -> None:
        if not self._ended.acquire(timeout=0):
            return  # the run ended by itself meanwhile
        outputs.remove_live_drafts()
        try:
            self._send(CancelledEvent())
        finally:
            os._exit(EXIT_CANCELLED)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.cancel()

    def _watch_leash(self) -> None:
        while os.read(0, 4096):
            pass
        self.cancel()

    def _print(self, event: Event) -> None:
        if isinstance(event, Progress):
            if self._out.isatty():
                line = _progress_line(event)[: shutil.get_terminal_size().columns - 1]
                self._out.write(f"\r\x1b[K{line}")
                self._out.flush()
                self._on_progress_line = True
            return
        if self._on_progress_line:
            self._out.write("\r\x1b[K")
            self._on_progress_line = False
        if isinstance(event, Message):
            prefix = "Warning: " if event.level == "warning" else ""
            self._out.write(f"{prefix}{event.text}\n")
            self._out.flush()


def _private_stdout() -> TextIO:
    """Return the real stdout and point fd 1 at stderr: no stray print can corrupt the events."""
    private = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    os.dup2(2, 1)
    return private


def _progress_line(event: Progress) -> str:
    parts = [f"{event.fraction:4.0%}", event.stage]
    if event.rate:
        parts.append(f"{event.rate / 1e6:.2f} Mpx/s")
    if event.remaining_s is not None:
        minutes, seconds = divmod(round(event.remaining_s), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return "  ".join(part for part in parts if part)
