"""`panloom classify` within this process, for benchmarks that time or watch it."""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from typing import Any

from scenes import MODEL

from panloom.engine.events import Result
from panloom.engine.recipes.classify import ClassifyOptions, run

RUNTIMES = ("torch", "onnxruntime", "openvino")


def installed_runtimes() -> list[str]:
    """Return the runtimes that are installed and that this version of the engine knows."""
    if "runtime" not in {field.name for field in fields(ClassifyOptions)}:
        return ["torch"]
    return [name for name in RUNTIMES if find_spec(name) is not None]


def classify(ms: str, pan: str, output: str, runtime: str = "torch", **options: Any) -> Result:
    """Classify a pair with the shipped model, replacing ``output``."""
    if len(installed_runtimes()) > 1:
        options["runtime"] = runtime
    return run(
        ClassifyOptions(ms, pan, output, MODEL, device="cpu", overwrite=True, **options),
        lambda event: None,
    )
