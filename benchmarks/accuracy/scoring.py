"""Class scores of a whole labelled scene, and what they are worth on its labels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from panloom.engine.assessment.confusion import ConfusionMatrix
from panloom.engine.radiometry import Radiometry
from panloom.engine.training.scenes import UNLABELLED, LabelledScene
from panloom.models.contract import FusionNetwork


def score(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> ConfusionMatrix:
    """Return the agreement of class indices with labels of the same shape, −1 ignored."""
    known = labels != UNLABELLED
    pairs = labels[known] * classes + predicted[known]
    return confusion(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))


def confusion(counts: ArrayLike) -> ConfusionMatrix:
    """Return counts (K, K) of pixels by class index as a confusion matrix, rows are the labels."""
    counts = np.asarray(counts, np.int64)
    indices = range(len(counts))
    return ConfusionMatrix(tuple(indices), tuple(str(k) for k in indices), counts)


def kappa(matrix: ConfusionMatrix) -> float:
    """Return Cohen's kappa, 1 where chance alone agrees everywhere: one class, all of it found."""
    return 1.0 if matrix.kappa is None else matrix.kappa


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
