"""Exact sliding-window inference: tiles in, class codes and confidence out."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.bundle import ModelBundle
from ..models.folding import fold_batch_norm
from .allocator import reuse_memory
from .class_map import CONFIDENCE_NODATA
from .device import Device
from .errors import DeviceError
from .events import Message
from .patchwise import Patchwise, patch_form
from .progress import Report
from .radiometry import Radiometry
from .read_ahead import read_ahead
from .runtimes.choice import (
    TORCH_ONLY,
    RuntimeStart,
    RuntimeUse,
    RuntimeWish,
    start_runtime,
    wanted_runtime,
)
from .runtimes.frugal_runtime import FrugalRuntime
from .runtimes.map_step import MapForm, MapStep
from .runtimes.runtime import TORCH, CannotRunError, Pieces, Runtime
from .runtimes.torch_runtime import TorchRuntime
from .scene.pair import ScenePair, TileData
from .tiling import Tile
from .turns import Turns

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
    over several threads is slower, and many times so where the cores have other work. Elsewhere
    ``workers`` threads are divided among the devices, and strips of the scene are dealt to these.
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
    _runtimes: list[Runtime] = field(default_factory=list, init=False)
    _notes: deque[Message] = field(default_factory=deque, init=False)

    def predict(self, pair: ScenePair, tiles: Iterable[Tile]) -> Generator[TilePrediction]:
        """Yield a prediction for each tile, in order, while the next ones are being read.

        All tiles have one halo and one read size. Raises DeviceError where even a single tile does
        not fit the device's memory, InputError where the network has no patch form and is to be
        evaluated in it.
        """
        if self.device.is_cpu and wanted_runtime(self.wish, self.device)[0] == TORCH:
            reuse_memory()  # before there are threads: each would have memory of its own
        turns: Turns[list[TilePrediction]] = Turns(
            1 + len(self.device.others), self.workers, self._one_thread()
        )
        with closing(self.read(pair, tiles)) as batches, turns:
            for batch in batches:
                self._submit(turns, batch)
                if turns.is_full:
                    yield from self._finished(turns)
            while not turns.is_empty:
                yield from self._finished(turns)

    def read(self, pair: ScenePair, tiles: Iterable[Tile]) -> Generator[Batch]:
        """Yield the tiles in batches as ``predict`` computes them, read ahead as it reads them."""
        if self.device.is_cpu:
            return read_ahead(pair, tiles, self.batch_size)
        # A strip for each batch that is on its way, and one that is read meanwhile.
        return read_ahead(pair, tiles, self.batch_size, by_strip=True, strips=self.workers + 2)

    def _submit(self, turns: Turns[list[TilePrediction]], batch: Batch) -> None:
        """Compute a batch in its turn; before the first one, find the runtime."""
        filled = self._filled(batch)
        if not filled:
            turns.add([self._empty(tile) for tile, _ in batch])
            return
        tile, first = filled[0]
        pieces: Pieces | None = None
        if self.used is None:
            self.used = turns.call(partial(self._start, tile.halo_px, first))
            if self.device.is_cpu and isinstance(self.used.runtime, TorchRuntime):
                reuse_memory()  # perhaps in another's place, which keeps memory itself
            self._runtimes = self._frugal(self.used.runtime)
            self.report(self.used.note)
            pieces = self.used.first
        if pieces is not None and len(filled) == 1:
            turns.add(self._predictions(batch, filled, pieces))
            return
        strip = None if first.source is None else first.source.pixels
        turns.submit(strip, partial(self._predict_batch, batch, filled))

    def _finished(self, turns: Turns[list[TilePrediction]]) -> list[TilePrediction]:
        predictions = turns.take()
        while self._notes:
            self.report(self._notes.popleft())
        return predictions

    def _filled(self, batch: Batch) -> Batch:
        """Return the tiles with something to show: halos alone may hold pixels, too."""
        on_ms_grid = self.grid == "ms"
        return [
            (tile, data)
            for tile, data in batch
            if data.has_class(tile.halo_px, on_ms_grid=on_ms_grid)
        ]

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

    def _frugal(self, runtime: Runtime) -> list[Runtime]:
        """Return the runtime of each device."""
        each: list[Runtime] = [runtime]
        if isinstance(runtime, TorchRuntime):
            each += [runtime.on(other) for other in self.device.others]
        seats = max(1, self.workers // len(each))
        return [FrugalRuntime(one, seats, partial(self._give_up, runtime)) for one in each]

    def _give_up(self, runtime: Runtime, data: TileData) -> Runtime:
        """Return torch on the CPU where the device may be replaced, and leave a note."""
        error = _too_little_memory(self.device, data)
        if not (self.device.may_fall_back and isinstance(runtime, TorchRuntime)):
            raise error
        self._notes.append(Message(f"{error.message} The CPU computes the rest.", "warning"))
        return runtime.on(torch.device("cpu"))

    def _predict_batch(self, batch: Batch, filled: Batch, device: int) -> list[TilePrediction]:
        runtime = self._runtimes[device]
        try:
            pieces = runtime.run([data for _, data in filled])
        except CannotRunError as error:
            read = batch[0][0].read
            raise DeviceError(
                f"{runtime.title} fails on a tile of {read.width} × {read.height} MS pixels: "
                f"{error}.",
                "runtime",
                "Add `--runtime torch`, or choose smaller tiles (`--tile-px`).",
            ) from error
        return self._predictions(batch, filled, pieces)

    def _predictions(self, batch: Batch, filled: Batch, pieces: Pieces) -> list[TilePrediction]:
        codes, confidence = pieces
        found = {
            tile: self._cut(tile, codes[index], confidence[index])
            for index, (tile, _) in enumerate(filled)
        }
        return [found.get(tile) or self._empty(tile) for tile, _ in batch]

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


def _too_little_memory(device: Device, data: TileData) -> DeviceError:
    _, height, width = data.ms.shape
    return DeviceError(
        f"One tile of {width} × {height} MS pixels does not fit the memory of {device.torch}.",
        "out-of-memory",
        "Choose smaller tiles (`--tile-px`) or the CPU (`--device cpu`).",
    )
