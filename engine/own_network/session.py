"""ONNX Runtime for graphs of users: one thread an operation, no operators but the runtime's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DeviceError, ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from ..device import Device


def open_session(path: Path, device: Device, *, may_replace: bool) -> tuple[InferenceSession, str]:
    """Return a session for the graph in ``path`` and a sentence on where it runs.

    ``may_replace``: where ONNX Runtime has nothing for ``device`` the CPU is taken. Raises
    DeviceError where it may not, ModelError where ONNX Runtime refuses the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised as well
    providers, reason = _providers(path, device, may_replace)
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers), reason
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


def _providers(path: Path, device: Device, may_replace: bool) -> tuple[list[Any], str]:
    import onnxruntime

    cpu = "CPUExecutionProvider"
    if device.is_cpu:
        return [cpu], f"`{path.name}` runs on the CPU through ONNX Runtime."
    found = onnxruntime.get_available_providers()
    if device.torch.type == "cuda" and "CUDAExecutionProvider" in found:
        cuda = ("CUDAExecutionProvider", {"device_id": device.torch.index or 0})
        return [cuda, cpu], f"`{path.name}` runs on {device.torch} through ONNX Runtime."
    if may_replace:
        return [cpu], (
            f"`{path.name}` runs on the CPU: this ONNX Runtime has nothing for {device.torch}."
        )
    raise DeviceError(
        f"`{path.name}` runs through ONNX Runtime, and this one has nothing for {device.torch}.",
        "no-device",
        "Choose auto or cpu, or install onnxruntime-gpu in place of onnxruntime.",
    )
