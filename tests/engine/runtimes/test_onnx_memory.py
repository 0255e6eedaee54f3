"""Sessions share a pool that grows by what they need and is empty after the last of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("onnxruntime")

PROGRAM = """
import gc
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from panloom.engine.process_state import ProcessState, left_as_found
from panloom.engine.runtimes.onnx_memory import returning, use_shared_pool

MIB = 2**20

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / MIB

def session(mib):
    # Ten arrays of some MiB, one made of the other: two of them are needed at once.
    names = ["x", *(f"y{i}" for i in range(9)), "y"]
    nodes = [helper.make_node("Sin", [a], [b]) for a, b in zip(names, names[1:])]
    size = mib * MIB // 4
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [size])
    last = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [0])
    nodes.append(helper.make_node("ReduceMax", ["y", "axes"], ["z"]))
    graph = helper.make_graph(nodes, "sines", [x], [last], [axes])
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, ir_version=8, opset_imports=opset)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    use_shared_pool(options)
    content = model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])

x = np.ones(32 * MIB // 4, np.float32)
made = session(32)
before = resident()
made.run(None, {"x": x}, returning())
first = resident() - before
made.run(None, {"x": x})
made.run(None, {"x": x})
later = resident() - before
del made
gc.collect()
kept = resident() - before
with left_as_found(ProcessState.now()):  # as a warm engine after each run
    pass
print(first, later, kept, resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_pool_is_as_large_as_the_planned_block_and_empty_afterwards() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    first, later, kept, last = (float(word) for word in done.stdout.split())
    assert first < 40, "the pool never gives its first array back, here one of 32 MiB"
    assert later - first == pytest.approx(2 * 32, abs=8), "two arrays in one block"
    assert kept == pytest.approx(later, abs=8)
    assert last == pytest.approx(first, abs=8)
