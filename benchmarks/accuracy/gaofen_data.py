"""Gaofen-2 pairs by Wald's protocol, and random crops of them.

PAN is the mean of the three bands at full resolution; MS are the bands, blurred by a Gaussian whose
response at the Nyquist frequency of the MS is 0.3, one pixel of four. Labels stay at full
resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from landsat_data import data_folder
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from panloom.engine.training.crops import Batch

RATIO, BANDS = 4, 3
CLASSES = ("built-up", "farmland", "forest", "meadow", "water")
CHOOSING = 5
"""One in so many training patches is kept apart where a recipe is chosen."""
Image = NDArray[np.float32]


@dataclass(frozen=True)
class CropRecipe:
    """What training crops look like; the deviations are of normal distributions.

    ``crop_px`` is in MS pixels, ``light`` and ``band`` are of a gain for all bands and for each,
    ``haze`` of an offset. ``by_class`` draws a class first, so that all are equally frequent among
    the crops, else a patch.
    """

    crop_px: int = 32
    light: float = 0.1
    band: float = 0.05
    haze: float = 0.02
    by_class: bool = True


class Pairs:
    """All patches of one part: ms (n, 3, 56, 56), pan (n, 1, 224, 224) in 0…1, labels at PAN.

    Parts are ``train`` and ``validation``, and, to choose a recipe by, ``train-most`` and
    ``train-rest``, which are the former's.
    """

    def __init__(self, part: str) -> None:
        name, _, share = part.partition("-")
        with np.load(data_folder() / "gaofen2_gid5" / f"{name}.npz") as file:
            images, labels = file["images"], file["labels"]
        if share:
            rest = np.random.default_rng(0).permutation(len(images)) % CHOOSING == 0
            images, labels = (x[rest == (share == "rest")] for x in (images, labels))
        fine = images.astype(np.float32) / 255
        self.pan = fine.mean(axis=-1)[:, None]
        self.ms = _decimated(fine).transpose(0, 3, 1, 2)
        self.labels = labels.astype(np.int64) - 1  # 0, unlabelled, becomes −1


class PairCrops:
    """An endless supply of batches from ``Pairs``; the same seed gives the same batches."""

    def __init__(self, pairs: Pairs, keep: str, seed: int, recipe: CropRecipe) -> None:
        self.pairs, self.keep, self.recipe = pairs, keep, recipe
        self.rng = np.random.default_rng(seed)
        self._with = [
            np.flatnonzero((pairs.labels == k).any(axis=(1, 2))) for k in range(len(CLASSES))
        ]

    def batch(self, size: int) -> Batch:
        """Return ``size`` crops."""
        crops = [self._crop(self._patch()) for _ in range(size)]
        ms, pan, labels = (torch.from_numpy(np.stack(x)) for x in zip(*crops, strict=True))
        ms, pan = hide(ms, pan, self.keep)
        return Batch(ms.contiguous(memory_format=torch.channels_last), pan, labels)

    def _patch(self) -> int:
        if self.recipe.by_class:
            return int(self.rng.choice(self._with[int(self.rng.integers(len(CLASSES)))]))
        return int(self.rng.integers(len(self.pairs.ms)))

    def _crop(self, number: int) -> tuple[Image, Image, NDArray[np.int64]]:
        rng, recipe, size = self.rng, self.recipe, self.recipe.crop_px
        room = self.pairs.ms.shape[-1] - size
        top, left = (int(rng.integers(room + 1)) for _ in range(2))
        fine = np.s_[..., top * RATIO : (top + size) * RATIO, left * RATIO : (left + size) * RATIO]
        ms = self.pairs.ms[number][..., top : top + size, left : left + size]
        light = float(np.exp(rng.normal(0, recipe.light)))
        gain = np.exp(rng.normal(0, recipe.band, (BANDS, 1, 1))) * light
        ms = (ms * gain + rng.normal(0, recipe.haze, (BANDS, 1, 1))).astype(np.float32)
        pan = self.pairs.pan[number][fine] * light + rng.normal(0, recipe.haze)
        pan = pan.astype(np.float32)
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        images = [np.rot90(x, turns, (-2, -1)) for x in (ms, pan, self.pairs.labels[number][fine])]
        ms, pan, labels = (np.ascontiguousarray(x[..., ::-1] if flip else x) for x in images)
        return ms, pan, labels


def hide(ms: torch.Tensor, pan: torch.Tensor, keep: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both; the one that is not to be kept is made from the other and so says nothing new.

    Zeros instead would have no variance, which batch normalization cannot take.
    """
    if keep == "PAN":
        return torch.nn.functional.avg_pool2d(pan, RATIO).expand_as(ms).contiguous(), pan
    if keep == "MS":
        return ms, torch.nn.functional.interpolate(ms.mean(1, keepdim=True), scale_factor=RATIO)
    return ms, pan


def _decimated(fine: Image) -> Image:
    """Return (n, h/4, w/4, 3): exp(−(2πσf)²/2) = 0.3 at f = 1 / (2 · ratio) gives σ in pixels."""
    sigma = RATIO / math.pi * math.sqrt(-2 * math.log(0.3))
    blurred = gaussian_filter(fine, (0, sigma, sigma, 0), mode="reflect")
    # A pixel at the center of each block: the mean of the four in its middle.
    near = RATIO // 2
    middle = [blurred[:, near - a :: RATIO, near - b :: RATIO] for a in (0, 1) for b in (0, 1)]
    decimated: Image = np.mean(middle, axis=0, dtype=np.float32)
    return decimated
