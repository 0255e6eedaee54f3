"""``panloom check``: does this engine work? Versions, device, projection data, one forward pass."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from pyproj import CRS, Transformer
from rasterio import crs
from rasterio.errors import CRSError
from rasterio.warp import transform as warp_transform

from ...models.bundle import load_bundle
from ...models.file import shipped_models
from ..device import choose_device
from ..errors import PanloomError
from ..events import Result
from ..machine import free_memory, usable_cores
from ..manifest import versions
from ..progress import Report
from ..runtimes.runtime import first_line

_TORCH_MAKES_ALL = "torch makes every map, large ones slower"
_OPTIONAL = {
    "onnxruntime": (
        "makes large maps on a CPU, and runs networks in ONNX files",
        f"{_TORCH_MAKES_ALL}; networks in ONNX files do not run",
    ),
    "onnx": (
        "the two other runtimes need it",
        f"the two other runtimes need it, so {_TORCH_MAKES_ALL}; networks in ONNX files do not run",
    ),
    "openvino": ("makes maps where a run asks for it", "nothing needs it"),
}
"""Packages that an engine can do without: what they are for, and what it means to lack them."""


@dataclass(frozen=True)
class CheckOptions:
    """``device`` as in ``panloom classify``."""

    device: str = "auto"


def run(options: CheckOptions, report: Report) -> Result:
    """Check every part that a run needs; raises PanloomError for the first that fails."""
    device = choose_device(options.device)
    _check_projections()
    model, forward_s = _forward_pass(device.torch)
    return Result(
        summary={
            "ok": True,
            "versions": versions(),
            "runtimes": {name: _optional(name, *means) for name, means in _OPTIONAL.items()},
            "interpreter": sys.executable,
            "device": str(device.torch),
            "device_reason": device.reason,
            "cores": usable_cores(),
            "free_memory_bytes": free_memory(),
            "projections": "proj.db works in rasterio and pyproj",
            "model": model,
            "forward_s": round(forward_s, 3),
        }
    )


def as_text(summary: dict[str, Any]) -> str:
    """Return the outcome for people."""
    lines = [f"{name:<11} {version}" for name, version in summary["versions"].items()]
    lines += [f"{name:<11} {found['text']}" for name, found in summary["runtimes"].items()]
    lines.append(f"{'device':<11} {summary['device']}. {summary['device_reason']}")
    free = f"{summary['free_memory_bytes'] / 1e9:.1f} GB free"
    lines.append(f"{'cores':<11} {summary['cores']}; memory: {free}, for this process")
    lines.append(f"{'proj.db':<11} {summary['projections']}")
    lines.append(
        f"{'model':<11} {summary['model']}, one forward pass in {summary['forward_s']:.3f} s"
    )
    return "\n".join([*lines, "The engine works."])


def _optional(package: str, use: str, lack: str) -> Mapping[str, str | None]:
    """Return the version of a package, None where it cannot be used, and a text that says so."""
    try:
        module = import_module(package)
    except Exception as error:  # a library that does not fit the machine raises what it likes
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        why = "not installed" if missing else f"cannot be loaded ({first_line(error)})"
        return {"version": None, "text": f"{why}: {lack}"}
    version = str(module.__version__).partition("-")[0]
    return {"version": version, "text": f"{version}: {use}"}


def _check_projections() -> None:
    """Project one point with both libraries: each brings a proj.db of its own.

    In UTM zone 30 the central meridian is 3° W, so (3° W, 0° N) is (500,000 m, 0 m).
    """
    try:
        xs, ys = warp_transform(crs.CRS.from_epsg(4326), crs.CRS.from_epsg(32630), [-3.0], [0.0])
        x, y = Transformer.from_crs(CRS.from_epsg(4326), 32630, always_xy=True).transform(-3.0, 0.0)
    except (CRSError, RuntimeError) as error:
        raise _proj_error(str(error)) from error
    if max(abs(xs[0] - 500_000), abs(ys[0]), abs(x - 500_000), abs(y)) > 1e-3:
        raise _proj_error(f"a test point came out at ({x:.3f}, {y:.3f})")


def _proj_error(reason: str) -> PanloomError:
    return PanloomError(
        f"Projections do not work in this engine: {reason}.",
        "proj-db",
        "PROJ_LIB, PROJ_DATA or GDAL_DATA may point to another installation; unset them.",
    )


def _forward_pass(device: torch.device) -> tuple[str, float]:
    path, card = shipped_models()[0]
    network = load_bundle(path).network.to(device)
    side = 2 * network.lattice_px * 8
    ms = torch.zeros(1, len(card.bands), side, side, device=device)
    pan = torch.zeros(1, 1, side * card.ratio, side * card.ratio, device=device)
    began = time.monotonic()
    with torch.inference_mode():
        logits = network(ms, pan)
    if not bool(torch.isfinite(logits).all()):
        raise PanloomError(
            f"The forward pass of `{card.name}` on {device} gave NaN.",
            "forward-pass",
            "Try `--device cpu`; if that works, the GPU driver or torch build does not fit.",
        )
    return card.name, time.monotonic() - began
