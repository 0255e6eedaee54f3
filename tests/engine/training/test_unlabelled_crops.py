"""Stage I sees every valid pixel, and no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from panloom.engine.errors import InputError
from panloom.engine.training.scenes import UNLABELLED, LabelledScene
from panloom.engine.training.unlabelled_crops import VALID, unlabelled_crops

from .test_crops import SPEC, STILL, make_scene


def scene_without_labels() -> LabelledScene:
    """Return a scene of 48 × 56 pixels, 12 columns and one single PAN pixel of them invalid."""
    scene = make_scene("a", "a", 0, (0, 1, 2))
    scene.labels[:] = UNLABELLED
    ms_valid, pan_valid = scene.ms_valid.copy(), scene.pan_valid.copy()
    ms_valid[:, :24] = False
    pan_valid[2 * 30 + 1, 2 * 40] = False
    return replace(scene, ms_valid=ms_valid, pan_valid=pan_valid)


def test_labels_are_the_valid_pixels() -> None:
    scene = scene_without_labels()
    (known,) = unlabelled_crops([scene], SPEC, STILL, 0).scenes
    expected = np.full((48, 56), VALID)
    expected[:, :12] = UNLABELLED
    expected[30, 40] = UNLABELLED
    assert np.array_equal(known.labels, expected)
    assert (scene.labels == UNLABELLED).all()  # the scene itself is as it was
    assert known.ms is scene.ms  # and not copied


def test_crops_come_from_all_of_the_valid_part() -> None:
    source = unlabelled_crops([scene_without_labels()], SPEC, STILL, 0)
    seen: set[int] = set()
    source._start = lambda pixel, length: seen.add(pixel) or 0  # type: ignore[method-assign,func-returns-value]
    source.batch(400)
    assert {int(v) for v in range(12, 48)} <= seen  # rows and columns of valid pixels
    assert max(seen) == 55


def test_the_same_seed_gives_the_same_crops() -> None:
    scenes = [scene_without_labels(), make_scene("b", "b", 1, (1, 2))]
    first, second = (unlabelled_crops(scenes, SPEC, replace(STILL, light=0.1), 3) for _ in range(2))
    one, other = first.batch(4), second.batch(4)
    assert torch.equal(one.ms, other.ms)
    assert torch.equal(one.labels, other.labels)
    assert set(one.labels.unique().tolist()) <= {VALID, UNLABELLED}


def test_nothing_valid_is_said() -> None:
    scene = make_scene("north", "a", 0, (0, 1))
    nothing = replace(scene, pan_valid=np.zeros_like(scene.pan_valid))
    with pytest.raises(InputError) as caught:
        unlabelled_crops([nothing, replace(nothing, name="south")], SPEC, STILL, 0)
    assert str(caught.value) == (
        "Stage I learns from all valid pixels, and `north`, `south` have none that is valid in "
        "both MS and PAN. Check the nodata values and masks of the rasters."
    )
