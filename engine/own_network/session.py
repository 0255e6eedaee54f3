"""ONNX Runtime for graphs of users: one thread an operation, no operators but the runtime's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..device import Device
from ..errors import DeviceError, ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def runtime_device(device: Device, *, may_replace: bool) -> Device:
    """Return where ONNX Runtime runs a network: ``device``, or the CPU where it ``may_replace`` it.

    Raises DeviceError where ONNX Runtime has nothing for a device that was named.
    """
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
    options.log_severity_level = 4  # what goes wrong is raised as well
    providers: list[Any] = ["CPUExecutionProvider"]
    if not device.is_cpu:
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.torch.index or 0}))
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # the runtime's errors have no common base of their own
        raise ModelError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load `{path.name}`: "
            f"{reason_of(error)}.",
            "onnx-load",
            "Export it again, with opset 17 where another was used.",
        ) from error


def reason_of(error: Exception) -> str:
    """Return the runtime's own words for ``error``, on one line, without its prefix."""
    text = " ".join(str(error).split())
    return text.rsplit("] : ", 1)[-1].split(" : ", 2)[-1][:300].rstrip(" .")
