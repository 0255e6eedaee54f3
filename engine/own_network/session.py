"""ONNX Runtime for graphs of users: one thread an operation, no operators but the runtime's own."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..device import Device
from ..errors import DeviceError, InputError, ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (?:Load model from .*? failed:)?")
_PLACE = re.compile(r"\S+\.(?:h|cc|cpp|cu):\d+ .*?\) ")
_NEW_OPSET = re.compile(r"Opset (\d+) is under development.* till opset (\d+)")
_NO_MEMORY = ("allocate memory", "bad_alloc", "bad allocation", "out of memory", "alloc_failed")


def runtime_device(device: Device, *, may_replace: bool) -> Device:
    """Return where ONNX Runtime runs a network: ``device``, or the CPU where it ``may_replace`` it.

    Raises DeviceError where ONNX Runtime has nothing for a device that was named, and InputError
    where it is not installed.
    """
    _require_packages()
    import onnxruntime
    import torch

    runs_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device.is_cpu or (device.torch.type == "cuda" and runs_cuda):
        return device
    lacks = f"this ONNX Runtime, through which ONNX networks run, has nothing for {device.torch}"
    if may_replace:
        return Device(torch.device("cpu"), f"The CPU is used: {lacks}.")
    raise DeviceError(
        f"{lacks[0].upper()}{lacks[1:]}.",
        "no-device",
        "Choose auto or cpu, or install onnxruntime-gpu in place of onnxruntime.",
    )


def open_session(path: Path, device: Device) -> InferenceSession:
    """Return a session for the graph in ``path``; raises ModelError where it is refused."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what goes wrong is raised as well
    providers: list[Any] = ["CPUExecutionProvider"]
    if not device.is_cpu:
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.torch.index or 0}))
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # the runtime's errors have no common base of their own
        raise _refused(path, error, onnxruntime.__version__) from error


def reason_of(error: Exception) -> str:
    """Return the runtime's own words for ``error`` on one line, without files and functions."""
    text = " ".join(str(error).split())
    for noise in (_PREFIX, _PLACE):
        text = noise.sub("", text)
    return text[:300].rstrip(" .")


def is_memory(error: Exception) -> bool:
    """Return whether the runtime failed for lack of memory, of which its errors have no kind."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)


def _require_packages() -> None:
    missing = [name for name in ("onnxruntime", "onnx") if find_spec(name) is None]
    if missing:
        raise InputError(
            "Networks in ONNX files run through ONNX Runtime; of its packages this engine lacks "
            f"{' and '.join(missing)}.",
            "no-runtime",
            f"Add them (`pip install {' '.join(missing)}`), or set up the engine again.",
        )


def _refused(path: Path, error: Exception, version: str) -> ModelError:
    opsets = _NEW_OPSET.search(str(error))
    if opsets:
        return ModelError(
            f"`{path.name}` is in opset {opsets[1]}; ONNX Runtime {version} knows those up to "
            f"{opsets[2]}.",
            "onnx-opset",
            "Export it with opset 17.",
        )
    return ModelError(
        f"ONNX Runtime {version} cannot load `{path.name}`: {reason_of(error)}.",
        "onnx-load",
        "Export it again; docs/own-models.md says how.",
    )
