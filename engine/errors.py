"""Every error that Panloom raises on purpose.

    PanloomError
    ├── InputError      a raster, vector layer or option that cannot be used
    ├── ModelError      a model file or card that cannot be used
    ├── DeviceError     a compute device that is not there or has too little memory
    ├── OutputError     a file that cannot be written
    └── Cancelled       the user asked to stop

A message says what was found, with values, and what is needed; the hint says what to do.
"""

from __future__ import annotations


class PanloomError(Exception):
    """An expected failure: shown to the user as sentences, never as a traceback.

    ``message`` says what was found and what is needed, ``hint`` what to do about it, and ``code``
    is a stable word for programs, such as ``"no-overlap"``.
    """

    def __init__(self, message: str, code: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InputError(PanloomError):
    """A raster, a vector layer or an option cannot be used."""


class ModelError(PanloomError):
    """A model file or its card cannot be used."""


class DeviceError(PanloomError):
    """The compute device is not there, or has too little memory."""


class OutputError(PanloomError):
    """An output cannot be written."""


class Cancelled(PanloomError):
    """The user asked the run to stop."""

    def __init__(self) -> None:
        super().__init__("The run was cancelled.", "cancelled")
