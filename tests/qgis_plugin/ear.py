"""What a run of the engine says, kept for a test; and waiting for what a test knows will come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from panloom.qgis_plugin.engine_process import Listener

PATIENCE_S = 60.0
"""How long something may take that takes no time on a machine that has nothing else to do."""


class Ear:
    """Keeps what a listener hears, and cancels when told."""

    def __init__(self) -> None:
        self.cancel = threading.Event()
        self.messages: list[str] = []
        self.warnings: list[str] = []
        self.fractions: list[float] = []
        self.stray: list[str] = []

    @property
    def listener(self) -> Listener:
        return Listener(
            self.cancel.is_set,
            on_progress=lambda p: self.fractions.append(p.fraction),
            on_message=lambda m: self._kept(m.level).append(m.text),
            on_stray=self.stray.append,
        )

    def wait_for(self, text: str) -> None:
        until(lambda: any(text in message for message in self.messages))

    def _kept(self, level: str) -> list[str]:
        return self.warnings if level == "warning" else self.messages


def until(true: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
