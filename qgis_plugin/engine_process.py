"""One run of the engine in a process of its own, followed by its events.

Standard library only, Python 3.9: no QGIS here, so this is tested without QGIS.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Callable, Optional

from ..engine.events import (
    PROTOCOL,
    TERMINAL,
    Cancelled,
    Event,
    Failure,
    Hello,
    Message,
    Progress,
    ProtocolError,
    Result,
    decode,
)
from ..engine.version import __version__
from .child_process import GRACE_S, run_child
from .exit_codes import explain_exit

SET_UP = "Run “Set up the engine” (Processing Toolbox → Panloom → Engine)."
"""The one thing to do where the engine is missing or does not fit."""

_LAST_LINES = 15


class EngineError(Exception):
    """The engine failed; ``message`` says how and ``hint`` what to do."""

    def __init__(self, message: str, hint: str = "", code: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint
        self.code = code


class EngineCancelled(Exception):
    """The run was cancelled and the engine is gone."""


@dataclass
class Listener:
    """Where a run's progress, messages and stray lines go; ``is_cancelled`` is asked often."""

    is_cancelled: Callable[[], bool]
    on_progress: Callable[[Progress], None] = lambda _: None
    on_message: Callable[[Message], None] = lambda _: None
    on_stray: Callable[[str], None] = lambda _: None


def run_engine(
    command: Sequence[str],
    environment: Mapping[str, str],
    listener: Listener,
    grace_s: float = GRACE_S,
) -> Result:
    """Run ``command`` (see ``engine_command``) to its end and return its result.

    After a cancel the engine has ``grace_s`` to end by itself; a result that it gives then counts.
    Raises EngineError with the engine's own sentence, or with what is known of its crash;
    EngineCancelled after a cancel, when no process of the engine is left.
    """
    heard = Heard(listener)
    try:
        code = run_child(command, environment, heard.line, listener.is_cancelled, grace_s)
    except OSError as error:
        text = f"The engine's Python “{command[0]}” could not be started: {error.strerror}."
        raise EngineError(text, SET_UP, "engine-missing") from error
    return heard.result(code)


@dataclass
class Heard:
    """What the engine has said of one run so far."""

    listener: Listener
    hello: Optional[Hello] = None
    ending: Optional[Event] = None
    last_lines: collections.deque[str] = field(
        default_factory=lambda: collections.deque(maxlen=_LAST_LINES)
    )

    def line(self, stream: str, text: str) -> bool:
        """Take one line; True when it was the terminal event."""
        if stream == "err":
            self.last_lines.append(text)
            self.listener.on_stray(text)
            return False
        self._event(text)
        return self.ending is not None

    def result(self, code: int) -> Result:
        """Return the result of a run that is over; ``code`` is the engine's exit code if it ended.

        Raises EngineError and EngineCancelled as ``run_engine`` does.
        """
        if isinstance(self.ending, Result):
            return self.ending
        if isinstance(self.ending, Cancelled) or self.listener.is_cancelled():
            raise EngineCancelled
        if isinstance(self.ending, Failure):
            raise EngineError(self.ending.message, self.ending.hint, self.ending.code)
        raise _crash(code, self)

    def _event(self, text: str) -> None:
        try:
            event = decode(text)
        except ProtocolError as error:
            raise _protocol_fault(str(error)) from error
        if self.ending is not None:
            raise _protocol_fault(f"a line after the end: {text[:200]!r}")
        if self.hello is None:
            self.hello = _checked(event)
        elif isinstance(event, TERMINAL):
            self.ending = event
        elif isinstance(event, Progress):
            self.listener.on_progress(event)
        elif isinstance(event, Message):
            self.listener.on_message(event)
        else:
            raise _protocol_fault("a second hello")


def _checked(event: Event) -> Hello:
    if not isinstance(event, Hello):
        raise _protocol_fault("no hello in the first line")
    if event.version != __version__ or event.protocol != PROTOCOL:
        raise EngineError(
            f"The engine is version {event.version} (protocol {event.protocol}), the plugin is "
            f"version {__version__} (protocol {PROTOCOL}); they have to be the same.",
            "Update the environment that PANLOOM_PYTHON or the setting names, or take it out. "
            + SET_UP,
            "version-skew",
        )
    return event


def _protocol_fault(what: str) -> EngineError:
    return EngineError(
        f"The engine said something that the plugin does not understand ({what}).",
        "This is a fault of Panloom, not of the data: please report it with this log.",
        "protocol",
    )


def _crash(code: int, heard: Heard) -> EngineError:
    """Return the error for an engine that ended without its terminal event."""
    last = "\n".join(heard.last_lines)
    if "No module named panloom" in last:
        return EngineError("This Python has no Panloom engine.", SET_UP, "engine-missing")
    if code == 2:
        what = f"The engine did not accept its command line.\n{last}"
        return EngineError(what.strip(), "Please report this with the log.", "usage")
    said = f"Its last lines were:\n{last}" if last.strip() else "It said nothing before it ended."
    return EngineError(
        f"The engine ended without a result, {explain_exit(code)}. {said}", "", "crash"
    )
