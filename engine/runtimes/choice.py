"""Which runtime computes a map: decided on the first tile that has pixels, for the whole run."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ...models.card import ModelCard
from ..allocator import give_back_memory
from ..device import Device, is_out_of_memory
from ..errors import InputError
from ..events import Message
from ..radiometry import Radiometry
from ..scene.pair import TileData
from .agreement import LEAST_AGREEMENT, Agreement, compare
from .graph_cache import default_cache
from .map_step import MapStep, float_arrays_of
from .onnx_graph import graph_of, sizes_of
from .onnx_runtime import OnnxRuntime
from .openvino_runtime import OpenVinoRuntime
from .precision import half_precision
from .runtime import (
    ONNXRUNTIME,
    OPENVINO,
    RUNTIMES,
    TORCH,
    CannotRunError,
    Pieces,
    Runtime,
    first_line,
)
from .torch_runtime import TorchRuntime

FEW_PX = 2_000_000
"""PAN pixels of a map up to which ``auto`` takes torch.

From the command line, with four cores, torch and ONNX Runtime are level at 2.1 million.
"""
LEAST_IN_HALF = 0.999
"""Share of valid pixels with single precision's class that half precision has to reach."""
_PACKAGES = {ONNXRUNTIME: ("onnxruntime", "onnx"), OPENVINO: ("openvino", "onnx")}
TITLES = {TORCH: "torch", ONNXRUNTIME: "ONNX Runtime", OPENVINO: "OpenVINO"}


@dataclass(frozen=True)
class RuntimeWish:
    """What a run asks for: a name of ``RUNTIMES``, and what it has to do.

    ``pixels`` are those of the map; ``evaluation`` is ``dense`` or ``patch``; ``precision`` is that
    of torch, ``auto`` or one of ``PRECISIONS``.
    """

    name: str = "auto"
    pixels: int = 0
    evaluation: str = "dense"
    precision: str = "auto"


TORCH_ONLY = RuntimeWish(TORCH)


@dataclass(frozen=True)
class RuntimeUse:
    """The runtime of a run, what was said of it, and how it agreed with torch, if compared.

    ``first`` is what it gave for the tile that it was compared on.
    """

    runtime: Runtime
    note: Message
    agreement: Agreement | None = None
    first: Pieces | None = None

    def to_json(self) -> dict[str, Any]:
        """Return name, version and agreement for a run's manifest."""
        name, _, version = self.runtime.title.rpartition(" ")
        body: dict[str, Any] = {"name": name, "version": version, "reason": self.note.text}
        if self.agreement is not None:
            body["agreement"] = self.agreement.to_json()
        return body


def require_runtime(wish: RuntimeWish, device: Device) -> None:
    """Raise InputError where a runtime was named that this machine or run cannot use."""
    if wish.name not in RUNTIMES:
        raise InputError(
            f"`{wish.name}` is no runtime; {', '.join(RUNTIMES[:-1])} or {RUNTIMES[-1]} is needed.",
            "unknown-runtime",
        )
    if wish.name not in _PACKAGES:
        return
    title = TITLES[wish.name]
    missing = [package for package in _PACKAGES[wish.name] if find_spec(package) is None]
    if missing:
        one = len(missing) == 1
        raise InputError(
            f"{title} was asked for, and the package{'' if one else 's'} "
            f"{' and '.join(missing)} {'is' if one else 'are'} not installed.",
            "no-runtime",
            f"Install {'it' if one else 'them'} (`pip install {' '.join(missing)}`), or leave "
            "`--runtime` at auto.",
        )
    if not device.is_cpu:
        raise InputError(
            f"{title} was asked for, which Panloom runs on the CPU; the device is {device.torch}.",
            "runtime-device",
            "Add `--device cpu`, or leave `--runtime` at auto.",
        )
    if wish.evaluation == "patch" or wish.precision not in ("auto", "fp32"):
        patch = wish.evaluation == "patch"
        option = "--evaluation patch" if patch else f"--precision {wish.precision}"
        raise InputError(
            f"{title} was asked for together with `{option}`, which only torch does.",
            "runtime-option",
            "Leave one of them out.",
        )


@dataclass(frozen=True)
class RuntimeStart:
    """What a runtime is made of: see ``start_runtime``."""

    step: MapStep
    card: ModelCard
    radiometry: Radiometry
    device: Device
    workers: int
    reference: TorchRuntime
    lattice_px: int


def start_runtime(wish: RuntimeWish, start: RuntimeStart, first: TileData) -> RuntimeUse:
    """Return the runtime for a run whose first tile with valid pixels is ``first``.

    Another runtime than torch has to export the network and to give ``first`` torch's classes;
    otherwise torch is returned, with a note that says so.
    """
    name, why = wanted_runtime(wish, start.device)
    if name == TORCH:
        return _torch(wish, start, first, why)
    try:
        runtime = _make(name, start, first)
        agreement, pieces = _compare(runtime, start, first)
        give_back_memory()  # torch's, for the comparison
    except CannotRunError as error:
        return _instead(start, f"{TITLES[name]} cannot run this network ({error})")
    except ImportError as error:  # the package is there, but not all that it needs
        return _instead(start, f"{TITLES[name]} cannot be loaded ({first_line(error)})")
    said = f"{runtime.title} gives torch's class on {agreement}"
    if not agreement.reaches(LEAST_AGREEMENT):
        return _instead(start, f"{said}; {100 * LEAST_AGREEMENT:.2f} % are needed", agreement)
    return RuntimeUse(runtime, Message(f"Runtime: {said}."), agreement, pieces)


def _compare(runtime: Runtime, start: RuntimeStart, first: TileData) -> tuple[Agreement, Pieces]:
    return compare(runtime, start.reference, first, start.step.form, start.lattice_px)


def _torch(wish: RuntimeWish, start: RuntimeStart, first: TileData, why: str) -> RuntimeUse:
    """Return torch, in half precision where that is wanted and hardly changes the map."""
    half = half_precision(wish.precision, start.device)
    if half is None:
        return RuntimeUse(start.reference, Message(f"Runtime: {start.reference.title}{why}."))
    runtime = start.reference.in_precision(half)
    try:
        agreement, pieces = _compare(runtime, start, first)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        # The first batch will meet it, too, and has an answer.
        return RuntimeUse(start.reference, Message(f"Runtime: {start.reference.title}."))
    said = f"{runtime.title} gives the class of single precision on {agreement}"
    if not agreement.reaches(LEAST_IN_HALF):
        return _instead(start, f"{said}; {100 * LEAST_IN_HALF:.2f} % are needed", agreement)
    return RuntimeUse(runtime, Message(f"Runtime: {said}."), agreement, pieces)


def wanted_runtime(wish: RuntimeWish, device: Device) -> tuple[str, str]:
    """Return the runtime to try, and why it is torch where that needs saying."""
    if wish.name != "auto":
        return wish.name, ""
    if not device.is_cpu or wish.evaluation == "patch" or wish.precision in ("bf16", "fp16"):
        return TORCH, ""
    if any(find_spec(package) is None for package in _PACKAGES[ONNXRUNTIME]):
        return TORCH, "; ONNX Runtime, which is faster, is not installed"
    if wish.pixels <= FEW_PX:
        return TORCH, f"; for {wish.pixels:,} pixels it is done before another is ready"
    return ONNXRUNTIME, ""


def _make(name: str, start: RuntimeStart, first: TileData) -> Runtime:
    example = float_arrays_of(first, start.radiometry)
    graph = graph_of(start.step, start.card, example, default_cache(), start.lattice_px)
    if name == OPENVINO:
        return OpenVinoRuntime(graph, start.radiometry, example, start.workers)
    return OnnxRuntime(graph, start.radiometry, sizes_of(example))


def _instead(start: RuntimeStart, why: str, agreement: Agreement | None = None) -> RuntimeUse:
    text = f"{why}. {start.reference.title} computes the whole map instead."
    return RuntimeUse(start.reference, Message(text, "warning"), agreement)
