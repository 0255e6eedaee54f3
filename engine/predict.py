"""Exact sliding-window inference: tiles in, class codes and confidence out."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.bundle import ModelBundle
from ..models.folding import fold_batch_norm
from .class_map import CONFIDENCE_NODATA
from .device import Device
from .errors import DeviceError
from .patchwise import Patchwise, patch_form
from .progress import Report
from .radiometry import Radiometry
from .read_ahead import read_ahead
from .runtimes.choice import TORCH_ONLY, RuntimeStart, RuntimeUse, RuntimeWish, start_runtime
from .runtimes.map_step import MapForm, MapStep
from .runtimes.runtime import Runtime
from .runtimes.torch_runtime import TorchRuntime
from .scene.pair import ScenePair, TileData
from .tiling import Tile

Batch = list[tuple[Tile, TileData]]


@dataclass(frozen=True)
class TilePrediction:
    """What the network says about the written part of a tile.

    ``codes`` and ``confidence`` are uint8 on the output grid, (h·s, w·s) with s the output pixels
    per MS pixel; 0 and 255 where MS or PAN is invalid.
    """

    tile: Tile
    codes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


@dataclass
class Predictor:
    """A model with its radiometry on a device; ``grid`` is the output's, ``pan`` or ``ms``.

    ``evaluation`` is ``dense``, or ``patch`` for one pass of the network for every MS pixel.
    ``wish`` says which runtime computes; ``used`` is it, from the first prediction on.

    On the CPU, ``workers`` batches are computed at once by one thread each: one operation spread
    over several threads is slower, and many times so where the cores have other work.
    """

    bundle: ModelBundle
    radiometry: Radiometry
    device: Device
    batch_size: int = 1
    grid: str = "pan"
    workers: int = 1
    evaluation: str = "dense"
    wish: RuntimeWish = TORCH_ONLY
    report: Report = lambda event: None
    used: RuntimeUse | None = field(default=None, init=False)

    def predict(self, pair: ScenePair, tiles: Iterable[Tile]) -> Generator[TilePrediction]:
        """Yield a prediction for each tile, in order, while the next ones are being read.

        All tiles have one halo and one read size. Raises DeviceError where even a single tile does
        not fit the device's memory, InputError where the network has no patch form and is to be
        evaluated in it.
        """
        pending: deque[Future[list[TilePrediction]]] = deque()
        with (
            closing(read_ahead(pair, tiles, self.batch_size)) as batches,
            ThreadPoolExecutor(self.workers, initializer=self._one_thread()) as pool,
        ):
            try:
                for batch in batches:
                    pending.append(self._submit(pool, batch))
                    if len(pending) > self.workers:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, batch: Batch) -> Future[list[TilePrediction]]:
        """Compute a batch in the pool; before the first one, find the runtime there."""
        filled = [data for _, data in batch if data.valid.any()]
        if filled and self.used is None:
            tile = batch[0][0]
            self.used = pool.submit(self._start, tile.halo_px, filled[0]).result()
            self.report(self.used.note)
        return pool.submit(self._predict_batch, batch)

    def _one_thread(self) -> partial[None] | None:
        return partial(torch.set_num_threads, 1) if self.device.is_cpu else None

    def _start(self, margin_px: int, first: TileData) -> RuntimeUse:
        card = self.bundle.card
        network: torch.nn.Module = deepcopy(self.bundle.network)
        fold_batch_norm(network)
        if self.evaluation == "patch":
            network = Patchwise(patch_form(network, card))
        form = MapForm(
            card.ratio, self.grid, margin_px, card.classes.codes, self.radiometry.limits,
            card.temperature,
        )  # fmt: skip
        step = MapStep(network, form).eval()
        reference = TorchRuntime(step, self.radiometry, self.device.torch)
        start = RuntimeStart(
            step, card, self.radiometry, self.device, self.workers, reference,
            self.bundle.network.lattice_px,
        )  # fmt: skip
        return start_runtime(self.wish, start, first)

    def _predict_batch(self, batch: Batch) -> list[TilePrediction]:
        empty = [self._empty(tile) for tile, data in batch if not data.valid.any()]
        filled = [(tile, data) for tile, data in batch if data.valid.any()]
        if not filled:
            return empty
        assert self.used is not None
        found = self._run(self.used.runtime, filled)
        order = {tile: number for number, (tile, _) in enumerate(batch)}
        return sorted(found + empty, key=lambda prediction: order[prediction.tile])

    def _run(self, runtime: Runtime, batch: Batch) -> list[TilePrediction]:
        try:
            codes, confidence = runtime.run([data for _, data in batch])
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise _too_little_memory(self.device, batch[0][0]) from error
            torch.cuda.empty_cache()
            half = len(batch) // 2
            return self._run(runtime, batch[:half]) + self._run(runtime, batch[half:])
        return [
            self._cut(tile, codes[index], confidence[index])
            for index, (tile, _) in enumerate(batch)
        ]

    def _cut(
        self, tile: Tile, codes: NDArray[np.uint8], confidence: NDArray[np.uint8]
    ) -> TilePrediction:
        """Return the written part of a patch within its halo; less at the scene's far borders."""
        part = np.s_[: tile.write.height * self._scale, : tile.write.width * self._scale]
        return TilePrediction(tile, codes[part], confidence[part])

    def _empty(self, tile: Tile) -> TilePrediction:
        shape = tile.write.height * self._scale, tile.write.width * self._scale
        nodata = np.full(shape, CONFIDENCE_NODATA, np.uint8)
        return TilePrediction(tile, np.zeros(shape, np.uint8), nodata)

    @property
    def _scale(self) -> int:
        return 1 if self.grid == "ms" else self.bundle.card.ratio


def _too_little_memory(device: Device, tile: Tile) -> DeviceError:
    return DeviceError(
        f"One tile of {tile.read.width} × {tile.read.height} MS pixels does not fit the memory of "
        f"{device.torch}.",
        "out-of-memory",
        "Choose smaller tiles (`--tile-px`) or the CPU (`--device cpu`).",
    )
