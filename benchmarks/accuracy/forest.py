"""The yardstick: a random forest on the bands, PAN, its local texture, NDVI and MNDWI."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import sobel, uniform_filter
from sklearn.ensemble import RandomForestClassifier

from panloom.engine.training.scenes import LabelledScene

Image = NDArray[np.float32]
SCALINGS = ("dark-object", "stretch")
"""The network's radiometry, or every band stretched from its 2nd to its 98th percentile."""
TREES = 100
PIXELS_PER_CLASS = 1000
NIR, RED, GREEN, SWIR1 = 3, 2, 1, 4


def train_forest(
    scenes: list[LabelledScene], scaling: str, classes: int, seed: int
) -> RandomForestClassifier:
    """Return a forest fitted to up to 1000 pixels of every class of every scene."""
    rng = np.random.default_rng(seed)
    features, targets = [], []
    for scene in scenes:
        image = forest_features(scene, scaling)
        for k in range(classes):
            pixels = np.flatnonzero(scene.labels.ravel() == k)
            chosen = rng.permutation(pixels)[:PIXELS_PER_CLASS]
            features.append(image.reshape(-1, image.shape[-1])[chosen])
            targets.append(np.full(len(chosen), k))
    forest = RandomForestClassifier(
        TREES, min_samples_leaf=2, class_weight="balanced_subsample", random_state=seed
    )
    return forest.fit(np.concatenate(features), np.concatenate(targets))


def forest_map(
    forest: RandomForestClassifier, scene: LabelledScene, scaling: str
) -> NDArray[np.int64]:
    """Return class indices (h, w) of the labelled pixels, 0 elsewhere."""
    known = scene.labels >= 0
    predicted = np.zeros(scene.labels.shape, np.int64)
    predicted[known] = forest.predict(forest_features(scene, scaling)[known])
    return predicted


def forest_features(scene: LabelledScene, scaling: str) -> Image:
    """Return (h, w, 13): six bands, PAN, four measures of its texture, NDVI, MNDWI."""
    ms, pan = _scaled(scene, scaling)
    ratio = scene.ratio

    def blocks(image: NDArray[np.floating]) -> NDArray[np.floating]:
        height, width = image.shape
        return image.reshape(height // ratio, ratio, width // ratio, ratio).mean(axis=(1, 3))

    edges = np.hypot(sobel(pan, 0), sobel(pan, 1))
    light = np.maximum(ms, 0) + 0.02
    layers = [
        *ms,
        blocks(pan),
        *(blocks(_deviation(pan, size)) for size in (3, 6, 10)),
        blocks(uniform_filter(edges, 6)),
        (light[NIR] - light[RED]) / (light[NIR] + light[RED]),
        (light[GREEN] - light[SWIR1]) / (light[GREEN] + light[SWIR1]),
    ]
    return np.stack(layers, axis=-1).astype(np.float32)


def _scaled(scene: LabelledScene, scaling: str) -> tuple[Image, Image]:
    if scaling == "dark-object":
        found = scene.radiometry({"kind": "dark-object"})
        offset, scale = (np.array(v)[:, None, None] for v in (found.ms_offset, found.ms_scale))
        low, high = found.limits
        ms = np.clip((scene.ms - offset) * scale, low, high)
        return ms, np.clip((scene.pan[0] - found.pan_offset) * found.pan_scale, low, high)
    low_ms, high_ms = np.percentile(scene.sample_ms, [2, 98], axis=1)[:, :, None, None]
    low_pan, high_pan = np.percentile(scene.sample_pan, [2, 98])
    ms = (scene.ms - low_ms) / np.maximum(high_ms - low_ms, 1e-6)
    return ms, (scene.pan[0] - low_pan) / max(high_pan - low_pan, 1e-6)


def _deviation(pan: Image, size: int) -> NDArray[np.floating]:
    mean = uniform_filter(pan, size)
    return np.sqrt(np.maximum(uniform_filter(pan * pan, size) - mean**2, 0))
