"""Weights beside an ONNX file are read from its own folder only, and from nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from panloom.engine.device import Device
from panloom.engine.errors import ModelError
from panloom.engine.own_network import external_data
from panloom.engine.own_network.network import load_own_network

from .graphs import constant, save, shares_of

CPU = Device(torch.device("cpu"), "")
VALUES = np.array([0.2, 0.5, 0.3], np.float32).reshape(1, 3, 1, 1)


def external(location: str, *, offset: int = 0, length: int = VALUES.nbytes) -> onnx.ModelProto:
    """The constant network with its values in the file ``location``."""
    model = constant()
    tensor = next(t for t in model.graph.initializer if t.name == "values")
    external_data_helper.set_external_data(tensor, location, offset, length)
    tensor.ClearField("raw_data")
    return model


def fault(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_own_network(path, CPU)
    assert caught.value.code == "onnx-external-data"
    return str(caught.value)


def outside(location: str) -> str:
    return (
        f"`net.onnx` has weights in {location!r}, outside its own folder; only files inside it are "
        "read. Put the weights beside the network and export it again, or into one file."
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The network's folder, beside weights that are none of its business."""
    (tmp_path / "values.bin").write_bytes(VALUES.tobytes())
    (tmp_path / "net").mkdir()
    return tmp_path / "net"


def test_weights_beside_the_network_are_used_and_vouched_for(folder):
    (folder / "values.bin").write_bytes(VALUES.tobytes())
    path = save(folder / "net.onnx", external("values.bin"))
    network = load_own_network(path, CPU)
    output = network.probabilities(
        np.zeros((2, 16, 16), np.float32), np.zeros((1, 32, 32), np.float32)
    )
    assert np.array_equal(output[:, 5, 5], VALUES.ravel())
    (folder / "values.bin").write_bytes(VALUES[:, ::-1].tobytes())
    other = load_own_network(path, CPU)
    assert other.card.weights_sha256 != network.card.weights_sha256


@pytest.mark.parametrize(
    "location",
    ["../values.bin", "..\\values.bin", "sub/../../values.bin", "/etc/hostname", "C:\\w.bin", ""],
)
def test_a_location_outside_is_refused(folder, location):
    assert fault(save(folder / "net.onnx", external(location))) == outside(location)


def test_an_absolute_path_is_refused_even_into_the_folder(folder):
    (folder / "values.bin").write_bytes(VALUES.tobytes())
    location = str(folder / "values.bin")
    assert fault(save(folder / "net.onnx", external(location))) == outside(location)


def test_a_link_that_leads_out_is_refused(folder):
    (folder / "values.bin").symlink_to(folder.parent / "values.bin")
    assert fault(save(folder / "net.onnx", external("values.bin"))) == outside("values.bin")


def test_a_linked_folder_that_leads_out_is_refused(folder):
    (folder / "sub").symlink_to(folder.parent)
    path = save(folder / "net.onnx", external("sub/values.bin"))
    assert fault(path) == outside("sub/values.bin")


def test_a_tensor_in_an_attribute_of_a_subgraph_is_found_too(folder):
    tensor = numpy_helper.from_array(np.zeros((1, 1, 1, 1), np.float32), "deep")
    external_data_helper.set_external_data(tensor, "../values.bin")
    tensor.ClearField("raw_data")
    node = helper.make_node("Constant", [], ["same"], value=tensor)
    result = helper.make_tensor_value_info("same", TensorProto.FLOAT, None)
    branch = helper.make_graph([node], "branch", [], [result])
    choice = helper.make_node("If", ["yes"], ["seen"], then_branch=branch, else_branch=branch)
    path = save(folder / "net.onnx", shares_of("seen", before=[choice], yes=True))
    assert fault(path) == outside("../values.bin")


def test_weights_that_are_not_there(folder):
    assert fault(save(folder / "net.onnx", external("gone.bin"))) == (
        "`net.onnx` has weights in `gone.bin`, which is not there; it is needed in the same "
        "folder. Copy it from where the network was exported to, or export into one file."
    )


def test_a_pipe_is_no_file_of_weights(folder):
    os.mkfifo(folder / "values.bin")
    assert "`values.bin`, which is not there" in fault(
        save(folder / "net.onnx", external("values.bin"))
    )


@pytest.mark.parametrize(("offset", "length"), [(0, 13), (8, 12), (1 << 60, 12)])
def test_a_tensor_beyond_the_end_of_its_file(folder, offset, length):
    (folder / "values.bin").write_bytes(VALUES.tobytes())
    path = save(folder / "net.onnx", external("values.bin", offset=offset, length=length))
    assert fault(path) == (
        f"Tensor `values` of `net.onnx` lies at byte {offset} of `values.bin`, {length} bytes "
        "long; the file has 12. The file is damaged or belongs to another network; export it "
        "again."
    )


def test_more_weights_than_are_loaded(folder, monkeypatch):
    monkeypatch.setattr(external_data, "LIMIT_BYTES", 11)
    (folder / "values.bin").write_bytes(VALUES.tobytes())
    with pytest.raises(ModelError) as caught:
        load_own_network(save(folder / "net.onnx", external("values.bin")), CPU)
    assert str(caught.value) == (
        "The external weights of `net.onnx` have 12 bytes; 11 at most are loaded. Use a smaller "
        "network."
    )
