"""What a run may change in its process, put back for the next one.

A run in a warm engine has to find what it would find in a process of its own: that folder, those
variables, torch's settings as they were and its random numbers as if none had been drawn.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from . import outputs
from .runtimes.onnx_memory import give_back_pool

_backends: Any = torch.backends  # most of it has no types
_SWITCHES: tuple[tuple[Any, str], ...] = (
    (_backends.cudnn, "benchmark"),
    (_backends.cudnn, "deterministic"),
    (_backends.cudnn, "allow_tf32"),  # the older name of the next two, before them
    (_backends.cudnn.conv, "fp32_precision"),
    (_backends.cudnn.rnn, "fp32_precision"),
    (_backends.cuda.matmul, "fp32_precision"),
    (_backends.mkldnn.conv, "fp32_precision"),
    (_backends.mkldnn.matmul, "fp32_precision"),
)
"""Settings of torch that hold for the whole process; speed and rounding depend on them."""


@dataclass(frozen=True)
class ProcessState:
    """The state of this process at one moment; ``folder`` is empty where it has been removed."""

    folder: str
    variables: dict[str, str]
    threads: int
    seed: int
    precision: str
    deterministic: int
    switches: tuple[object, ...]

    @staticmethod
    def now() -> ProcessState:
        """Return the present state."""
        return ProcessState(
            working_folder(),
            dict(os.environ),
            torch.get_num_threads(),
            torch.initial_seed(),
            torch.get_float32_matmul_precision(),
            torch.get_deterministic_debug_mode(),
            tuple(getattr(owner, name) for owner, name in _SWITCHES),
        )

    def restore(self) -> None:
        """Make the process what it was."""
        with contextlib.suppress(OSError):  # the folder may be gone
            os.chdir(self.folder)
        for name in set(os.environ) - set(self.variables):
            del os.environ[name]
        os.environ.update(self.variables)
        torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        torch.set_float32_matmul_precision(self.precision)
        torch.set_deterministic_debug_mode(self.deterministic)
        for (owner, name), value in zip(_SWITCHES, self.switches, strict=True):
            setattr(owner, name, value)


@contextlib.contextmanager
def left_as_found(state: ProcessState) -> Iterator[None]:
    """Put ``state`` back afterwards, and give back the files and the memory of what ran."""
    try:
        yield
    finally:
        outputs.remove_live_drafts()
        state.restore()
        gc.collect()  # an error's traceback holds datasets and arrays in circles
        give_back_pool()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _trim_heap()


def working_folder() -> str:
    """Return the folder that relative paths start from, empty where it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _trim_heap() -> None:
    """Give freed memory back to the system where the C library keeps it for itself (glibc)."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
