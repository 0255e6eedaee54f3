"""Random crops of labelled scenes, balanced over classes and groups, with augmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..radiometry import Radiometry, blank_invalid, fit_radiometry
from .scenes import UNLABELLED, LabelledScene


@dataclass(frozen=True)
class CropOptions:
    """What crops look like. Deviations are of normal distributions, in units of network input.

    ``crop_px`` is in MS pixels. ``light`` and ``band`` are relative deviations of a gain for all
    bands and for each band, ``haze`` of an offset for each band, ``noise`` of pixel noise.
    ``stepped_bands`` are, with probability ``step_share``, a factor ``gain_step`` brighter or
    darker: Landsat 7 records a band at one of two gains that are 1.5 apart, and its pixels do not
    say at which. With probability ``part_share`` the radiometry comes from a random part of the
    scene, as if the scene had another composition. PAN is moved by up to ``pan_shift_px`` PAN
    pixels.
    """

    crop_px: int = 48
    light: float = 0.12
    band: float = 0.08
    haze: float = 0.02
    noise: float = 0.01
    stepped_bands: tuple[int, ...] = ()
    step_share: float = 0.25
    gain_step: float = 1.5
    part_share: float = 0.5
    parts: int = 12
    pan_shift_px: int = 1


@dataclass(frozen=True)
class Batch:
    """Network input with labels: ms (B, C, h, w), pan (B, 1, r·h, r·w), labels (B, h, w)."""

    ms: Tensor
    pan: Tensor
    labels: Tensor


@dataclass(frozen=True)
class _Piece:
    """A crop as it is in its scene: DN and validity as there, labels (h, w)."""

    ms: NDArray[np.float32]
    pan: NDArray[np.float32]
    ms_valid: NDArray[np.bool_]
    pan_valid: NDArray[np.bool_]
    labels: NDArray[np.int64]


class CropSource:
    """An endless supply of batches; the same seed gives the same batches."""

    def __init__(
        self,
        scenes: list[LabelledScene],
        spec: dict[str, object],
        classes: int,
        options: CropOptions,
        seed: int,
    ) -> None:
        self.scenes = scenes
        self.options = options
        self.rng = np.random.default_rng(seed)
        self._radiometries = [_radiometries(s, spec, options.parts, self.rng) for s in scenes]
        self._pixels = [
            {k: np.flatnonzero(s.labels.ravel() == k) for k in range(classes)} for s in scenes
        ]
        self._places: list[dict[str, list[int]]] = [
            _by_group(scenes, [len(p[k]) > 0 for p in self._pixels]) for k in range(classes)
        ]
        self._classes = [k for k in range(classes) if self._places[k]]

    def batch(self, size: int) -> Batch:
        """Return ``size`` crops: class by class in turn, a group at random, a scene, a pixel."""
        crops = [self._crop(self.rng.choice(self._classes)) for _ in range(size)]
        ms, pan, labels = zip(*crops, strict=True)
        channels_last = torch.channels_last
        return Batch(
            torch.stack(ms).contiguous(memory_format=channels_last),
            torch.stack(pan).contiguous(memory_format=channels_last),
            torch.stack(labels),
        )

    def _crop(self, class_index: int) -> tuple[Tensor, Tensor, Tensor]:
        places = self._places[class_index]
        group = self.rng.choice(sorted(places))
        number = int(self.rng.choice(places[group]))
        scene = self.scenes[number]
        pixel = int(self.rng.choice(self._pixels[number][class_index]))
        row, col = divmod(pixel, scene.labels.shape[1])
        top, left = (self._start(p, n) for p, n in zip((row, col), scene.labels.shape, strict=True))
        piece = self._cut(scene, top, left)
        disturbed = self._disturb(piece.ms, piece.pan, self._radiometry(number))
        masks = piece.ms_valid, piece.pan_valid
        ms, pan = blank_invalid(
            *(torch.from_numpy(x)[None] for x in disturbed),
            *(torch.from_numpy(x)[None, None] for x in masks),
        )
        turns, flip = int(self.rng.integers(4)), bool(self.rng.integers(2))
        return (
            _turn(ms[0], turns, flip),
            _turn(pan[0], turns, flip),
            _turn(torch.from_numpy(piece.labels), turns, flip),
        )

    def _start(self, pixel: int, length: int) -> int:
        """Return where a crop starts that holds ``pixel`` somewhere in its middle half."""
        size = self.options.crop_px
        start = pixel - int(self.rng.integers(size // 4, size - size // 4))
        return max(0, min(start, length - size))

    def _cut(self, scene: LabelledScene, top: int, left: int) -> _Piece:
        size, ratio, reach = self.options.crop_px, scene.ratio, self.options.pan_shift_px
        here = np.s_[..., top : top + size, left : left + size]
        fine = np.s_[top * ratio : (top + size) * ratio, left * ratio : (left + size) * ratio]
        rows, cols = (
            np.clip(
                np.arange(start * ratio, (start + size) * ratio)
                + self.rng.integers(-reach, reach + 1),
                0,
                length - 1,
            )
            for start, length in zip((top, left), scene.pan.shape[1:], strict=True)
        )
        moved = np.s_[..., rows[:, None], cols]
        return _Piece(
            scene.ms[here], scene.pan[moved], scene.ms_valid[fine], scene.pan_valid[moved],
            scene.labels[here],
        )  # fmt: skip

    def _radiometry(self, number: int) -> Radiometry:
        known = self._radiometries[number]
        if self.rng.random() < self.options.part_share:
            return known[int(self.rng.integers(1, len(known)))]
        return known[0]

    def _disturb(
        self, ms: NDArray[np.float32], pan: NDArray[np.float32], radiometry: Radiometry
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return network input with random light, haze and noise, of invalid pixels too."""
        o, rng, bands = self.options, self.rng, len(ms)
        light = rng.normal(0, o.light)
        gain = np.exp(light + rng.normal(0, o.band, (bands, 1, 1)))
        for band in o.stepped_bands:
            if rng.random() < o.step_share:
                gain[band] *= o.gain_step ** float(rng.choice([-1, 1]))
        pan_gain = np.exp(light + rng.normal(0, 2 * o.band))
        offset = np.array(radiometry.ms_offset)[:, None, None]
        scale = np.array(radiometry.ms_scale)[:, None, None]
        ms_input = (ms - offset) * (scale * gain) + rng.normal(0, o.haze, (bands, 1, 1))
        pan_input = (pan - radiometry.pan_offset) * (radiometry.pan_scale * pan_gain)
        pan_input = pan_input + rng.normal(0, o.haze)
        ms_input = ms_input + o.noise * rng.standard_normal(ms.shape, dtype=np.float32)
        pan_input = pan_input + o.noise * rng.standard_normal(pan.shape, dtype=np.float32)
        low, high = radiometry.limits
        return (
            np.clip(ms_input, low, high).astype(np.float32),
            np.clip(pan_input, low, high).astype(np.float32),
        )


def _radiometries(
    scene: LabelledScene, spec: dict[str, object], parts: int, rng: np.random.Generator
) -> list[Radiometry]:
    """Return the scene's own radiometry, then those of valid pixels in random rectangles of it.

    Where a rectangle has none, the scene's own stands in.
    """
    found = [scene.radiometry(spec)]
    ratio = scene.ratio
    height, width = scene.labels.shape
    for _ in range(parts):
        h, w = (max(8, int(n * rng.uniform(0.25, 0.7))) for n in (height, width))
        top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        ms = scene.ms[:, top : top + h : 2, left : left + w : 2]
        fine = np.s_[top * ratio : (top + h) * ratio, left * ratio : (left + w) * ratio]
        known = (scene.ms_valid & scene.pan_valid)[fine]
        ms_known = known[::ratio, ::ratio][::2, ::2]
        pan = scene.pan[0][fine][scene.pan_valid[fine]][::4]
        some = ms_known.any()
        found.append(fit_radiometry(spec, ms[:, ms_known], pan[None]) if some else found[0])
    return found


def _by_group(scenes: list[LabelledScene], present: list[bool]) -> dict[str, list[int]]:
    """Return the numbers of the scenes that hold a class, by group."""
    places: dict[str, list[int]] = {}
    for number, (scene, here) in enumerate(zip(scenes, present, strict=True)):
        if here:
            places.setdefault(scene.group, []).append(number)
    return places


def _turn(image: Tensor, turns: int, flip: bool) -> Tensor:
    image = torch.rot90(image, turns, (-2, -1))
    return image.flip(-1) if flip else image


__all__ = ["UNLABELLED", "Batch", "CropOptions", "CropSource"]
