"""Exact sliding-window inference: tiles in, class codes and confidence out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.bundle import ModelBundle
from ..models.folding import fold_batch_norm
from .class_map import CONFIDENCE_NODATA
from .device import Device
from .errors import DeviceError
from .patchwise import Patchwise, patch_form
from .radiometry import Radiometry
from .read_ahead import read_ahead
from .scene.pair import ScenePair, TileData
from .tiling import Tile


@dataclass(frozen=True)
class TilePrediction:
    """What the network says about the written part of a tile.

    ``codes`` and ``confidence`` are uint8 on the output grid, (h·s, w·s) with s the output pixels
    per MS pixel; 0 and 255 where MS or PAN is invalid.
    """

    tile: Tile
    codes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


@dataclass(frozen=True)
class Predictor:
    """A model with its radiometry on a device; ``grid`` is the output's, ``pan`` or ``ms``.

    ``evaluation`` is ``dense``, or ``patch`` for one pass of the network for every MS pixel.

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

    def predict(self, pair: ScenePair, tiles: Iterable[Tile]) -> Iterator[TilePrediction]:
        """Yield a prediction for each tile, in order, while the next ones are being read.

        Raises DeviceError where even a single tile does not fit the device's memory, InputError
        where the network has no patch form and is to be evaluated in it.
        """
        device = self.device.torch
        network: torch.nn.Module = deepcopy(self.bundle.network)
        fold_batch_norm(network)
        if self.evaluation == "patch":
            network = Patchwise(patch_form(network, self.bundle.card))
        network = network.to(device)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        codes = torch.tensor(self.bundle.card.classes.codes, dtype=torch.uint8).to(device)
        work = partial(self._predict_batch, network, codes)
        one_thread = partial(torch.set_num_threads, 1) if self.device.is_cpu else None
        pending: deque[Future[list[TilePrediction]]] = deque()
        with (
            closing(read_ahead(pair, tiles, self.batch_size)) as batches,
            ThreadPoolExecutor(self.workers, initializer=one_thread) as pool,
        ):
            try:
                for batch in batches:
                    pending.append(pool.submit(work, batch))
                    if len(pending) > self.workers:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _predict_batch(
        self, network: torch.nn.Module, codes: Tensor, batch: list[tuple[Tile, TileData]]
    ) -> list[TilePrediction]:
        try:
            with torch.inference_mode():
                class_codes, confidence = self._forward(network, codes, [d for _, d in batch])
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise _too_little_memory(self.device, batch[0][0]) from error
            torch.cuda.empty_cache()
            half = len(batch) // 2
            first = self._predict_batch(network, codes, batch[:half])
            return first + self._predict_batch(network, codes, batch[half:])
        return [
            self._cut(tile, class_codes[index], confidence[index])
            for index, (tile, _) in enumerate(batch)
        ]

    def _cut(
        self, tile: Tile, codes: NDArray[np.uint8], confidence: NDArray[np.uint8]
    ) -> TilePrediction:
        """Return the written part of a patch's prediction."""
        scale = 1 if self.grid == "ms" else self.bundle.card.ratio
        top = (tile.write.row - tile.read.row) * scale
        left = (tile.write.col - tile.read.col) * scale
        rows = slice(top, top + tile.write.height * scale)
        cols = slice(left, left + tile.write.width * scale)
        return TilePrediction(tile, codes[rows, cols], confidence[rows, cols])

    def _forward(
        self, network: torch.nn.Module, codes: Tensor, batch: list[TileData]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        ms = self._tensor([d.ms for d in batch])  # (B, C, h, w)
        pan = self._tensor([d.pan for d in batch])  # (B, 1, r·h, r·w)
        ms_valid = self._tensor([d.ms_valid[None] for d in batch])  # (B, 1, r·h, r·w)
        pan_valid = self._tensor([d.pan_valid[None] for d in batch])
        ms, pan = self.radiometry.apply(ms, pan, ms_valid, pan_valid)
        logits = network(
            ms.contiguous(memory_format=torch.channels_last),
            pan.contiguous(memory_format=torch.channels_last),
        )  # (B, K, r·h, r·w)
        valid = self._tensor([d.valid for d in batch])  # (B, r·h, r·w)
        if self.grid == "ms":
            logits, valid = self._to_ms_grid(logits, valid)
        best, index = logits.max(dim=1)  # (B, H, W)
        # The maximum softmax probability is 1 / Σ exp(l − l_max); temperature as in calibration.
        # On a CPU in float64: float32's exp rounds by the position in memory, and so by the tile.
        wide = torch.float64 if self.device.is_cpu else torch.float32
        margin = (logits - best[:, None]).to(wide) / self.bundle.card.temperature
        total = margin.exp().sum(dim=1)
        percent = (100.0 / total).round().to(torch.uint8)
        class_codes = torch.where(valid, codes[index], 0)
        confidence = torch.where(valid, percent, CONFIDENCE_NODATA)
        return class_codes.cpu().numpy(), confidence.cpu().numpy()

    def _to_ms_grid(self, logits: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return log mean probabilities over each MS pixel's PAN pixels, valid where all are."""
        ratio, temperature = self.bundle.card.ratio, self.bundle.card.temperature
        probability = (logits / temperature).softmax(dim=1)
        mean = torch.nn.functional.avg_pool2d(probability, ratio)  # (B, K, h, w)
        invalid = (~valid)[:, None].to(mean.dtype)
        any_invalid = torch.nn.functional.max_pool2d(invalid, ratio)[:, 0] > 0
        return mean.clamp_min(1e-12).log() * temperature, ~any_invalid

    def _tensor(self, arrays: list[NDArray[np.generic]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device.torch)


def _too_little_memory(device: Device, tile: Tile) -> DeviceError:
    return DeviceError(
        f"One tile of {tile.read.width} × {tile.read.height} MS pixels does not fit the memory of "
        f"{device.torch}.",
        "out-of-memory",
        "Choose smaller tiles (`--tile-px`) or the CPU (`--device cpu`).",
    )
