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

GRACE_S = 1.5
"""How long a child may take to stop after its leash was closed."""

FAREWELL_S = 10.0
"""How long a child may take to exit after it has said its last."""

_POLL_S = 0.05
_LEFTOVER_S = 1.0
_LINE_BYTES = 1 << 20


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
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        **_own_group(),
    )
    lines: queue.Queue[tuple[str, Optional[str]]] = queue.Queue(maxsize=10_000)
    readers = [
        threading.Thread(target=_read, args=(name, stream, lines), daemon=True)
        for name, stream in (("out", child.stdout), ("err", child.stderr))
    ]
    for reader in readers:
        reader.start()
    try:
        _follow(child, lines, on_line, is_cancelled, grace_s)
    finally:
        _end_tree(child)
        _drain(readers, lines)
    return child.wait()


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
    child: subprocess.Popen[bytes],
    lines: queue.Queue[tuple[str, Optional[str]]],
    on_line: OnLine,
    is_cancelled: Callable[[], bool],
    grace_s: float,
) -> None:
    """Hand over lines until both streams have ended or a deadline has passed."""
    deadline: Optional[float] = None
    leash_closed = False
    open_streams = 2
    while open_streams and (deadline is None or time.monotonic() < deadline):
        with contextlib.suppress(queue.Empty):
            name, line = lines.get(timeout=_POLL_S)
            if line is None:
                open_streams -= 1
            elif on_line(name, line):
                deadline = _earlier(deadline, FAREWELL_S)
        if not leash_closed and is_cancelled():
            leash_closed = True
            _close(child.stdin)
            deadline = _earlier(deadline, grace_s)
        if child.poll() is not None and lines.empty():
            # A descendant that outlives the child may hold its streams open.
            deadline = _earlier(deadline, _LEFTOVER_S)
    if deadline is None:
        # Streams closed, process alive: nothing more can be learned from it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=grace_s)


def _drain(readers: list[threading.Thread], lines: queue.Queue[tuple[str, Optional[str]]]) -> None:
    """Let readers that wait for room in the queue come to their end."""
    deadline = time.monotonic() + _LEFTOVER_S
    while any(r.is_alive() for r in readers) and time.monotonic() < deadline:
        with contextlib.suppress(queue.Empty):
            lines.get(timeout=0.01)


def _earlier(deadline: Optional[float], seconds: float) -> float:
    fresh = time.monotonic() + seconds
    return fresh if deadline is None else min(deadline, fresh)


def _close(stream: Optional[IO[bytes]]) -> None:
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.close()


def _end_tree(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole group, also when only its descendants are left."""
    _close(child.stdin)
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
