"""Which labels to validate with: whole blocks of ground, apart from what is trained on.

Pixels that are close to each other are alike, and a network sees the ones around. Labels drawn at
random for validation are therefore no test of what it does elsewhere (Liang et al.,
arXiv:1605.05829). Blocks with a distance to the training labels are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..progress import Report
from .block_choice import block_sides
from .scenes import UNLABELLED, LabelledScene
from .sides import Labelled, Sides, Split

BUFFER_PX = 16
"""Distance in MS pixels: the patch that a pixel of the papers is classified by."""


def split_scenes(
    scenes: Sequence[LabelledScene],
    method: str,
    *,
    share: float = 0.25,
    seed: int,
    buffer_px: int = BUFFER_PX,
    names: Sequence[str] = (),
    report: Report = lambda event: None,
) -> Split:
    """Return the scenes with the labels to train on, and those with the labels to validate with.

    ``method`` is "blocks" (square blocks of ground; of polygons each goes whole to the side that
    most of it lies in; training labels within ``buffer_px`` MS pixels of a validation label go to
    neither), "random" (pixels, whatever is beside them) or "none" (all to training). About
    ``share`` of each class is for validation. ``names`` are the classes by index for messages, and
    ``report`` gets what was decided. The same seed gives the same split. Raises InputError for
    blocks where a class has one polygon or point only.
    """
    if method == "none":
        return list(scenes), []
    rng = np.random.default_rng(seed)
    classes = 1 + max(int(scene.labels.max(initial=UNLABELLED)) for scene in scenes)
    labels = Labelled(tuple(scenes), classes, tuple(names))
    if method == "random":
        return labels.divided(_random_sides(labels, share, rng))
    if method != "blocks":
        raise ValueError(f"there is no validation by {method!r}")
    _require_features(labels)
    return labels.divided(block_sides(labels, share, buffer_px, rng, report))


def _require_features(labels: Labelled) -> None:
    """Raise InputError for a class that comes from one polygon or point."""
    counts = np.zeros(labels.classes, np.int64)
    for scene in labels.scenes:
        if scene.features is None:
            return
        there = scene.labels != UNLABELLED
        owner, k = scene.features[there].astype(np.int64), scene.labels[there]
        owned = np.unique(owner * labels.classes + k) % labels.classes
        counts += np.bincount(owned, minlength=labels.classes)
    lonely = [labels.name(k) for k in np.flatnonzero(counts == 1).tolist()]
    if lonely:
        one = len(lonely) == 1
        raise InputError(
            f"{'A class has' if one else 'Classes have'} one polygon or point only: "
            f"{', '.join(f'`{name}`' for name in lonely)}. {'It' if one else 'Each'} needs two: "
            "one to train on and one to validate with.",
            "one-sample",
            "Draw a second one elsewhere, or choose `--validation random` or `--validation none`.",
        )


def _random_sides(labels: Labelled, share: float, rng: np.random.Generator) -> Sides:
    sizes = [scene.labels.size for scene in labels.scenes]
    flat = np.concatenate([scene.labels.ravel() for scene in labels.scenes])
    chosen = np.zeros(len(flat), bool)
    for k in range(labels.classes):
        pixels = np.flatnonzero(flat == k)
        count = min(max(1, round(share * len(pixels))), len(pixels) - 1)
        chosen[rng.permutation(pixels)[: max(0, count)]] = True
    parts = np.split(chosen, np.cumsum(sizes)[:-1])
    validation = [m.reshape(s.labels.shape) for m, s in zip(parts, labels.scenes, strict=True)]
    training = [
        (scene.labels != UNLABELLED) & ~mask
        for scene, mask in zip(labels.scenes, validation, strict=True)
    ]
    return Sides(training, validation)
