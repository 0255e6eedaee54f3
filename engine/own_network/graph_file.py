"""ONNX files as untrusted input: what is in one, found without running it or loading weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from .external_data import require_inside

if TYPE_CHECKING:
    from onnx import ModelProto

LIMIT_BYTES = 2**31 - 1
"""Of the file itself: what protobuf can hold. Larger weights stand in files beside it."""

OLDEST_OPSET = 7
"""ONNX Runtime keeps no promise about older ones."""

_STANDARD = {"": "ai.onnx", "ai.onnx": "ai.onnx", "ai.onnx.ml": "ai.onnx.ml"}


def read_graph(path: Path) -> tuple[ModelProto, tuple[Path, ...]]:
    """Return the graph in ``path``, without external weights, and the files that hold those.

    Raises ModelError for a file that is no ONNX, is too old, has operators of its own, or whose
    weights lie outside its folder.
    """
    model = _parse(path)
    parts = list(_messages(model))
    _require_standard(path, model, parts)
    tensors = [part for part in parts if part.DESCRIPTOR.name == "TensorProto"]
    return model, require_inside(path, tensors)


def _parse(path: Path) -> ModelProto:
    import onnx  # half a second, and only these networks need it
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        size = path.stat().st_size
        if size > LIMIT_BYTES:
            raise ModelError(
                f"`{path.name}` has {size:,} bytes; an ONNX file has {LIMIT_BYTES:,} at most.",
                "onnx-size",
                "Export it with its weights as external data, in the same folder.",
            )
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ModelError(f"`{path}` cannot be read ({error.strerror}).", "onnx-file") from error
    except (DecodeError, ValueError) as error:
        raise _no_onnx(path) from error
    if not model.graph.node or not model.opset_import:
        raise _no_onnx(path)
    return model


def _messages(message: Any) -> Iterator[Any]:
    """Yield every protobuf message in ``message``, at any depth: tensors, nodes, subgraphs."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            yield part
            yield from _messages(part)


def _require_standard(path: Path, model: ModelProto, parts: list[Any]) -> None:
    own_functions = {(function.domain, function.name) for function in model.functions}
    strange = sorted(
        {
            f"{part.domain}.{part.op_type}"
            for part in parts
            if part.DESCRIPTOR.name == "NodeProto"
            and part.domain not in _STANDARD
            and (part.domain, part.op_type) not in own_functions
        }
    )
    if strange:
        raise ModelError(
            f"`{path.name}` has operators outside ONNX's own ({', '.join(strange[:3])}); "
            f"only those of {' and '.join(sorted(set(_STANDARD.values())))} run.",
            "onnx-operators",
            "Export the network without custom or fused operators.",
        )
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST_OPSET:
        raise ModelError(
            f"`{path.name}` is in opset {opset}; {OLDEST_OPSET} or newer is needed.",
            "onnx-opset",
            "Export it with opset 17.",
        )


def _no_onnx(path: Path) -> ModelError:
    return ModelError(
        f"`{path.name}` is not an ONNX file, or is damaged; a network exported to ONNX is needed.",
        "onnx-file",
        "Export it again; docs/own-models.md says how.",
    )
