"""Exact sliding-window inference: tiles in, class codes and confidence out."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

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
from .runtimes.choice import TORCH_ONLY, RuntimeStart, RuntimeUse, RuntimeWish, start_runtime
from .runtimes.map_step import MapForm, MapStep
from .runtimes.runtime import CannotRunError, Runtime
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
    _crew: _Crew | None = field(default=None, init=False)

    def predict(self, pair: ScenePair, tiles: Iterable[Tile]) -> Generator[TilePrediction]:
        """Yield a prediction for each tile, in order, while the next ones are being read.

        All tiles have one halo and one read size. Raises DeviceError where even a single tile does
        not fit the device's memory, InputError where the network has no patch form and is to be
        evaluated in it.
        """
        pending: deque[Future[list[TilePrediction]]] = deque()

        def finished() -> list[TilePrediction]:
            predictions = pending.popleft().result()
            if self._crew is not None and self._crew.note is not None:
                self.report(self._crew.note)
                self._crew.note = None
            return predictions

        with (
            closing(read_ahead(pair, tiles, self.batch_size)) as batches,
            ThreadPoolExecutor(self.workers, initializer=self._one_thread()) as pool,
        ):
            try:
                for batch in batches:
                    pending.append(self._submit(pool, batch))
                    if len(pending) > self.workers:
                        yield from finished()
                while pending:
                    yield from finished()
            finally:
                pool.shutdown(cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, batch: Batch) -> Future[list[TilePrediction]]:
        """Compute a batch in the pool; before the first one, find the runtime there."""
        filled = self._filled(batch)
        if filled and self.used is None:
            tile, first = filled[0]
            self.used = pool.submit(self._start, tile.halo_px, first).result()
            if self.device.is_cpu and isinstance(self.used.runtime, TorchRuntime):
                reuse_memory()  # other runtimes keep memory themselves
            self._crew = _Crew(self.used.runtime, self.device)
            self.report(self.used.note)
        crew = self._crew if filled else None
        return pool.submit(self._predict_batch, batch, filled, crew, crew.next() if crew else None)

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

    def _predict_batch(
        self, batch: Batch, filled: Batch, crew: _Crew | None, runtime: Runtime | None
    ) -> list[TilePrediction]:
        computed = [] if crew is None or runtime is None else self._run(crew, runtime, filled)
        found = {prediction.tile: prediction for prediction in computed}
        return [found.get(tile) or self._empty(tile) for tile, _ in batch]

    def _run(self, crew: _Crew, runtime: Runtime, batch: Batch) -> list[TilePrediction]:
        """Compute a batch, in halves or at last on the CPU where memory does not suffice."""
        try:
            codes, confidence = runtime.run([data for _, data in batch])
        except CannotRunError as error:
            raise DeviceError(
                f"{runtime.title} fails on a tile of {batch[0][0].read.width} × "
                f"{batch[0][0].read.height} MS pixels: {error}.",
                "runtime",
                "Add `--runtime torch`, or choose smaller tiles (`--tile-px`).",
            ) from error
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                fallback = crew.fall_back(batch[0][0]) if self.device.may_fall_back else None
                if fallback is None or fallback is runtime:
                    raise _too_little_memory(self.device, batch[0][0]) from error
                return self._run(crew, fallback, batch)
            torch.cuda.empty_cache()
            half = len(batch) // 2
            return self._run(crew, runtime, batch[:half]) + self._run(crew, runtime, batch[half:])
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


class _Crew:
    """The runtimes of a run: one for each device, in turn, and the CPU's where they give up."""

    def __init__(self, runtime: Runtime, device: Device) -> None:
        self._runtimes: list[Runtime] = [runtime]
        self._device = device
        if isinstance(runtime, TorchRuntime):
            self._runtimes += [runtime.on(other) for other in device.others]
        self._turn = 0
        self._lock = Lock()
        self._fallback: Runtime | None = None
        self.note: Message | None = None

    def next(self) -> Runtime:
        """Return the runtime whose turn it is."""
        self._turn += 1
        return self._fallback or self._runtimes[(self._turn - 1) % len(self._runtimes)]

    def fall_back(self, tile: Tile) -> Runtime | None:
        """Return torch on the CPU, made once, and leave a note; None where it ran there anyway."""
        with self._lock:
            first = self._runtimes[0]
            if self._fallback is None and isinstance(first, TorchRuntime):
                self._fallback = first.on(torch.device("cpu"))
                sentence = _too_little_memory(self._device, tile).message
                self.note = Message(f"{sentence} The CPU computes the rest.", "warning")
            return self._fallback


def _too_little_memory(device: Device, tile: Tile) -> DeviceError:
    return DeviceError(
        f"One tile of {tile.read.width} × {tile.read.height} MS pixels does not fit the memory of "
        f"{device.torch}.",
        "out-of-memory",
        "Choose smaller tiles (`--tile-px`) or the CPU (`--device cpu`).",
    )
