"""What goes into a user's network and what comes out, as its graph declares it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.card import ModelCard
from ..errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto

_FLOAT32 = 1
"""TensorProto.FLOAT"""

Shape = tuple["int | None", ...]


@dataclass(frozen=True)
class Signature:
    """Names of inputs and output; ``fixed_px`` is the tile side in MS pixels, None if free."""

    ms: str
    pan: str
    output: str
    fixed_px: int | None


def read_signature(path: Path, model: ModelProto, card: ModelCard) -> Signature:
    """Return the signature of the graph in ``path``; raises ModelError where it misfits the card.

    Needed: two float32 inputs (1, C, h, w) and (1, 1, r·h, r·w), sizes fixed or symbolic, and one
    float32 output (1, K, …).
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    outputs = list(model.graph.output)
    names = ", ".join(value.name for value in inputs) or "none"
    wanted = f"ms (1, {len(card.bands)}, h, w) and pan (1, 1, {card.ratio}·h, {card.ratio}·w)"
    if len(inputs) != 2:
        raise _wrong(
            path,
            f"takes {_count(len(inputs), 'input')} ({names}); two are needed, {wanted}",
            "Export it with these two inputs.",
        )
    if len(outputs) != 1:
        raise _wrong(
            path,
            f"gives {_count(len(outputs), 'output')}; one is needed, logits or probabilities",
            "Export it with that output alone.",
        )
    shapes = {value.name: _shape(path, "Input", value) for value in inputs}
    ms, pan = _tell_apart(path, shapes, wanted)
    _require_channels(path, ms, shapes[ms], pan, shapes[pan], card)
    _require_output(path, outputs[0], card)
    return Signature(ms, pan, outputs[0].name, _fixed_px(path, shapes[ms], shapes[pan], card.ratio))


def _shape(path: Path, what: str, value: Any) -> Shape:
    """Return the sizes of ``value``, None where symbolic; raises ModelError unless float32, 4-D."""
    tensor = value.type.tensor_type
    if tensor.elem_type != _FLOAT32:
        from onnx import TensorProto

        kind = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ModelError(
            f"{what} `{value.name}` of `{path.name}` is {kind}; float32 is needed.",
            "onnx-type",
            "Export it in float32; the card's radiometry says how DN become input.",
        )
    sizes = [d.dim_value or None for d in tensor.shape.dim]
    if not tensor.HasField("shape"):
        return (None,) * 4
    if len(sizes) != 4:
        raise ModelError(
            f"{what} `{value.name}` of `{path.name}` has {_count(len(sizes), 'dimension')}; four "
            "are needed: batch, channels, rows, columns.",
            "onnx-shape",
            "Export it with these dimensions.",
        )
    return tuple(sizes)


def _tell_apart(path: Path, shapes: dict[str, Shape], wanted: str) -> tuple[str, str]:
    if set(shapes) == {"ms", "pan"}:
        return "ms", "pan"
    single = [name for name, shape in shapes.items() if shape[1] == 1]
    if len(single) == 1:
        other = next(name for name in shapes if name != single[0])
        if shapes[other][1] is not None:
            return other, single[0]
    names = " and ".join(f"`{name}`" for name in shapes)
    raise _wrong(
        path,
        f"takes {names}, and their names and channels do not tell which is which; needed are "
        f"{wanted}",
        "Export it with the input names ms and pan.",
    )


def _require_channels(
    path: Path, ms: str, ms_shape: Shape, pan: str, pan_shape: Shape, card: ModelCard
) -> None:
    bands = len(card.bands)
    for name, shape in ((ms, ms_shape), (pan, pan_shape)):
        if shape[0] not in (None, 1):
            raise ModelError(
                f"Input `{name}` of `{path.name}` has a fixed batch of {shape[0]}; 1 or a symbolic "
                "size is needed.",
                "onnx-shape",
                "Export it for a batch of 1.",
            )
    if ms_shape[1] not in (None, bands):
        raise ModelError(
            f"Input `{ms}` of `{path.name}` has {_count(ms_shape[1], 'channel')}; its card lists "
            f"{_count(bands, 'band')} ({', '.join(card.band_roles)}).",
            "onnx-channels",
            f"Correct `bands` in `{path.stem}.json`, or use the card that belongs to the network.",
        )
    if pan_shape[1] not in (None, 1):
        raise ModelError(
            f"Input `{pan}` of `{path.name}` has {_count(pan_shape[1], 'channel')}; the PAN has 1.",
            "onnx-channels",
            "Export it for a PAN of one channel.",
        )


def _require_output(path: Path, value: Any, card: ModelCard) -> None:
    shape = _shape(path, "Output", value)
    if shape[1] not in (None, len(card.classes)):
        raise wrong_classes(path, shape[1], card)


def wrong_classes(path: Path, found: int | None, card: ModelCard) -> ModelError:
    """Return the error for a network that gives ``found`` classes, which are not its card's."""
    names = ", ".join(c.name for c in card.classes.classes)
    return ModelError(
        f"`{path.name}` gives {found} classes; its card lists {len(card.classes)} ({names}).",
        "onnx-classes",
        f"Correct `classes` in `{path.stem}.json`: one for each output channel, in their order.",
    )


def _fixed_px(path: Path, ms: Shape, pan: Shape, ratio: int) -> int | None:
    """Return the tile side in MS pixels that fixed sizes ask for, None where all are symbolic."""
    sides = {size for size in ms[2:] if size is not None}
    fine = {size for size in pan[2:] if size is not None}
    if not sides and not fine:
        return None
    if len(sides | {size / ratio for size in fine}) > 1 or any(size % ratio for size in fine):
        raise _wrong(
            path,
            f"takes patches of {_size(ms)} (MS) and {_size(pan)} (PAN) pixels; squares are needed, "
            f"and the PAN's side {ratio} times the MS's, the card's ratio",
            "Export it for such sizes or with symbolic ones, or correct the card's `ratio`.",
        )
    return sides.pop() if sides else fine.pop() // ratio


def _size(shape: Shape) -> str:
    return " × ".join("any" if size is None else str(size) for size in (shape[3], shape[2]))


def _count(number: int | None, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _wrong(path: Path, what: str, hint: str) -> ModelError:
    return ModelError(f"`{path.name}` {what}.", "onnx-inputs", hint)
