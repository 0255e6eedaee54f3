"""The line protocol between the engine and whoever started it.

One JSON object a line, ASCII only. A run is
``hello (progress | message)* (result | failure | cancelled)`` and nothing after it.
Standard library only, Python 3.9: QGIS's own interpreter imports this module.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Optional, Union

PROTOCOL = 1


@dataclass(frozen=True)
class Hello:
    """First line of every run: who speaks, which version, which protocol."""

    version: str
    command: str
    pid: int
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Progress:
    """How far the run is; ``fraction`` in [0, 1], never falling within a run."""

    fraction: float
    stage: str = ""
    rate: Optional[float] = None
    """Output pixels per second, or None where it means nothing."""
    remaining_s: Optional[float] = None


@dataclass(frozen=True)
class Message:
    """A line for the log; ``level`` is ``info`` or ``warning``."""

    text: str
    level: str = "info"


@dataclass(frozen=True)
class Result:
    """Success: the files written, by role (``map``, ``polygons`` …), and a summary."""

    outputs: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """The run ended with an error that has a sentence."""

    message: str
    code: str
    hint: str = ""


@dataclass(frozen=True)
class Cancelled:
    """The run ended because it was asked to."""


Event = Union[Hello, Progress, Message, Result, Failure, Cancelled]

_TYPES = {
    "hello": Hello,
    "progress": Progress,
    "message": Message,
    "result": Result,
    "failure": Failure,
    "cancelled": Cancelled,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}
TERMINAL = (Result, Failure, Cancelled)


class ProtocolError(Exception):
    """A line that is not an event: a fault of the engine, never of the user."""


def encode(event: Event) -> str:
    """Return the event as one ASCII line without its line end."""
    body = {"event": _NAMES[type(event)], **asdict(event)}
    return json.dumps(body, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def decode(line: str) -> Event:
    """Return the event that ``line`` carries; raises ProtocolError for anything else."""
    try:
        body = json.loads(line)
    except ValueError as error:
        raise ProtocolError(f"not JSON: {line[:200]!r}") from error
    if not isinstance(body, dict):
        raise ProtocolError(f"not an object: {line[:200]!r}")
    cls = _TYPES.get(body.pop("event", None))
    if cls is None:
        raise ProtocolError(f"unknown event: {line[:200]!r}")
    try:
        return cls(**body)  # type: ignore[no-any-return]
    except TypeError as error:
        raise ProtocolError(f"wrong fields: {line[:200]!r}") from error
