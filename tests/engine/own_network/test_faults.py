"""Every way in which a user's network cannot run is one sentence, before anything runs."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from panloom.engine.device import Device
from panloom.engine.errors import DeviceError, ModelError
from panloom.engine.own_network import graph_file
from panloom.engine.own_network.network import load_own_network
from panloom.engine.own_network.session import runtime_device

from .graphs import MS, PAN, constant, copy, save, shares_of, write_card

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


@pytest.mark.parametrize("content", [b"", b"no protobuf \xff\xff", b"\x08\x08"])
def test_a_file_that_is_no_onnx(tmp_path, content):
    path = write_card(tmp_path / "net.onnx")
    path.write_bytes(content)
    assert fault(path) == (
        "`net.onnx` is not an ONNX file, or is damaged; a network exported to ONNX is needed. "
        "Export it again; docs/own-models.md says how.",
        "onnx-file",
    )


def test_a_file_beyond_protobufs_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(graph_file, "LIMIT_BYTES", 100)
    path = save(tmp_path / "net.onnx", copy())
    assert fault(path)[0] == (
        f"`net.onnx` has {path.stat().st_size} bytes; an ONNX file has 100 at most. Export it "
        "with its weights as external data, in the same folder."
    )


def test_an_old_opset(tmp_path):
    assert fault(save(tmp_path / "net.onnx", copy(opset=6))) == (
        "`net.onnx` is in opset 6; 7 or newer is needed. Export it with opset 17.",
        "onnx-opset",
    )


def test_an_opset_of_the_future(tmp_path):
    sentence, code = fault(save(tmp_path / "net.onnx", copy(opset=999)))
    assert code == "onnx-opset"
    assert re.fullmatch(
        r"`net\.onnx` is in opset 999; ONNX Runtime [\d.]+ knows those up to \d\d\. Export it with "
        r"opset 17\.",
        sentence,
    )


def test_a_graph_that_the_runtime_refuses(tmp_path):
    node = helper.make_node("NoSuchOperator", ["pan"], ["seen"])
    sentence, code = fault(save(tmp_path / "net.onnx", shares_of("seen", before=[node])))
    assert code == "onnx-load"
    assert re.fullmatch(
        r"ONNX Runtime [\d.]+ cannot load `net\.onnx`: This is an invalid model\..*No Op "
        r"registered for NoSuchOperator with domain_version of 17\. Export it again; "
        r"docs/own-models\.md says how\.",
        sentence,
    )
    assert str(tmp_path) not in sentence


def test_operators_of_others(tmp_path):
    before = [
        helper.make_node(
            "If", ["yes"], ["seen"], then_branch=branch("vendor"), else_branch=branch("")
        )
    ]
    model = shares_of("seen", before=before, yes=True)
    model.opset_import.append(helper.make_opsetid("vendor", 1))
    assert fault(save(tmp_path / "net.onnx", model)) == (
        "`net.onnx` has operators outside ONNX's own (vendor.Identity); only those of ai.onnx and "
        "ai.onnx.ml run. Export the network without custom or fused operators.",
        "onnx-operators",
    )


def branch(domain: str) -> onnx.GraphProto:
    node = helper.make_node("Identity", ["pan"], ["same"], domain=domain)
    return helper.make_graph(
        [node], "branch", [], [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)]
    )


def test_functions_within_the_file_are_part_of_the_graph(tmp_path):
    """As PyTorch's newer exporter writes them."""
    model = shares_of("seen", before=[helper.make_node("Halve", ["pan"], ["seen"], domain="own")])
    model.opset_import.append(helper.make_opsetid("own", 1))
    body = [
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("Div", ["x", "twice"], ["half"]),
    ]
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Halve", ["x"], ["half"], body, imports))
    assert load_own_network(save(tmp_path / "net.onnx", model), CPU).on_pan_grid


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"tiles": 5}, "names tiles; tile_px, overlap_px, output are known"),
        ({"tile_px": 5000}, "has tile_px 5000; 2 to 2048 is needed at a ratio of 2"),
        ({"tile_px": True}, "has tile_px True; a whole number of MS pixels is needed"),
        ({"overlap_px": 9}, "has overlap_px 9; 1 to 8, half the tile, is needed"),
        ({"overlap_px": 0}, "has overlap_px 0; 1 to 8, half the tile, is needed"),
        (
            {"output": "scores"},
            "has output 'scores'; 'logits' or 'probabilities' is needed",
        ),
    ],
)
def test_arguments_that_cannot_be(tmp_path, arguments, what):
    assert fault(save(tmp_path / "net.onnx", copy(), arguments=arguments)) == (
        f"The card's `arguments` {what}. Correct it in the JSON file.",
        "onnx-card",
    )


def test_a_temperature_is_for_logits(tmp_path):
    assert fault(save(tmp_path / "net.onnx", copy(), temperature=2))[0] == (
        "The card's `arguments` has output 'probabilities' and the card a temperature of 2; a "
        "temperature is for logits. Correct it in the JSON file."
    )


def test_another_file_than_the_card_vouches_for(tmp_path):
    path = save(tmp_path / "net.onnx", copy(), weights_sha256="0" * 64)
    sentence, code = fault(path)
    assert code == "onnx-card"
    assert sentence.startswith("`net.onnx` does not match its card: SHA-256 ")
    assert sentence.endswith(
        "…, the card says 000000000000…. Take `weights_sha256` out of `net.json` if the network "
        "was exported again."
    )


def test_an_output_of_another_size(tmp_path):
    node = helper.make_node("Slice", ["pan", "first", "last", "axes"], ["corner"])
    weights = {"first": [0, 0], "last": [10, 10], "axes": [2, 3]}
    model = shares_of("corner", before=[node], output=(1, 3, "a", "b"), **weights)
    assert fault(save(tmp_path / "net.onnx", model)) == (
        "`net.onnx` gives (1, 3, 10, 10) for a tile of 16 × 16 MS pixels; (1, 3, 32, 32) on the "
        "PAN grid or (1, 3, 16, 16) on the MS grid is needed. Export it so that the output is as "
        "large as the PAN or the MS that goes in.",
        "onnx-shape",
    )


def test_classes_that_only_a_run_shows(tmp_path):
    model = constant((0.1, 0.2, 0.3, 0.4), output=(1, "k", "H", "W"))
    assert fault(save(tmp_path / "net.onnx", model))[0] == (
        "`net.onnx` gives 4 classes; its card lists 3 (water, forest, field). Correct `classes` in "
        "`net.json`: one for each output channel, in their order."
    )


def test_a_size_that_the_network_cannot_take(tmp_path):
    """It adds PAN and MS as they are, which only a ratio of 1 would allow."""
    node = helper.make_node("Add", ["pan", "ms"], ["sum"])
    sentence, code = fault(save(tmp_path / "net.onnx", shares_of("sum", before=[node])))
    assert code == "onnx-run"
    assert sentence == (
        "`net.onnx` fails on a tile of 16 × 16 MS pixels: Non-zero status code returned while "
        "running Add node. Name:'' Status Message: axis == 1 || axis == largest was false. "
        "Attempting to broadcast an axis by a dimension other than 1. 16 by 32. Set `tile_px` in "
        "the card's arguments to a size that the network takes, or export it with symbolic sizes."
    )


def test_logits_that_are_probabilities(tmp_path):
    assert fault(save(tmp_path / "net.onnx", copy(), arguments={"output": "logits"})) == (
        "The output of `net.onnx` is between 0 and 1 with a sum of 1 over the classes; its card "
        'calls it logits. Put "output": "probabilities" into the `arguments` of `net.json`.',
        "onnx-output",
    )


def test_probabilities_that_are_logits(tmp_path):
    assert fault(save(tmp_path / "net.onnx", constant((1.0, -2.0, 3.0))))[0] == (
        "The output of `net.onnx` is not between 0 and 1 with a sum of 1 over the classes; its "
        'card calls it probabilities. Put "output": "logits" into the `arguments` of `net.json`.'
    )


def test_a_tile_that_no_memory_holds(tmp_path):
    """More is asked for than addresses there are, which nothing grants."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["pan", "sum"], ["seen"]),
    ]
    path = save(tmp_path / "net.onnx", shares_of("seen", before=nodes, shape=[1 << 30, 1 << 29]))
    with pytest.raises(DeviceError) as caught:
        load_own_network(path, CPU)
    assert str(caught.value) == (
        "One tile of 16 × 16 MS pixels of `net.onnx` does not fit the memory. Make `tile_px` "
        "smaller in `net.json`."
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


def test_a_device_that_the_runtime_lacks():
    cuda = Device(torch.device("cuda", 0), "")
    with pytest.raises(DeviceError) as caught:
        runtime_device(cuda, may_replace=False)
    assert str(caught.value) == (
        "This ONNX Runtime, through which ONNX networks run, has nothing for cuda:0. Choose auto "
        "or cpu, or install onnxruntime-gpu in place of onnxruntime."
    )
    replaced = runtime_device(cuda, may_replace=True)
    assert replaced.is_cpu
    assert replaced.reason == (
        "The CPU is used: this ONNX Runtime, through which ONNX networks run, has nothing for "
        "cuda:0."
    )


def test_a_graph_with_weights_as_inputs_is_read(tmp_path):
    """Old exporters list weights among the inputs, too."""
    model = copy(inputs=(MS, PAN, ("zero", ())))
    assert load_own_network(save(tmp_path / "net.onnx", model), CPU).on_pan_grid
