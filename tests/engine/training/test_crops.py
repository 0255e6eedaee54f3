"""Crops are balanced, aligned with their labels, and the same under the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from panloom.engine.training.crops import CropOptions, CropSource
from panloom.engine.training.scenes import UNLABELLED, LabelledScene

SPEC: dict[str, object] = {"kind": "dark-object"}
STILL = CropOptions(
    crop_px=16, light=0, band=0, haze=0, noise=0, part_share=0, parts=2, pan_shift_px=0
)


def make_scene(name: str, group: str, seed: int, classes: tuple[int, ...]) -> LabelledScene:
    """Return a scene whose bands and PAN are a clear function of the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, (48, 56)).astype(np.int64)
    labels[rng.random(labels.shape) < 0.3] = UNLABELLED
    ms = np.stack([50 + 20.0 * (labels + 1), 90 - 10.0 * labels, 40 + 0.0 * labels])
    ms = (ms + rng.normal(0, 0.1, ms.shape)).astype(np.float32)
    pan = ms[:1].repeat(2, axis=1).repeat(2, axis=2)
    known = np.ones(pan.shape[1:], bool)
    sample_pan = pan.reshape(1, 48, 2, 56, 2).transpose(0, 2, 4, 1, 3).reshape(4, -1)
    return LabelledScene(name, group, ms, pan, known, known, labels, ms.reshape(3, -1), sample_pan)


def test_the_same_seed_gives_the_same_batches() -> None:
    scenes = [make_scene("a", "a", 0, (0, 1)), make_scene("b", "b", 1, (1, 2))]
    first, second = (CropSource(scenes, SPEC, 3, CropOptions(crop_px=16), 5) for _ in range(2))
    for _ in range(2):
        one, other = first.batch(4), second.batch(4)
        assert torch.equal(one.ms, other.ms)
        assert torch.equal(one.pan, other.pan)
        assert torch.equal(one.labels, other.labels)
    shapes = (one.ms.shape, one.pan.shape, one.labels.shape)
    assert shapes == ((4, 3, 16, 16), (4, 1, 32, 32), (4, 16, 16))


def test_bands_pan_and_labels_stay_together_through_turns_and_flips() -> None:
    source = CropSource([make_scene("a", "a", 0, (0, 1, 2))], SPEC, 3, STILL, 0)
    batch = source.batch(12)
    blocks = torch.nn.functional.avg_pool2d(batch.pan, 2)[:, 0]
    for index in range(12):
        for k in (UNLABELLED, 0, 1, 2):
            here = batch.labels[index] == k
            for image in (batch.ms[index, 0], blocks[index]):
                spread = image[here].max() - image[here].min()
                between = (image[here].mean() - image[~here].mean()).abs()
                assert spread < 0.1 < between


def test_a_rare_class_of_one_small_group_is_seen_often() -> None:
    common = [make_scene(str(n), "large", n, (0, 1)) for n in range(6)]
    rare = make_scene("rare", "small", 9, (0, 1))
    rare.labels[:] = 0
    rare.labels[20:23, 30:33] = 2
    source = CropSource([*common, rare], SPEC, 3, STILL, 0)
    labels = torch.cat([source.batch(30).labels for _ in range(4)])
    share = float((labels == 2).flatten(1).any(dim=1).float().mean())
    assert share > 0.25


def test_the_pan_moves_by_no_more_than_asked() -> None:
    scene = make_scene("a", "a", 0, (0, 1, 2))
    options = CropOptions(crop_px=16, light=0, band=0, haze=0, noise=0, part_share=0, parts=2)
    source = CropSource([scene], SPEC, 3, options, 0)
    still = np.arange(16 * 2)
    seen = set()
    for _ in range(40):
        pan = source._cut(scene, 10, 12).pan
        matches = [
            (dy, dx)
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
            if np.array_equal(pan[0], scene.pan[0][20 + dy + still[:, None], 24 + dx + still])
        ]
        assert len(matches) == 1
        seen.update(matches)
    assert len(seen) == 9


def test_a_stepped_band_is_as_it_is_or_one_step_brighter_or_darker() -> None:
    scene = make_scene("a", "a", 0, (0, 1, 2))
    options = replace(STILL, stepped_bands=(1,), step_share=0.6, gain_step=1.5)
    source = CropSource([scene], SPEC, 3, options, 0)
    radiometry = scene.radiometry(SPEC)
    crop = scene.ms[:, 10:20, 10:20], scene.pan[:, 20:40, 20:40]
    plain, _ = CropSource([scene], SPEC, 3, STILL, 0)._disturb(*crop, radiometry)
    seen = set()
    for _ in range(30):
        ms, _ = source._disturb(*crop, radiometry)
        assert np.array_equal(ms[[0, 2]], plain[[0, 2]])
        ratio = np.median(ms[1][plain[1] > 0.1] / plain[1][plain[1] > 0.1])
        seen.add(round(float(ratio), 3))
    assert seen == {0.667, 1.0, 1.5}
