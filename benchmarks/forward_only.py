"""A scene's windows, ready in memory, computed by a runtime: the limit that a whole run has.

There are two such limits. The engine's graph takes pixels as they were read and gives classes and
confidence; the network alone takes scaled pixels and gives logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from tile_plan import plan
from torch import Tensor

from panloom.engine.device import Device
from panloom.engine.predict import Predictor
from panloom.engine.radiometry import Radiometry, fit_radiometry
from panloom.engine.read_ahead import read_ahead
from panloom.engine.runtimes.choice import RuntimeWish
from panloom.engine.runtimes.graph_cache import GraphCache
from panloom.engine.runtimes.map_step import MapForm, MapStep, float_arrays_of
from panloom.engine.runtimes.onnx_graph import graph_of, sizes_of
from panloom.engine.runtimes.onnx_runtime import OnnxRuntime
from panloom.engine.runtimes.openvino_runtime import OpenVinoRuntime
from panloom.engine.runtimes.runtime import OPENVINO, TORCH, Runtime
from panloom.engine.runtimes.torch_runtime import TorchRuntime
from panloom.engine.scene.pair import ScenePair, TileData
from panloom.engine.tiling import Tile
from panloom.models.bundle import ModelBundle
from panloom.models.folding import fold_batch_norm


class NetworkStep(MapStep):
    """The network alone in the place of a map step."""

    def forward(
        self,
        ms: Tensor,
        pan: Tensor,
        ms_valid: Tensor,
        pan_valid: Tensor,
        valid: Tensor,
        offset: Tensor,
        scale: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the logits (B, K, h, w) of scaled pixels, and one number of everything else.

        An input that nothing is made of would be missing in an exported graph.
        """
        logits = self.network(
            ms.contiguous(memory_format=torch.channels_last),
            pan.contiguous(memory_format=torch.channels_last),
            self.form.margin_px,
        )
        corners = [mask[0, 0, 0, :1].float() for mask in (ms_valid, pan_valid, valid)]
        return logits, sum(corners, offset[:1] + scale[:1])


class ReadyScene:
    """All windows of a pair, read, and a predictor on the CPU that has found its runtime.

    Raises RuntimeError where the engine takes another runtime than asked for; the text says why.
    """

    def __init__(self, pair: ScenePair, bundle: ModelBundle, runtime: str) -> None:
        device = Device(torch.device("cpu"), "")
        self.workers = device.workers
        sample = pair.sample()
        self.predictor = Predictor(
            bundle,
            fit_radiometry(bundle.card.radiometry, sample.ms, sample.pan),
            device,
            workers=self.workers,
            wish=RuntimeWish(runtime),
        )
        grid = pair.ms.grid
        self.tiles = plan((grid.width, grid.height), bundle.network, device)
        self._windows = [data for batch in read_ahead(pair, self.tiles, 1) for _, data in batch]
        for _ in self.predictor.predict(pair, self.tiles[:1]):
            pass  # exports, compares and keeps the runtime
        used = self.predictor.used
        if used is None or used.note.level == "warning":
            raise RuntimeError("no valid pixel" if used is None else used.note.text)
        self._graph = used.runtime
        self._scaled = [_scaled(data, self.predictor.radiometry) for data in self._windows]
        self._network = _network_runtime(self.predictor, runtime, self.tiles[0], self._scaled[0])

    @property
    def title(self) -> str:
        """Name and version of the runtime."""
        return self._graph.title

    def run_graph(self) -> int:
        """Compute class and confidence of every window; return how many there are."""
        return self._run(self._graph, self._windows)

    def run_network(self) -> int:
        """Compute the logits of every window; return how many there are."""
        return self._run(self._network, self._scaled)

    def _run(self, runtime: Runtime, windows: Sequence[TileData]) -> int:
        def one(data: TileData) -> None:
            runtime.run([data])

        with ThreadPoolExecutor(
            self.workers, initializer=partial(torch.set_num_threads, 1)
        ) as pool:
            return sum(1 for _ in pool.map(one, windows))


def _scaled(data: TileData, radiometry: Radiometry) -> TileData:
    """Return the window with network input instead of digital numbers."""
    arrays = (data.ms, data.pan, data.ms_valid[None], data.pan_valid[None])
    ms, pan = radiometry.apply(*(torch.tensor(array)[None] for array in arrays))
    return replace(data, ms=ms[0].numpy(), pan=pan[0].numpy())


def _network_runtime(predictor: Predictor, name: str, tile: Tile, example: TileData) -> Runtime:
    """Return a runtime of the network alone, made as the engine makes its own."""
    network = deepcopy(predictor.bundle.network)
    fold_batch_norm(network)
    lattice_px = predictor.bundle.network.lattice_px
    card, radiometry = predictor.bundle.card, predictor.radiometry
    form = MapForm(
        card.ratio, "pan", tile.halo_px, card.classes.codes, radiometry.limits, card.temperature
    )
    step = NetworkStep(network, form).eval()
    if name == TORCH:
        return TorchRuntime(step, radiometry, predictor.device.torch)
    arrays = float_arrays_of(example, radiometry)
    # No cache: the engine's would take this graph for one of its own.
    graph = graph_of(step, card, arrays, GraphCache(None), lattice_px)
    if name == OPENVINO:
        return OpenVinoRuntime(graph, radiometry, arrays, predictor.workers)
    return OnnxRuntime(graph, radiometry, sizes_of(arrays))
