"""Runs one command to its end, whatever that is: every end of a run is an event."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..models.card import CardError
from .collector import lasting_objects
from .errors import Cancelled, PanloomError
from .events import Cancelled as CancelledEvent
from .events import Failure, Hello, Result
from .reporting import EXIT_CANCELLED, EXIT_FAILURE, EXIT_RESULT, Reporter
from .version import __version__

Ending = Result | Failure | CancelledEvent

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

UNEXPECTED = "unexpected"
"""The code of a failure that nobody foresaw: a bug, and the process is not to be trusted."""


@dataclass(frozen=True)
class Command:
    """A command line that was understood: the command, and its recipe's options by name."""

    name: str
    options: dict[str, Any]


def run_command(command: Command, reporter: Reporter) -> Ending:
    """Run the command, report its first and its last event, and return the last one."""
    try:
        reporter.begin(Hello(__version__, command.name, os.getpid()))
        recipe = recipe_of(command.name)
        options = getattr(recipe, f"{command.name.title()}Options")(**command.options)
        ending: Ending = recipe.run(options, reporter.report)
    except Exception as error:  # the last stop
        ending = ending_of(error)
    reporter.end(ending)
    return ending


def recipe_of(command: str) -> ModuleType:
    """Return the module that runs a command; imports what it needs, torch for some."""
    name = f"{__package__}.recipes.{command}"
    if name in sys.modules:
        return sys.modules[name]
    with lasting_objects():
        return importlib.import_module(name)


def ending_of(error: Exception) -> Failure | CancelledEvent:
    """Return the event for an error, with a traceback on stderr for one that is a bug."""
    if isinstance(error, Cancelled):
        return CancelledEvent()
    if isinstance(error, PanloomError):
        return Failure(error.message, error.code, error.hint)
    if isinstance(error, CardError):
        return Failure(str(error), "model", getattr(error, "hint", ""))
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return Failure(
            f"A file could not be written: {error.strerror}.",
            "disk-full",
            "Make room on the disk, or choose another folder.",
        )
    if _is_out_of_memory(error):
        return Failure(
            "The run needs more memory than there is.",
            "out-of-memory",
            "Choose smaller tiles (`--tile-px`), or end other programs.",
        )
    traceback.print_exception(error)
    text = f"{type(error).__name__}: {error}"
    return Failure(
        f"An unexpected error ended the run ({text[:300]}).",
        UNEXPECTED,
        "The lines above say where; please report them.",
    )


def _is_out_of_memory(error: Exception) -> bool:
    # What torch raises for a CPU's memory has no type of its own.
    torchs = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return torchs or isinstance(error, MemoryError)


def exit_code(ending: Ending) -> int:
    """Return 0 for a result, 1 for a failure, 130 for a cancelled run."""
    if isinstance(ending, Result):
        return EXIT_RESULT
    return EXIT_CANCELLED if isinstance(ending, CancelledEvent) else EXIT_FAILURE
