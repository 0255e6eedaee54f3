"""How good a network is on labels that it is not trained on: on tiles, as a map would show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.classes import ClassScheme
from ...models.contract import FusionNetwork
from ..assessment.confusion import ConfusionMatrix
from ..grid import Window
from ..radiometry import Radiometry
from ..scene.pixel_indices import fine_indices, reflect
from ..tiling import Tile, plan_tiles
from .calibration import calibrate, mean_nll
from .scenes import UNLABELLED, LabelledScene

TILE_PX = 64
"""MS pixels along the side of a tile."""

_CALIBRATION_PIXELS = 50_000


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Class scores on validation pixels: ``logits`` (n, K), ``targets`` (n,) class indices.

    ``matrix`` counts all of them by PAN pixel, rows are the labels.
    """

    matrix: ConfusionMatrix
    logits: Tensor
    targets: Tensor

    @property
    def balanced_accuracy(self) -> float:
        """Mean accuracy of the classes that the labels have; 0 where there is none."""
        return self.matrix.balanced_accuracy or 0.0

    @cached_property
    def temperature(self) -> float:
        """The temperature of least loss."""
        return calibrate(self.logits, self.targets)

    @cached_property
    def nll(self) -> float:
        """Mean negative log-likelihood at ``temperature``."""
        return mean_nll(self.logits, self.targets, self.temperature)

    @property
    def rank(self) -> tuple[float, float]:
        """What makes one network better than another: balanced accuracy, then the likelihood."""
        return self.balanced_accuracy, -self.nll

    def metrics(self) -> dict[str, Any]:
        """Return what a model card says of its accuracy, as JSON values."""
        m = self.matrix
        return {
            "oa": _rounded(m.oa),
            "aa": _rounded(m.aa),
            "kappa": _rounded(m.kappa),
            "f1": {n: _rounded(v) for n, v in zip(m.names, m.f1, strict=True)},
            "pixels": m.total,
            "confusion": m.counts.tolist(),
        }


class Validation:
    """Labelled scenes cut into tiles that are mapped as ``classify`` would map them.

    At most ``max_tiles`` of the tiles with labels are taken, class by class in turn, the same for
    the same ``seed``.
    """

    def __init__(
        self,
        scenes: Sequence[LabelledScene],
        radiometry: dict[str, Any],
        classes: ClassScheme,
        *,
        max_tiles: int,
        seed: int,
    ) -> None:
        self.scenes, self.classes = list(scenes), classes
        self._radiometries = [scene.radiometry(radiometry) for scene in scenes]
        self._max_tiles, self._seed = max_tiles, seed

    def evaluate(
        self,
        network: FusionNetwork,
        device: torch.device,
        tick: Callable[[float], None] = lambda share: None,
        *,
        workers: int = 1,
    ) -> Evaluation:
        """Return how ``network`` (eval mode, on ``device``) does; ``tick`` hears of every tile.

        ``workers`` tiles are mapped at once, which changes nothing but the time.
        """
        size = len(self.classes)
        counts = np.zeros((size, size), np.int64)
        scores, targets = [torch.zeros(0, size)], [torch.zeros(0, dtype=torch.int64)]
        chosen = self._tiles(network)
        maps = _side_by_side(partial(self._map, network, device), chosen, workers)
        for done, (logits, labels) in enumerate(maps, 1):  # (n, K), (n,)
            pairs = labels * size + logits.argmax(dim=1)
            counts += torch.bincount(pairs, minlength=size**2).reshape(size, size).numpy()
            step = max(1, len(labels) * len(chosen) // _CALIBRATION_PIXELS)
            scores.append(logits[::step])
            targets.append(labels[::step])
            tick(done / len(chosen))
        names = tuple(c.name for c in self.classes.classes)
        matrix = ConfusionMatrix(self.classes.codes, names, counts)
        return Evaluation(matrix, torch.cat(scores), torch.cat(targets))

    def _tiles(self, network: FusionNetwork) -> list[tuple[int, Tile]]:
        """Return the tiles to map, each with the number of its scene."""
        found: list[tuple[int, Tile, frozenset[int]]] = []
        for number, scene in enumerate(self.scenes):
            height, width = scene.labels.shape
            for tile in plan_tiles(width, height, TILE_PX, network.halo_px, network.lattice_px):
                present = np.unique(_inside(scene.labels, tile.write))
                classes = frozenset(int(k) for k in present if k != UNLABELLED)
                if classes:
                    found.append((number, tile, classes))
        order = np.random.default_rng(self._seed).permutation(len(found))
        return _in_turn([found[i] for i in order], len(self.classes), self._max_tiles)

    def _map(
        self, network: FusionNetwork, device: torch.device, chosen: tuple[int, Tile]
    ) -> tuple[Tensor, Tensor]:
        """Return logits (n, K) and labels (n,) of the labelled PAN pixels of a scene's tile."""
        number, tile = chosen
        scene = self.scenes[number]
        ms, pan = _patch(scene, tile.read, self._radiometries[number])
        with torch.inference_mode():
            logits = network(ms.to(device), pan.to(device))[0].float().cpu()  # (K, r·H, r·W)
        ratio = scene.ratio
        top = (tile.write.row - tile.read.row) * ratio
        left = (tile.write.col - tile.read.col) * ratio
        labels = _inside(scene.labels, tile.write).repeat(ratio, axis=0).repeat(ratio, axis=1)
        inner = logits[:, top : top + labels.shape[0], left : left + labels.shape[1]]
        known = torch.from_numpy(labels != UNLABELLED)
        return inner[:, known].T.contiguous(), torch.from_numpy(labels)[known]


def _side_by_side(
    work: Callable[[tuple[int, Tile]], tuple[Tensor, Tensor]],
    tiles: list[tuple[int, Tile]],
    workers: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the result for each tile in order, ``workers`` computed at once by one thread each."""
    if workers == 1:
        yield from map(work, tiles)
        return
    with ThreadPoolExecutor(workers, initializer=partial(torch.set_num_threads, 1)) as pool:
        try:
            yield from pool.map(work, tiles)
        finally:
            pool.shutdown(cancel_futures=True)


def _in_turn(
    tiles: list[tuple[int, Tile, frozenset[int]]], classes: int, most: int
) -> list[tuple[int, Tile]]:
    """Return at most ``most`` tiles: one with each class in turn, as long as there are any."""
    left, taken = list(tiles), list[tuple[int, Tile]]()
    while left and len(taken) < most:
        for k in range(classes):
            index = next((i for i, (_, _, present) in enumerate(left) if k in present), None)
            if index is not None and len(taken) < most:
                number, tile, _ = left.pop(index)
                taken.append((number, tile))
    return taken


def _patch(scene: LabelledScene, read: Window, radiometry: Radiometry) -> tuple[Tensor, Tensor]:
    """Return network input (1, C, H, W) and (1, 1, r·H, r·W), reflected beyond the scene."""
    height, width = scene.labels.shape
    rows = reflect(np.arange(read.row, read.bottom), height)
    cols = reflect(np.arange(read.col, read.right), width)
    of_ms = np.ix_(fine_indices(rows, scene.ratio), fine_indices(cols, scene.ratio))
    of_pan = _fine_reflection(read, scene)
    ms = torch.from_numpy(scene.ms[:, rows[:, None], cols])[None]
    pan = torch.from_numpy(scene.pan[0][of_pan])[None, None]
    ms_valid = torch.from_numpy(scene.ms_valid[of_ms])[None, None]
    pan_valid = torch.from_numpy(scene.pan_valid[of_pan])[None, None]
    ms, pan = radiometry.apply(ms, pan, ms_valid, pan_valid)
    last = torch.channels_last
    return ms.contiguous(memory_format=last), pan.contiguous(memory_format=last)


def _fine_reflection(read: Window, scene: LabelledScene) -> tuple[NDArray[Any], ...]:
    """Return the rows and columns of the PAN that a window of MS pixels takes."""
    fine = read.refine(scene.ratio)
    height, width = scene.pan.shape[1:]
    return np.ix_(
        reflect(np.arange(fine.row, fine.bottom), height),
        reflect(np.arange(fine.col, fine.right), width),
    )


def _inside(image: NDArray[np.int64], window: Window) -> NDArray[np.int64]:
    return image[window.row : window.bottom, window.col : window.right]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
