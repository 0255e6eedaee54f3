"""The compute device of a run, and why it was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from .errors import DeviceError
from .machine import usable_cores

_MOST_WORKERS = 16
"""Each worker takes some hundred MB."""

DEVICES = "auto, cpu, cuda, cuda:N, cuda:all or mps"
ALL_CUDA = "cuda:all"


TorchDevice = torch.device


@dataclass(frozen=True)
class Device:
    """A torch device with the reason why the run uses it, as a sentence."""

    torch: TorchDevice
    reason: str
    may_fall_back: bool = False
    """True where the CPU may compute what the device has too little memory for."""
    others: tuple[TorchDevice, ...] = ()
    """Further devices of the same kind that compute beside the first."""

    @property
    def is_cpu(self) -> bool:
        """True where the run uses no accelerator."""
        return self.torch.type == "cpu"

    @property
    def workers(self) -> int:
        """How many batches are computed at once: one for each core that this process may use.

        Two for each CUDA device, so that one is copied while the other is computed; one for MPS.
        """
        if self.torch.type == "cuda":
            return 2 * (1 + len(self.others))
        if not self.is_cpu:
            return 1
        return min(_MOST_WORKERS, usable_cores())


@contextmanager
def one_thread(device: Device) -> Iterator[None]:
    """Let every operation on a CPU run in the one thread that calls it.

    Operations on small patches are slower in several threads, and many times so where the cores
    have other work; and results then do not depend on how many cores there are.
    """
    threads = torch.get_num_threads()
    if device.is_cpu:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def choose_device(name: str) -> Device:
    """Return the device called ``name``; raises DeviceError where it is not there.

    ``auto`` takes CUDA, then Apple's MPS, then the CPU; a device that was named is used or refused,
    never replaced.
    """
    if name == "auto":
        return _best_device()
    if name == ALL_CUDA:
        first = _cuda(torch.device("cuda", 0))
        count = torch.cuda.device_count()
        others = tuple(torch.device("cuda", index) for index in range(1, count))
        return Device(first.torch, f"All {count} CUDA devices were asked for.", others=others)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(
            f"`{name}` is no device; {DEVICES} is needed.", "unknown-device"
        ) from None
    if device.type == "cpu":
        return Device(device, "The CPU was asked for.")
    if device.type == "cuda":
        return _cuda(device)
    if device.type == "mps" and torch.backends.mps.is_available():
        return Device(device, "Apple's MPS was asked for.")
    raise DeviceError(
        f"Device `{name}` is not on this machine; {DEVICES} is needed.",
        "no-device",
        "Choose auto or cpu.",
    )


def is_out_of_memory(error: RuntimeError) -> bool:
    """True where a device lacks memory; only CUDA's allocator has a type of its own for it.

    cuDNN finds no engine where none of its workspaces fits. On a CPU nothing smaller or slower is
    left to try.
    """
    signs = (
        "backend out of memory",
        "CUDA error: out of memory",
        "_ALLOC_FAILED",
        "unable to find an engine",
    )
    return isinstance(error, torch.OutOfMemoryError) or any(s in str(error) for s in signs)


def _best_device() -> Device:
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        return Device(torch.device("cuda", 0), f"CUDA is available: {name}.", may_fall_back=True)
    if torch.backends.mps.is_available():
        return Device(torch.device("mps"), "Apple's MPS is available.", may_fall_back=True)
    return Device(torch.device("cpu"), _why_no_cuda())


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return f"The CPU is used: torch {torch.__version__} is built without CUDA."
    return f"The CPU is used: torch {torch.__version__} finds no CUDA device."


def _cuda(device: torch.device) -> Device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = device.index or 0
    if index >= count:
        raise DeviceError(
            f"Device `{device}` is not there: torch {torch.__version__} finds {count} of them.",
            "no-device",
            "Choose auto or cpu, or set up the engine with GPU support.",
        )
    return Device(
        torch.device("cuda", index), f"It was asked for: {torch.cuda.get_device_name(index)}."
    )
