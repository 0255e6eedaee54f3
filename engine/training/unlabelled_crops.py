"""Random crops of everything that is valid in a scene, labelled or not, for stage I."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import InputError
from .crops import CropOptions, CropSource
from .scenes import UNLABELLED, LabelledScene

VALID = 0
"""The label of a valid pixel in these crops; all others are unlabelled."""


def unlabelled_crops(
    scenes: list[LabelledScene], spec: dict[str, object], options: CropOptions, seed: int
) -> CropSource:
    """Return crops around valid pixels, every one as likely as another of its scene.

    Groups of scenes take turns at random, as in training. Labels are ``VALID`` where the MS pixel
    and all of its PAN pixels are valid, whatever the scene's own labels say. Raises InputError
    where there is no such pixel.
    """
    known = [replace(scene, labels=_valid(scene)) for scene in scenes]
    if not any((scene.labels == VALID).any() for scene in known):
        names = ", ".join(f"`{scene.name}`" for scene in scenes[:3])
        raise InputError(
            f"Stage I learns from all valid pixels, and {names} have none that is valid in both "
            "MS and PAN.",
            "no-valid-pixels",
            "Check the nodata values and masks of the rasters.",
        )
    return CropSource(known, spec, 1, options, seed)


def _valid(scene: LabelledScene) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return ``VALID`` or ``UNLABELLED`` for every MS pixel (h, w)."""
    height, width = scene.labels.shape
    both = scene.ms_valid & scene.pan_valid  # (r·h, r·w)
    blocks = both.reshape(height, scene.ratio, width, scene.ratio).all(axis=(1, 3))
    return np.where(blocks, VALID, UNLABELLED).astype(np.int64)
