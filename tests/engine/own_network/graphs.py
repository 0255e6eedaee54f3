"""Tiny ONNX networks of two MS bands, ratio 2 and three classes, and the cards beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

CLASSES = [
    {"code": 3, "name": "water", "color": "#0000ff"},
    {"code": 7, "name": "forest", "color": "#00aa00"},
    {"code": 9, "name": "field", "color": "#ffff00"},
]
CARD: dict[str, Any] = {
    "bands": [{"role": "green", "center_um": 0.56}, {"role": "nir", "center_um": 0.86}],
    "ratio": 2,
    "radiometry": {
        "kind": "fixed", "ms_offset": [0, 0], "ms_scale": [0.001, 0.001], "pan_offset": 0,
        "pan_scale": 0.001, "limits": [0, 1],
    },
    "classes": CLASSES,
    "arguments": {"tile_px": 16, "overlap_px": 4, "output": "probabilities"},
}  # fmt: skip
MS, PAN = ("ms", (1, 2, "h", "w")), ("pan", (1, 1, "H", "W"))

Sizes = tuple[Any, ...]


def write_card(path: Path, **changes: Any) -> Path:
    """Write the card beside ``path``; None takes a field out, arguments are added."""
    body = {**CARD, **changes}
    body["arguments"] = {**CARD["arguments"], **changes.get("arguments", {})}
    body = {key: value for key, value in body.items() if value is not None}
    path.with_suffix(".json").write_text(json.dumps(body), encoding="utf-8")
    return path


def graph(
    nodes: list[NodeProto],
    *,
    inputs: tuple[tuple[str, Sizes], ...] = (MS, PAN),
    output: Sizes = (1, 3, "H", "W"),
    kind: int = TensorProto.FLOAT,
    opset: int = 17,
    **weights: Any,
) -> ModelProto:
    """Return a model of ``nodes`` whose last node gives ``out``."""
    return helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, output)],
            [numpy_helper.from_array(np.asarray(v), name) for name, v in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )


def constant(values: tuple[float, ...] = (0.2, 0.5, 0.3), **changes: Any) -> ModelProto:
    """A network that gives ``values`` at every PAN pixel, and looks at nothing."""
    column = np.array(values, np.float32).reshape(1, -1, 1, 1)
    nodes = [
        helper.make_node("Mul", ["pan", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "values"], ["out"]),
    ]
    return graph(nodes, zero=np.float32(0), values=column, **changes)


def shares_of(source: str, **changes: Any) -> ModelProto:
    """A network that gives p, 1 − p and 0, p being the one channel of tensor ``source``."""
    nodes = [
        helper.make_node("Sub", ["one", source], ["rest"]),
        helper.make_node("Mul", [source, "zero"], ["none"]),
        helper.make_node("Concat", [source, "rest", "none"], ["out"], axis=1),
    ]
    before = changes.pop("before", [])
    return graph([*before, *nodes], one=np.float32(1), zero=np.float32(0), **changes)


def copy(**changes: Any) -> ModelProto:
    """A network that gives each PAN pixel's own value as the share of the first class."""
    return shares_of("pan", **changes)


def copy_on_ms_grid() -> ModelProto:
    """The same of the first MS band: its output lies on the MS grid."""
    slicing = helper.make_node("Slice", ["ms", "first", "last", "axis"], ["green"])
    return shares_of(
        "green", before=[slicing], output=(1, 3, "h", "w"), first=np.array([0]),
        last=np.array([1]), axis=np.array([1]),
    )  # fmt: skip


def means(side: int = 5) -> ModelProto:
    """A network of small reach: the mean of ``side`` × ``side`` PAN pixels, zeros beyond a tile."""
    reach = side // 2
    pool = helper.make_node(
        "AveragePool", ["pan"], ["mean"], kernel_shape=[side, side], pads=[reach] * 4,
        count_include_pad=1,
    )  # fmt: skip
    return shares_of("mean", before=[pool])


def with_global_pooling() -> ModelProto:
    """A network that sees its whole tile: (pixel + mean of the tile's MS) / 2."""
    before = [
        helper.make_node("ReduceMean", ["ms"], ["context"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Add", ["pan", "context"], ["sum"]),
        helper.make_node("Mul", ["sum", "half"], ["seen"]),
    ]
    return shares_of("seen", before=before, half=np.float32(0.5))


def save(path: Path, model: ModelProto, **card: Any) -> Path:
    """Write a network and its card; return the network's path."""
    onnx.save(model, path)
    return write_card(path, **card)
