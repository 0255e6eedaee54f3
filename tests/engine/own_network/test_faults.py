"""Every way in which a user's network cannot run is one sentence, before anything runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from panloom.engine.device import Device
from panloom.engine.errors import DeviceError, InputError, ModelError
from panloom.engine.own_network import graph_file
from panloom.engine.own_network.network import load_own_network
from panloom.engine.own_network.session import runtime_device

from .graphs import constant, copy, graph, save, shares_of, write_card

CPU = Device(torch.device("cpu"), "")


def fault(path: Path) -> tuple[str, str]:
    """The sentence and the code with which the network at ``path`` is refused."""
    with pytest.raises(ModelError) as caught:
        load_own_network(path, CPU)
    return str(caught.value), caught.value.code


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


def test_an_output_that_is_one_number(tmp_path):
    model = graph([helper.make_node("ReduceSum", ["pan"], ["out"], keepdims=0)])
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert fault(save(tmp_path / "net.onnx", model)) == (
        "`net.onnx` gives () for a tile of 16 × 16 MS pixels; (1, 3, 32, 32) on the PAN grid or "
        "(1, 3, 16, 16) on the MS grid is needed. Export it so that the output is as large as the "
        "PAN or the MS that goes in.",
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


def test_an_engine_without_the_runtime(monkeypatch):
    for name in ("onnxruntime", "onnx"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(InputError) as caught:
        runtime_device(CPU, may_replace=True)
    assert caught.value.code == "no-runtime"
    assert str(caught.value) == (
        "Networks in ONNX files run through ONNX Runtime; of its packages this engine lacks "
        "onnxruntime and onnx. Add them (`pip install onnxruntime onnx`), or set up the engine "
        "again."
    )
