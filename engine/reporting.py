"""How a run talks to whoever started it: event lines to a program, text to a person.

Events go down a private copy of stdout, and stdin is a leash (``leash.py``). A run that does not
react to a cancel in time is ended by force, and the process with it.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from typing import Protocol, TextIO

from . import outputs
from .errors import Cancelled
from .events import Cancelled as CancelledEvent
from .events import Event, Hello, Message, Progress, encode

GRACE_S = 1.0
"""Seconds between a cancel and the end by force."""

TRAINING_GRACE_S = 8.0
"""As long for a training: a step may take seconds, and then the best model is its result."""

EXIT_RESULT, EXIT_FAILURE, EXIT_USAGE, EXIT_CANCELLED = 0, 1, 2, 130


def grace_of(command: str) -> float:
    """Return how many seconds a cancelled ``command`` has to end by itself."""
    return TRAINING_GRACE_S if command == "train" else GRACE_S


class Listening(Protocol):
    """Where events go."""

    def send(self, event: Event) -> None:
        """Pass an event on; raises OSError where nobody listens any more."""


class EventLines:
    """The real stdout as event lines; fd 1 then leads to stderr, so no stray print gets in."""

    def __init__(self) -> None:
        self._out: TextIO = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
        os.dup2(2, 1)

    def send(self, event: Event) -> None:
        """Write one line; raises OSError where nobody listens any more."""
        self._out.write(encode(event) + "\n")
        self._out.flush()


class TextLines:
    """Messages and, in a terminal, a line of progress on stderr, for people."""

    def __init__(self) -> None:
        self._on_progress_line = False

    def send(self, event: Event) -> None:
        """Show progress and messages; how the run ended is the command line's to say."""
        if isinstance(event, Progress):
            if sys.stderr.isatty():
                line = _progress_line(event)[: shutil.get_terminal_size().columns - 1]
                self._write(f"\r\x1b[K{line}")
                self._on_progress_line = True
            return
        if self._on_progress_line:
            self._write("\r\x1b[K")
            self._on_progress_line = False
        if isinstance(event, Message):
            prefix = "Warning: " if event.level == "warning" else ""
            self._write(f"{prefix}{event.text}\n")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


class Reporter:
    """The events of one run; raises Cancelled from ``report`` once the user asked to stop."""

    def __init__(self, listening: Listening, *, grace_s: float = GRACE_S) -> None:
        self._listening, self._grace_s = listening, grace_s
        self._cancelled = threading.Event()
        self._begun = False
        self._ended = threading.Lock()
        self._last_fraction = 0.0

    def begin(self, hello: Hello) -> None:
        """Send the first event; raises Cancelled after it for a run that is cancelled already."""
        self._begun = True
        self._send(hello)
        if self._cancelled.is_set():
            raise Cancelled

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

    def cancel(self) -> None:
        """Ask the run to stop: the next ``report`` raises; if none comes, the process ends.

        A run that has not begun only waits for others, which have their own time to end.
        """
        was_cancelled = self._cancelled.is_set()
        self._cancelled.set()  # before the look at what ``begin`` sets before it looks at this
        if self._begun and not was_cancelled:
            timer = threading.Timer(self._grace_s, self._end_by_force)
            timer.daemon = True
            timer.start()

    def _send(self, event: Event) -> None:
        try:
            self._listening.send(event)
        except OSError:  # whoever listened is gone
            self.cancel()

    def _end_by_force(self) -> None:
        if not self._ended.acquire(timeout=0):
            return  # the run ended by itself meanwhile
        outputs.remove_live_drafts()
        try:
            if self._begun:
                self._send(CancelledEvent())
        finally:
            os._exit(EXIT_CANCELLED)


def _progress_line(event: Progress) -> str:
    parts = [f"{event.fraction:4.0%}", event.stage]
    if event.rate:
        parts.append(f"{event.rate / 1e6:.2f} Mpx/s")
    if event.remaining_s is not None:
        minutes, seconds = divmod(round(event.remaining_s), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return "  ".join(part for part in parts if part)
