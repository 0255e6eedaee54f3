"""A child process that is read line by line and can be ended, with all its descendants.

Standard library only, Python 3.9. The child's stdin is a leash: it is held open while the child may
run, and closed to ask it to stop; it closes by itself when QGIS dies.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, Callable, Optional

OnLine = Callable[[str, str], bool]
"""Takes the stream's name (``out``, ``err``) and a line; True once the child has said its last."""

GRACE_S = 2.5
"""How long a child may take to stop after its leash was closed; the engine gives itself less."""

FAREWELL_S = 10.0
"""How long a child may take to exit after it has said its last."""

POLL_S = 0.05
"""How often somebody is asked whether to cancel."""

LEFTOVER_S = 1.0
"""How long the last lines of a child that is gone may take."""

_LINE_BYTES = 1 << 20


class Child:
    """A running child with its lines; ``end`` has to be called, whatever happens before."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start ``command``; raises OSError when it cannot be started."""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            **_own_group(),
        )
        self._lines: queue.Queue[tuple[str, Optional[str]]] = queue.Queue(maxsize=10_000)
        self._readers = [
            threading.Thread(target=_read, args=(name, stream, self._lines), daemon=True)
            for name, stream in (("out", self.process.stdout), ("err", self.process.stderr))
        ]
        self._killing = threading.Lock()
        self.killed = False
        for reader in self._readers:
            reader.start()

    def next_line(self, timeout_s: float = POLL_S) -> Optional[tuple[str, Optional[str]]]:
        """Return a stream's name and its next line, None in place of a line at the stream's end.

        Returns None where there is nothing for ``timeout_s``.
        """
        with contextlib.suppress(queue.Empty):
            return self._lines.get(timeout=timeout_s) if timeout_s else self._lines.get_nowait()
        return None

    def send(self, line: bytes) -> None:
        """Write to the child's stdin; raises OSError where it does not listen any more."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except ValueError:  # closed meanwhile
            raise BrokenPipeError from None

    def let_go(self) -> None:
        """Close the leash, which asks the child to stop."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def has_exited(self) -> bool:
        """Return whether the child is gone and every line of it was taken."""
        return self.process.poll() is not None and self._lines.empty()

    def kill(self) -> None:
        """Kill the child's whole group, also what is left of it when the child is gone."""
        with self._killing:
            # Once: when nothing is left of the group, the system may give its number to others.
            if not self.killed:
                _kill_tree(self.process)
                self.killed = True

    def end(self) -> int:
        """Leave no process and no thread of the child, and return its exit code."""
        self.let_go()
        self.kill()
        _drain(self._readers, self._lines)
        return self.process.wait()


def run_child(
    command: Sequence[str],
    environment: Mapping[str, str],
    on_line: OnLine,
    is_cancelled: Callable[[], bool],
    grace_s: float = GRACE_S,
) -> int:
    """Run ``command`` to its end and return its exit code.

    When ``is_cancelled`` turns True the leash is closed, and ``grace_s`` later the process tree is
    killed. Whatever happens, also an exception from ``on_line``, no descendant is left running.
    Raises OSError when the command cannot be started.
    """
    child = Child(command, environment)
    try:
        _follow(child, on_line, is_cancelled, grace_s)
    finally:
        code = child.end()
    return code


def _own_group() -> dict[str, Any]:
    """Return the Popen options that make the child the head of a group that can be killed whole."""
    if os.name == "nt":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined]
        return {"creationflags": flags}
    return {"start_new_session": True}


def _read(name: str, stream: IO[bytes], lines: queue.Queue[tuple[str, Optional[str]]]) -> None:
    with contextlib.suppress(OSError, ValueError), stream:
        while True:
            line = stream.readline(_LINE_BYTES)
            if not line:
                break
            lines.put((name, line.decode("utf-8", "replace").rstrip("\r\n")))
    lines.put((name, None))


def _follow(
    child: Child, on_line: OnLine, is_cancelled: Callable[[], bool], grace_s: float
) -> None:
    """Hand over lines until both streams have ended or a deadline has passed."""
    deadline: Optional[float] = None
    let_go = False
    open_streams = 2
    while open_streams and (deadline is None or time.monotonic() < deadline):
        heard = child.next_line()
        if heard is not None:
            name, line = heard
            if line is None:
                open_streams -= 1
            elif on_line(name, line):
                deadline = _earlier(deadline, FAREWELL_S)
        if not let_go and is_cancelled():
            let_go = True
            child.let_go()
            deadline = _earlier(deadline, grace_s)
        if child.has_exited():
            # A descendant that outlives the child may hold its streams open.
            deadline = _earlier(deadline, LEFTOVER_S)
    if deadline is None:
        # Streams closed, process alive: nothing more can be learned from it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(timeout=grace_s)


def _drain(readers: list[threading.Thread], lines: queue.Queue[tuple[str, Optional[str]]]) -> None:
    """Let readers that wait for room in the queue come to their end."""
    deadline = time.monotonic() + LEFTOVER_S
    while any(r.is_alive() for r in readers) and time.monotonic() < deadline:
        with contextlib.suppress(queue.Empty):
            lines.get(timeout=0.01)


def _earlier(deadline: Optional[float], seconds: float) -> float:
    fresh = time.monotonic() + seconds
    return fresh if deadline is None else min(deadline, fresh)


def _kill_tree(child: subprocess.Popen[bytes]) -> None:
    if os.name == "nt":
        if child.poll() is None:
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(child.pid)],
                capture_output=True,
                check=False,
                **_own_group(),
            )
        child.wait()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for _ in range(20):  # a killed descendant takes a moment to go
            os.killpg(child.pid, 0)
            time.sleep(0.01)
    child.wait()
