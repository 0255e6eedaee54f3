"""OpenVINO: a map step's graph on a CPU, one thread for each patch."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from ..radiometry import Radiometry
from ..scene.pair import TileData
from .map_step import INPUTS, Arrays, float_arrays_of
from .runtime import CannotRunError, Pieces, first_line


class OpenVinoRuntime:
    """Runs a graph in ``workers`` streams of one thread each; every caller has its own request.

    Raises CannotRunError.
    """

    def __init__(self, graph: bytes, radiometry: Radiometry, example: Arrays, workers: int) -> None:
        import openvino

        core = openvino.Core()
        settings = {
            "NUM_STREAMS": workers,
            "INFERENCE_NUM_THREADS": workers,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            model = core.read_model(graph)
            model.reshape({name: list(a.shape) for name, a in zip(INPUTS, example, strict=True)})
            self._model = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise CannotRunError(first_line(error)) from error
        self._radiometry = radiometry
        self._requests = threading.local()
        self._version = openvino.__version__.partition("-")[0]

    @property
    def title(self) -> str:
        """Name and version as they are written."""
        return f"OpenVINO {self._version}"

    def run(self, tiles: Sequence[TileData]) -> Pieces:
        """Return what a map shows of each tile, one at a time as the graph takes them."""
        pieces = [self._run_one(tile) for tile in tiles]
        return np.stack([codes for codes, _ in pieces]), np.stack([c for _, c in pieces])

    def _run_one(self, tile: TileData) -> Pieces:
        if not hasattr(self._requests, "own"):
            self._requests.own = self._model.create_infer_request()
        try:
            found = self._requests.own.infer(list(float_arrays_of(tile, self._radiometry)))
        except RuntimeError as error:
            raise CannotRunError(first_line(error)) from error
        return found[0][0].copy(), found[1][0].copy()
