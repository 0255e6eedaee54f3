"""The yardsticks: pixel classifiers on the bands, PAN, its local texture, NDVI and MNDWI."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import sobel, uniform_filter
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from panloom.engine.training.scenes import LabelledScene

Image = NDArray[np.float32]
SCALINGS = ("dark-object", "stretch")
"""The network's radiometry, or every band stretched from its 2nd to its 98th percentile."""
CLASSIFIERS = ("forest", "boosting", "svm")
PIXELS_PER_CLASS = {"forest": 1000, "boosting": 1000, "svm": 100}
"""Pixels of each class of each scene; a support vector machine's time grows with their square."""
GREEN, RED, NIR = 1, 2, 3
SWIR1 = 4
_FEATURES: dict[tuple[str, str], Image] = {}


def train_classifier(
    name: str, scenes: list[LabelledScene], scaling: str, classes: int, seed: int
) -> Any:
    """Return a classifier of scikit-learn fitted to some pixels of every class of every scene."""
    rng = np.random.default_rng(seed)
    features, targets = [], []
    for scene in scenes:
        image = pixel_features(scene, scaling)
        for k in range(classes):
            pixels = np.flatnonzero(scene.labels.ravel() == k)
            chosen = rng.permutation(pixels)[: PIXELS_PER_CLASS[name]]
            features.append(image.reshape(-1, image.shape[-1])[chosen])
            targets.append(np.full(len(chosen), k))
    return _build(name, seed).fit(np.concatenate(features), np.concatenate(targets))


def classifier_map(classifier: Any, scene: LabelledScene, scaling: str) -> NDArray[np.int64]:
    """Return class indices (h, w) of the labelled pixels, 0 elsewhere."""
    known = scene.labels >= 0
    predicted = np.zeros(scene.labels.shape, np.int64)
    if known.any():
        predicted[known] = classifier.predict(pixel_features(scene, scaling)[known])
    return predicted


def pixel_features(scene: LabelledScene, scaling: str) -> Image:
    """Return what a scene's pixels are known by, computed once in a process."""
    key = (scene.name, scaling)
    if key not in _FEATURES:
        _FEATURES[key] = _pixel_features(scene, scaling)
    return _FEATURES[key]


def _pixel_features(scene: LabelledScene, scaling: str) -> Image:
    """Return (h, w, C + 5) and, where there is a near infrared, indices.

    Bands, PAN, deviations of PAN in three windows and its edges; NDVI from four bands up, MNDWI
    from six.
    """
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
        *(blocks(deviation(pan, size)) for size in (3, 6, 10)),
        blocks(uniform_filter(edges, 6)),
    ]
    if len(ms) > NIR:
        layers.append((light[NIR] - light[RED]) / (light[NIR] + light[RED]))
    if len(ms) > SWIR1:
        layers.append((light[GREEN] - light[SWIR1]) / (light[GREEN] + light[SWIR1]))
    return np.stack(layers, axis=-1).astype(np.float32)


def _build(name: str, seed: int) -> Any:
    if name == "forest":
        return RandomForestClassifier(
            100, min_samples_leaf=2, class_weight="balanced_subsample", random_state=seed
        )
    if name == "boosting":
        return HistGradientBoostingClassifier(class_weight="balanced", random_state=seed)
    return make_pipeline(StandardScaler(), SVC(C=10, class_weight="balanced", cache_size=500))


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


def deviation(pan: Image, size: int) -> NDArray[np.floating]:
    """Return the standard deviation of PAN in a window of ``size`` pixels."""
    mean = uniform_filter(pan, size)
    return np.sqrt(np.maximum(uniform_filter(pan * pan, size) - mean**2, 0))
