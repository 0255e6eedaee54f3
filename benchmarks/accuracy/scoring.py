"""Class scores of a whole labelled scene, and what they are worth on its labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from panloom.engine.radiometry import Radiometry
from panloom.engine.training.scenes import UNLABELLED, LabelledScene
from panloom.models.contract import FusionNetwork


@dataclass(frozen=True)
class Score:
    """Agreement with a scene's labels; ``matrix`` (K, K) counts pixels, rows are the labels.

    ``balanced`` is the mean recall over the classes that the scene has.
    """

    matrix: NDArray[np.int64]

    @property
    def recalls(self) -> dict[int, float]:
        """Recall by class index, of the classes that the scene has."""
        counts = self.matrix.sum(axis=1)
        return {int(k): float(self.matrix[k, k] / counts[k]) for k in np.flatnonzero(counts)}

    @property
    def balanced(self) -> float:
        """Mean recall over the classes present."""
        return float(np.mean(list(self.recalls.values())))

    @property
    def oa(self) -> float:
        """Overall accuracy."""
        return float(np.trace(self.matrix) / self.matrix.sum())

    @property
    def kappa(self) -> float:
        """Cohen's kappa; 1 where chance alone would already agree everywhere."""
        total = self.matrix.sum()
        chance = float((self.matrix.sum(0) / total) @ (self.matrix.sum(1) / total))
        return 1.0 if chance == 1 else (self.oa - chance) / (1 - chance)


def score(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Score:
    """Return the agreement of class indices with labels of the same shape, −1 ignored."""
    known = labels != UNLABELLED
    pairs = labels[known] * classes + predicted[known]
    return Score(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))


def scene_logits(
    network: FusionNetwork, scene: LabelledScene, radiometry: Radiometry
) -> NDArray[np.float32]:
    """Return logits (K, r·h, r·w) of the whole scene in one piece, reflected at its border."""
    halo = -(-network.halo_px // network.lattice_px) * network.lattice_px
    ms, pan = torch.from_numpy(scene.ms)[None], torch.from_numpy(scene.pan)[None]
    ms_valid = torch.from_numpy(scene.ms_valid)[None, None]
    pan_valid = torch.from_numpy(scene.pan_valid)[None, None]
    ms, pan = radiometry.apply(ms, pan, ms_valid, pan_valid)
    ms = _reflect(ms, halo).contiguous(memory_format=torch.channels_last)
    pan = _reflect(pan, halo * scene.ratio)
    with torch.inference_mode():
        logits = network(ms, pan)[0]
    edge = halo * scene.ratio
    inner: NDArray[np.float32] = logits[:, edge:-edge, edge:-edge].numpy()
    return inner


def to_ms_grid(logits: NDArray[np.float32], ratio: int) -> NDArray[np.float32]:
    """Return the mean logits (K, h, w) over each MS pixel's ratio × ratio PAN pixels."""
    k, height, width = logits.shape
    blocks = logits.reshape(k, height // ratio, ratio, width // ratio, ratio)
    mean: NDArray[np.float32] = blocks.mean(axis=(2, 4))
    return mean


def _reflect(image: torch.Tensor, edge: int) -> torch.Tensor:
    return torch.nn.functional.pad(image, (edge,) * 4, mode="reflect")
