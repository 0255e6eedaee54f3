"""ONNX Runtime: a map step's graph on a CPU, one thread for each patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..radiometry import Radiometry
from ..scene.pair import TileData
from .map_step import INPUTS, float_arrays_of
from .onnx_memory import returning, use_shared_pool
from .runtime import CannotRunError, Pieces, first_line

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions


class OnnxRuntime:
    """Runs a graph on patches of ``sizes``, which are named as in the graph.

    One session serves all threads that call. Raises CannotRunError.
    """

    def __init__(self, graph: bytes, radiometry: Radiometry, sizes: Mapping[str, int]) -> None:
        import onnxruntime

        self._session = _open(graph, sizes)
        self._radiometry = radiometry
        self._version = onnxruntime.__version__
        self._first_run: RunOptions | None = returning()

    @property
    def title(self) -> str:
        """Name and version as they are written."""
        return f"ONNX Runtime {self._version}"

    def run(self, tiles: Sequence[TileData]) -> Pieces:
        """Return what a map shows of each tile.

        One at a time: kernels for several add in another order, and so round by the batch.
        """
        pieces = [self._run_one(tile) for tile in tiles]
        return np.stack([codes for codes, _ in pieces]), np.stack([c for _, c in pieces])

    def _run_one(self, tile: TileData) -> Pieces:
        feed = dict(zip(INPUTS, float_arrays_of(tile, self._radiometry), strict=True))
        options, self._first_run = self._first_run, None
        try:
            codes, confidence = self._session.run(None, feed, options)
        except Exception as error:  # the runtime's errors have no common base of their own
            raise CannotRunError(first_line(error)) from error
        return codes[0], confidence[0]


def _open(graph: bytes, sizes: Mapping[str, int]) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Waiting threads that spin take the cores from torch's and from those that read and write.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    use_shared_pool(options)
    for name, size in sizes.items():  # known sizes let the graph be simplified
        options.add_free_dimension_override_by_name(name, size)
    options.log_severity_level = 4  # what goes wrong is raised as well
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors have no common base of their own
        raise CannotRunError(first_line(error)) from error
