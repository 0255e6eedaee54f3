"""``panloom serve``: a process that stays, so that only the first of many runs waits for torch.

Each line on stdin is a request (``requests.py``). A run is answered by the events of a run in a
process of its own; so is what is no request, by a failure. The process ends when stdin closes, when
nothing was asked for a while, and where a run leaves it in a state that nobody can vouch for.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .collector import lasting_objects
from .dispatch import UNEXPECTED, Command, Ending, ending_of, exit_code, run_command
from .errors import Cancelled, InputError
from .events import Failure, Hello
from .leash import stop_on_signals, watch_leash
from .reporting import EXIT_RESULT, EventLines, Reporter, grace_of
from .requests import Cancel, RequestError, Run, decode_request
from .version import __version__

if TYPE_CHECKING:
    from .process_state import ProcessState

SERVE = "serve"

Parse = Callable[[Sequence[str]], Command]
"""Understands a command line; raises SystemExit as argparse does."""


def serve(parse: Parse, idle_s: float) -> int:
    """Answer requests until stdin closes or ``idle_s`` have passed without one.

    Returns the exit code: that of the last run where it was cut short, else 0.
    """
    events = EventLines()
    events.send(Hello(__version__, SERVE, os.getpid()))
    asked = _Asked(events)
    stop_on_signals(asked.close)
    watch_leash(asked.close, asked.take)
    state = _warm_up()
    while (task := asked.next(idle_s)) is not None:
        ending = _answer(task, parse, state)
        asked.answered(task)
        if asked.closed or (isinstance(ending, Failure) and ending.code == UNEXPECTED):
            return exit_code(ending)
    return EXIT_RESULT


def _warm_up() -> ProcessState:
    """Import what takes long, and return what a run is to find."""
    with lasting_objects():
        from .process_state import ProcessState  # imports torch

    return ProcessState.now()


@dataclass(frozen=True, eq=False)
class _Task:
    """One request with the reporter of its answer; a line that is no request is an error."""

    reporter: Reporter
    request: Run | InputError


class _Asked:
    """The requests that wait for an answer, in order; filled by the thread that reads stdin."""

    def __init__(self, events: EventLines) -> None:
        self._events = events
        self._waiting: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._unanswered: list[_Task] = []
        self._lock = threading.RLock()
        self.closed = False

    def take(self, line: bytes) -> None:
        """Take a request: have a run wait for its turn, or cancel those that were asked for."""
        try:
            request = decode_request(line)
        except RequestError as error:
            self._add(_Task(Reporter(self._events), _no_request(error)))
            return
        if isinstance(request, Cancel):
            self._cancel()
        else:
            grace_s = grace_of(request.words[0] if request.words else "")
            self._add(_Task(Reporter(self._events, grace_s=grace_s), request))

    def close(self) -> None:
        """Cancel everything; nobody asks any more."""
        self.closed = True
        self._cancel()
        self._waiting.put(None)

    def next(self, idle_s: float) -> _Task | None:
        """Return the next request, or None where there is none for ``idle_s`` or ever again."""
        try:
            return self._waiting.get(timeout=min(idle_s, threading.TIMEOUT_MAX))
        except queue.Empty:
            return None

    def answered(self, task: _Task) -> None:
        """Forget a request."""
        with self._lock:
            self._unanswered.remove(task)

    def _add(self, task: _Task) -> None:
        # Before a cancel can come that is meant for it.
        with self._lock:
            self._unanswered.append(task)
        self._waiting.put(task)

    def _cancel(self) -> None:
        with self._lock:
            for task in self._unanswered:
                task.reporter.cancel()


def _answer(task: _Task, parse: Parse, state: ProcessState) -> Ending:
    from .process_state import left_as_found

    with left_as_found(state):
        try:
            command = _command(task.request, parse)
        except InputError as error:
            return _refuse(task.reporter, error)
        return run_command(command, task.reporter)


def _refuse(reporter: Reporter, error: InputError) -> Ending:
    """Answer what cannot be run as a run that fails."""
    with contextlib.suppress(Cancelled):
        reporter.begin(Hello(__version__, SERVE, os.getpid()))
    ending = ending_of(error)
    reporter.end(ending)
    return ending


def _command(request: Run | InputError, parse: Parse) -> Command:
    """Return the command to run, from the folder that was asked for; raises InputError."""
    if isinstance(request, InputError):
        raise request
    command = _understood(request.words, parse)
    if request.cwd:
        _enter(request.cwd)
    return command


def _understood(words: Sequence[str], parse: Parse) -> Command:
    """Return what ``words`` ask for; raises InputError with what argparse says."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            command = parse(words)
    except SystemExit:
        raise InputError(
            f"The engine does not run this command line.\n{said.getvalue().strip()}",
            "usage",
            "`panloom COMMAND --help` says what a command takes.",
        ) from None
    if command.name == SERVE:
        raise InputError(
            "A warm engine cannot serve within itself; it runs the other commands.",
            "usage",
            "Start another process for that.",
        )
    return command


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"The folder `{folder}` cannot be entered: {reason}.",
            "no-folder",
            "Give `cwd` a folder that is there, or leave it out.",
        ) from error


def _no_request(error: RequestError) -> InputError:
    return InputError(
        f"This line is no request: {error}.",
        "request",
        'Write {"run": ["COMMAND", …]} or {"cancel": true}, one object a line.',
    )
