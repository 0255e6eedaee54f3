"""Class codes and confidence of a user's network, tile by tile, blended where tiles overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from ..class_map import CONFIDENCE_NODATA
from ..predict import TilePrediction
from ..radiometry import Radiometry
from ..read_ahead import read_ahead
from ..scene.pair import ScenePair, TileData
from ..tiling import Tile
from .blend import Blender
from .network import OwnNetwork
from .plan import BlendPlan

Image = NDArray[np.float32]
Codes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class BlendedPredictor:
    """A user's network with its radiometry; ``grid`` is the map's, ``pan`` or ``ms``.

    Each of ``workers`` threads runs one tile at a time: a batch of several could change rounding.
    """

    network: OwnNetwork
    radiometry: Radiometry
    grid: str = "pan"
    workers: int = 1

    def predict(self, pair: ScenePair, plan: BlendPlan) -> Generator[TilePrediction]:
        """Yield finished pieces of the map, row by row of tiles, their ``write`` within the area.

        The same for any number of workers. Raises ModelError or DeviceError where the network
        fails.
        """
        blender = Blender(plan, len(self.network.card.classes), self._blend_scale)
        work = partial(self._predict_tile, blender.weights)
        pending: deque[Future[tuple[Tile, Image, Mask]]] = deque()
        one_thread = partial(torch.set_num_threads, 1)
        with (
            closing(read_ahead(pair, plan.tiles, 1)) as batches,
            ThreadPoolExecutor(self.workers, initializer=one_thread) as pool,
        ):
            try:
                for batch in batches:
                    pending.extend(pool.submit(work, tile, data) for tile, data in batch)
                    while len(pending) > self.workers:
                        yield from self._finish(plan, blender, pending.popleft())
                while pending:
                    yield from self._finish(plan, blender, pending.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    @property
    def _scale(self) -> int:
        """Output pixels per MS pixel along a side."""
        return 1 if self.grid == "ms" else self.network.card.ratio

    @property
    def _blend_scale(self) -> int:
        """The same for the probabilities that are blended: no finer than network and output."""
        return self._scale if self.network.on_pan_grid else 1

    def _predict_tile(self, weights: Image, tile: Tile, data: TileData) -> tuple[Tile, Image, Mask]:
        """Return weighted probabilities (K, t, t) and where the map is valid, on their grids.

        Where no pixel of a tile is valid, nobody sees what its network would say: zeros.
        """
        ratio, valid = self.network.card.ratio, data.valid
        if self.grid == "ms":
            valid = np.all(_blocks(valid[np.newaxis], ratio), axis=(2, 4))[0]
        if not valid.any():
            return tile, np.zeros((len(self.network.card.classes), *weights.shape), "f4"), valid
        with torch.inference_mode():
            ms, pan = self.radiometry.apply(
                _tensor(data.ms), _tensor(data.pan), _tensor(data.ms_valid[np.newaxis]),
                _tensor(data.pan_valid[np.newaxis]),
            )  # fmt: skip
        probability = self.network.probabilities(ms[0].numpy(), pan[0].numpy())
        if self.network.on_pan_grid and self._blend_scale == 1:
            probability = _mean_of_blocks(probability, ratio)
        return tile, probability * weights, valid

    def _finish(
        self, plan: BlendPlan, blender: Blender, future: Future[tuple[Tile, Image, Mask]]
    ) -> Iterator[TilePrediction]:
        tile, weighted, valid = future.result()
        finished = blender.add(weighted)  # (K, s, s)
        piece = plan.piece(tile)
        if piece is None:
            return
        repeat = self._scale // self._blend_scale
        codes, confidence = self._decide(finished)
        rows = slice((piece.row - tile.read.row) * self._scale, None)
        cols = slice((piece.col - tile.read.col) * self._scale, None)
        height, width = piece.height * self._scale, piece.width * self._scale

        def cut(image: NDArray[np.generic]) -> NDArray[np.generic]:
            return image[rows, cols][:height, :width]

        inside = cut(valid)
        codes = np.where(inside, cut(_repeated(codes, repeat)), 0).astype(np.uint8)
        confidence = np.where(inside, cut(_repeated(confidence, repeat)), CONFIDENCE_NODATA)
        yield TilePrediction(replace(tile, write=piece), codes, confidence.astype(np.uint8))

    def _decide(self, probability: Image) -> tuple[Codes, Codes]:
        """Return class codes and confidence in percent, (h, w), of probabilities (K, h, w)."""
        codes = np.array(self.network.card.classes.codes, np.uint8)
        percent = np.rint(100 * probability.max(axis=0)).clip(0, 100)
        return codes[probability.argmax(axis=0)], percent.astype(np.uint8)


def _tensor(image: NDArray[np.generic]) -> torch.Tensor:
    """Return (C, h, w) of any type as (1, C, h, w), float32 unless it is a mask."""
    kind = np.bool_ if image.dtype == np.bool_ else np.float32
    return torch.from_numpy(np.array(image[np.newaxis], kind))  # a copy: views may be read-only


def _blocks(image: NDArray[np.generic], ratio: int) -> NDArray[np.generic]:
    """Return (K, r·h, r·w) as (K, h, r, w, r)."""
    count, height, width = image.shape
    return image.reshape(count, height // ratio, ratio, width // ratio, ratio)


def _mean_of_blocks(image: Image, ratio: int) -> Image:
    mean: Image = _blocks(image, ratio).mean(axis=(2, 4), dtype=np.float32)
    return mean


def _repeated(image: Codes, repeat: int) -> Codes:
    return image.repeat(repeat, axis=0).repeat(repeat, axis=1)
