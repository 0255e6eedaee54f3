"""ONNX Runtime's memory: one pool for all sessions of a process, no larger than what they need.

By default every session has a pool of its own that doubles whenever it is too small, and arrays lie
in it wherever there was room: how much that takes depends on chance and grows for a while. Here a
patch's arrays have one block, planned when the first patch has shown their sizes, and the pool
grows by exactly that block for every thread that computes at once.
"""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnxruntime import RunOptions, SessionOptions

_AS_REQUESTED = 1  # onnxruntime's ArenaExtendStrategy, kSameAsRequested
_ITS_CHOICE = -1


@cache
def _shared_pool() -> None:
    """Make the pool that sessions with ``use_shared_pool`` have in common."""
    import onnxruntime

    pool = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    no_limit = 0
    sizes = onnxruntime.OrtArenaCfg(no_limit, _AS_REQUESTED, _ITS_CHOICE, _ITS_CHOICE)
    onnxruntime.create_and_register_allocator(pool, sizes)


def use_shared_pool(options: SessionOptions) -> None:
    """Let a session take its memory from the process's pool."""
    _shared_pool()
    options.add_session_config_entry("session.use_env_allocators", "1")


def returning() -> RunOptions:
    """Return options of a run after which the pool gives back what nobody uses.

    That is for a session's first run, which takes its arrays one by one: they leave holes in which
    the planned blocks do not fit.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def give_back_pool() -> None:
    """Empty the pool but for what runs are using; sessions that are gone leave it as it was.

    A process that ends need not.
    """
    if not _shared_pool.cache_info().currsize:
        return
    import onnxruntime

    options = onnxruntime.SessionOptions()
    use_shared_pool(options)
    with contextlib.suppress(Exception):  # then it stays as it is; no map suffers
        session = onnxruntime.InferenceSession(_nothing_to_do(), options, ["CPUExecutionProvider"])
        session.run(None, {"x": np.zeros(1, np.float32)}, returning())


@cache
def _nothing_to_do() -> bytes:
    """Return a graph that gives its input back."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", [x], [y])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString())
