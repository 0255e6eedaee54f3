"""A map step as an ONNX graph, kept in the user's cache for the next run.

The graph is recorded from a small patch, with sizes left open, which takes a third of a second. A
network that reckons with sizes (windows, attention) has them as numbers in its graph; it is
recorded again from a patch of the run's size, and serves that size only.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import models
from ...models.card import ModelCard
from ..version import __version__
from .graph_cache import GraphCache
from .map_step import INPUTS, OUTPUTS, Arrays, MapStep
from .runtime import CannotRunError, first_line

OPSET = 17
OPEN_SIZES: dict[str, dict[int, str]] = {
    "ms": {2: "height", 3: "width"},
    **{name: {2: "fine_height", 3: "fine_width"} for name in INPUTS[1:5]},
    **{name: {1: "written_height", 2: "written_width"} for name in OUTPUTS},
}
"""Axes of inputs and outputs whose sizes a graph leaves open, with the names it gives them."""


def graph_of(
    step: MapStep, card: ModelCard, example: Arrays, cache: GraphCache, lattice_px: int
) -> bytes:
    """Return the ONNX graph of ``step`` for one patch like ``example``, from the cache or new.

    Offset and scale of the radiometry are inputs of the graph, so it serves other scenes too.
    Raises CannotRunError where torch cannot export the network.
    """
    shapes = [list(array.shape) for array in example]
    keys = graph_key(step, card, []), graph_key(step, card, shapes)
    for key in keys:
        graph = cache.get(key)
        if graph is not None:
            return graph
    small = _small(example, 2 * step.form.margin_px + 8 * lattice_px, step.form.ratio)
    graph, has_sizes = _export(step, small, OPEN_SIZES)
    if has_sizes:
        graph, _ = _export(step, example, None)
    cache.put(keys[has_sizes], graph)
    return graph


def graph_key(step: MapStep, card: ModelCard, shapes: list[list[int]]) -> str:
    """Return the SHA-256 of everything that the graph depends on."""
    body = {
        "weights": card.weights_sha256,
        "network": card.network,
        "arguments": card.arguments,
        "form": asdict(step.form),
        "shapes": shapes,
        "versions": [__version__, torch.__version__, version("onnx"), OPSET],
        "code": _code_digest(),
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def sizes_of(example: Arrays) -> dict[str, int]:
    """Return the sizes of ``example`` by the names that graphs have for them."""
    arrays = dict(zip(INPUTS, example, strict=True))
    return {
        name: arrays[key].shape[axis]
        for key, axes in OPEN_SIZES.items()
        if key in arrays
        for axis, name in axes.items()
    }


def _code_digest() -> str:
    """Return the SHA-256 of the source that the graph is recorded from."""
    digest = hashlib.sha256()
    networks = sorted(Path(next(iter(models.__path__))).glob("*.py"))
    here = Path(__file__)
    for path in [*networks, here.parents[1] / "radiometry.py", here.with_name("map_step.py"), here]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _small(example: Arrays, side_px: int, ratio: int) -> Arrays:
    """Return a patch like ``example`` that has ``side_px``² MS pixels."""
    ms, *fine, offset, scale = example
    fine_px = side_px * ratio
    return (
        np.zeros((1, ms.shape[1], side_px, side_px), ms.dtype),
        *(np.zeros((1, 1, fine_px, fine_px), array.dtype) for array in fine),
        offset,
        scale,
    )


def _export(
    step: MapStep, example: Arrays, open_sizes: dict[str, dict[int, str]] | None
) -> tuple[bytes, bool]:
    """Return the graph, and whether sizes of ``example`` became numbers in it."""
    graph: Any = io.BytesIO()
    try:
        with (
            torch.no_grad(),
            warnings.catch_warnings(record=True) as said,
            contextlib.redirect_stdout(io.StringIO()),  # where all of a graph goes that fails
        ):
            warnings.simplefilter("always")
            torch.onnx.export(
                step,
                tuple(torch.from_numpy(array) for array in example),
                graph,
                dynamo=False,
                opset_version=OPSET,
                input_names=INPUTS,
                output_names=OUTPUTS,
                dynamic_axes=open_sizes,
            )
    except Exception as error:  # torch raises errors of many kinds, with no base of their own
        raise CannotRunError(first_line(error)) from error
    return graph.getvalue(), any(w.category.__name__ == "TracerWarning" for w in said)
