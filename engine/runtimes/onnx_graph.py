"""A map step as an ONNX graph, kept in the user's cache for the next run."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ... import models
from ...models.card import ModelCard
from ..version import __version__
from . import map_step
from .graph_cache import GraphCache
from .map_step import INPUTS, OUTPUTS, Arrays, MapStep
from .runtime import CannotRunError, first_line

OPSET = 17


def graph_of(step: MapStep, card: ModelCard, example: Arrays, cache: GraphCache) -> bytes:
    """Return the ONNX graph of ``step`` for patches like ``example``, from the cache or new.

    Offset and scale of the radiometry are inputs of the graph, so it serves other scenes too.
    Raises CannotRunError where torch cannot export the network.
    """
    key = graph_key(step, card, example)
    graph = cache.get(key)
    if graph is None:
        graph = _export(step, example)
        cache.put(key, graph)
    return graph


def graph_key(step: MapStep, card: ModelCard, example: Arrays) -> str:
    """Return the SHA-256 of everything that the graph depends on."""
    body = {
        "weights": card.weights_sha256,
        "network": card.network,
        "arguments": card.arguments,
        "form": asdict(step.form),
        "inputs": [[list(array.shape), str(array.dtype)] for array in example],
        "versions": [__version__, torch.__version__, version("onnx"), OPSET],
        "code": _code_digest(),
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _code_digest() -> str:
    """Return the SHA-256 of the source that the graph is recorded from."""
    digest = hashlib.sha256()
    networks = sorted(Path(next(iter(models.__path__))).glob("*.py"))
    for path in [*networks, Path(map_step.__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _export(step: MapStep, example: Arrays) -> bytes:
    tensors = tuple(
        torch.from_numpy(_recordable(array[:1] if array.ndim > 1 else array)) for array in example
    )
    graph = io.BytesIO()
    try:
        # The exporter prints the whole graph where it fails, and warns of sizes that become fixed.
        with (
            torch.no_grad(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                step,
                tensors,
                graph,  # type: ignore[arg-type] # takes files too, as its documentation says
                dynamo=False,
                opset_version=OPSET,
                input_names=INPUTS,
                output_names=OUTPUTS,
            )
    except Exception as error:  # torch raises errors of many kinds, with no base of their own
        raise CannotRunError(first_line(error)) from error
    return _with_types(graph.getvalue(), example)


def _recordable(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return an array of a type that the exporter knows: uint16 is none."""
    return array.view(np.int16) if array.dtype == np.uint16 else array


def _with_types(graph: bytes, example: Arrays) -> bytes:
    """Return a graph whose inputs are of the types of ``example``: it begins by converting them."""
    import onnx

    model = onnx.load_from_string(graph)
    types = {name: array.dtype for name, array in zip(INPUTS, example, strict=True)}
    for value in model.graph.input:
        wanted = onnx.helper.np_dtype_to_tensor_dtype(types[value.name])
        value.type.tensor_type.elem_type = wanted
    return bytes(model.SerializeToString())
