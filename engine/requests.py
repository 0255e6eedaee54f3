"""What a warm engine is asked: one JSON object a line on its stdin.

``{"run": [words after panloom], "cwd": folder}`` asks for a run, ``{"cancel": true}`` stops what
was asked for so far. Standard library only, Python 3.9: QGIS's own interpreter imports this module.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True)
class Run:
    """Run a command, ``words`` as typed after ``panloom``; in the folder ``cwd`` if given."""

    words: tuple[str, ...]
    cwd: str = ""


@dataclass(frozen=True)
class Cancel:
    """Stop every run that was asked for before."""


Request = Union[Run, Cancel]


class RequestError(Exception):
    """A line that is no request; the text says what it is instead."""


def encode_run(words: Sequence[str], cwd: str = "") -> bytes:
    """Return the line that asks for a run, with its line end."""
    return _line({"run": list(words), "cwd": cwd})


def encode_cancel() -> bytes:
    """Return the line that stops what was asked for, with its line end."""
    return _line({"cancel": True})


def decode_request(line: bytes) -> Request:
    """Return what ``line`` asks for; raises RequestError for anything else."""
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        raise RequestError("it is not JSON") from None
    if not isinstance(body, dict):
        raise RequestError("it is not an object")
    if body == {"cancel": True}:
        return Cancel()
    words, cwd = body.pop("run", None), body.pop("cwd", "")
    if body:
        raise RequestError(f"`{next(iter(body))}` is not known")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise RequestError("`run` is no list of words")
    if not isinstance(cwd, str):
        raise RequestError("`cwd` is no folder's name")
    return Run(tuple(words), cwd)


def _line(body: dict[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
