"""Inputs and outputs of users' networks: which run, and the sentences for those that do not."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from panloom.engine.device import Device
from panloom.engine.errors import ModelError
from panloom.engine.own_network.network import load_own_network

from .graphs import MS, PAN, copy, save, shares_of

CPU = Device(torch.device("cpu"), "")


def fault(path: Path) -> tuple[str, str]:
    """The sentence and the code with which the network at ``path`` is refused."""
    with pytest.raises(ModelError) as caught:
        load_own_network(path, CPU)
    return str(caught.value), caught.value.code


def declared(*inputs: tuple[str, tuple], **changes) -> onnx.ModelProto:
    """The copying network with other declared inputs: what is refused before it would run."""
    return copy(inputs=inputs, **changes)


INPUTS = {
    "three": (
        declared(MS, PAN, ("extra", (1,))),
        "`net.onnx` takes 3 inputs (ms, pan, extra); two are needed, ms (1, 2, h, w) and pan "
        "(1, 1, 2·h, 2·w). Export it with these two inputs.",
    ),
    "one": (
        declared(PAN),
        "`net.onnx` takes 1 input (pan); two are needed, ms (1, 2, h, w) and pan (1, 1, 2·h, "
        "2·w). Export it with these two inputs.",
    ),
    "type": (
        declared(MS, PAN, kind=TensorProto.UINT16),
        "Input `ms` of `net.onnx` is uint16; float32 is needed. Export it in float32; the card's "
        "radiometry says how DN become input.",
    ),
    "rank": (
        declared(("ms", (2, "h", "w")), PAN),
        "Input `ms` of `net.onnx` has 3 dimensions; four are needed: batch, channels, rows, "
        "columns. Export it with these dimensions.",
    ),
    "alike": (
        declared(("a", (1, "c", "h", "w")), ("pan", (1, "c", "H", "W"))),
        "`net.onnx` takes `a` and `pan`, and their names and channels do not tell which is which; "
        "needed are ms (1, 2, h, w) and pan (1, 1, 2·h, 2·w). Export it with the input names ms "
        "and pan.",
    ),
    "channels": (
        declared(("ms", (1, 8, "h", "w")), PAN),
        "Input `ms` of `net.onnx` has 8 channels; its card lists 2 bands (green, nir). Correct "
        "`bands` in `net.json`, or use the card that belongs to the network.",
    ),
    "pan channels": (
        declared(MS, ("pan", (1, 3, "H", "W"))),
        "Input `pan` of `net.onnx` has 3 channels; the PAN has 1. Export it for a PAN of one "
        "channel.",
    ),
    "batch": (
        declared(("ms", (8, 2, "h", "w")), PAN),
        "Input `ms` of `net.onnx` has a fixed batch of 8; 1 or a symbolic size is needed. Export "
        "it for a batch of 1.",
    ),
    "ratio": (
        declared(("ms", (1, 2, 16, 16)), ("pan", (1, 1, 64, 64))),
        "`net.onnx` takes patches of 16 × 16 (MS) and 64 × 64 (PAN) pixels; squares are needed, "
        "and the PAN's side 2 times the MS's, the card's ratio. Export it for such sizes or with "
        "symbolic ones, or correct the card's `ratio`.",
    ),
    "oblong": (
        declared(("ms", (1, 2, 16, 24)), ("pan", (1, 1, "H", "W"))),
        "`net.onnx` takes patches of 24 × 16 (MS) and any × any (PAN) pixels; squares are needed, "
        "and the PAN's side 2 times the MS's, the card's ratio. Export it for such sizes or with "
        "symbolic ones, or correct the card's `ratio`.",
    ),
    "tile": (
        declared(("ms", (1, 2, 24, 24)), ("pan", (1, 1, 48, 48))),
        "The card's `arguments` has tile_px 16; the file takes tiles of 24 MS pixels only. Correct "
        "it in the JSON file.",
    ),
    "classes": (
        declared(MS, PAN, output=(1, 5, "H", "W")),
        "`net.onnx` gives 5 classes; its card lists 3 (water, forest, field). Correct `classes` in "
        "`net.json`: one for each output channel, in their order.",
    ),
}


@pytest.mark.parametrize("case", INPUTS)
def test_inputs_and_outputs_that_misfit(tmp_path, case):
    model, sentence = INPUTS[case]
    assert fault(save(tmp_path / "net.onnx", model))[0] == sentence


def test_two_outputs(tmp_path):
    model = copy()
    model.graph.output.append(helper.make_tensor_value_info("rest", TensorProto.FLOAT, None))
    assert fault(save(tmp_path / "net.onnx", model)) == (
        "`net.onnx` gives 2 outputs; one is needed, logits or probabilities. Export it with that "
        "output alone.",
        "onnx-inputs",
    )


@pytest.mark.parametrize("fixed", [True, False])
def test_fixed_and_symbolic_sizes_run(tmp_path, fixed):
    inputs = (("ms", (1, 2, 24, 24)), ("pan", (1, 1, 48, 48))) if fixed else (MS, PAN)
    path = save(tmp_path / "net.onnx", copy(inputs=inputs), arguments={"tile_px": 24})
    network = load_own_network(path, CPU)
    assert network.settings.tile_px == 24
    assert network.signature.fixed_px == (24 if fixed else None)


def test_a_fixed_size_needs_no_mention_in_the_card(tmp_path):
    inputs = (("ms", (1, 2, 24, 24)), ("pan", (1, 1, 48, 48)))
    path = save(tmp_path / "net.onnx", copy(inputs=inputs))
    card = (tmp_path / "net.json").read_text().replace('"tile_px": 16, "overlap_px": 4, ', "")
    (tmp_path / "net.json").write_text(card)
    settings = load_own_network(path, CPU).settings
    assert (settings.tile_px, settings.overlap_px) == (24, 6)


def test_inputs_of_any_name_are_told_apart_by_channels(tmp_path):
    renaming = helper.make_node("Identity", ["sharp"], ["pan"])
    inputs = (("sharp", (1, 1, "H", "W")), ("colors", (1, 2, "h", "w")))
    model = shares_of("pan", before=[renaming], inputs=inputs)
    signature = load_own_network(save(tmp_path / "net.onnx", model), CPU).signature
    assert (signature.ms, signature.pan) == ("colors", "sharp")


def test_a_graph_with_weights_as_inputs_is_read(tmp_path):
    """Old exporters list weights among the inputs, too."""
    model = copy(inputs=(MS, PAN, ("zero", ())))
    assert load_own_network(save(tmp_path / "net.onnx", model), CPU).on_pan_grid
