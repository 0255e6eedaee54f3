"""Splits into training and validation: apart, stratified, whole polygons, the same under a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from scipy.ndimage import distance_transform_cdt

from panloom.engine.errors import InputError
from panloom.engine.events import Message
from panloom.engine.grid import Grid
from panloom.engine.training.blocks import split_scenes
from panloom.engine.training.scenes import LabelledScene

GRID = Grid(CRS.from_epsg(32630), Affine(10, 0, 0, 0, -10, 0), 200, 160)


def scene(labels, features=None, grid=None, name="a"):
    labels = np.asarray(labels, np.int64)
    image = np.zeros((1, *labels.shape), np.float32)
    pan = np.zeros((1, 2 * labels.shape[0], 2 * labels.shape[1]), np.float32)
    known = np.ones(pan.shape[1:], bool)
    return LabelledScene(
        name, "", image, pan, known, known, labels, image[:, 0], pan[:, 0], features, grid
    )


def patches(seed=0, shape=(160, 200), cell=20, classes=3, known=0.7):
    """Return dense labels (h, w) in fields of ``cell`` pixels, some pixels without."""
    rng = np.random.default_rng(seed)
    fields = rng.integers(0, classes, (shape[0] // cell, shape[1] // cell))
    labels = np.kron(fields, np.ones((cell, cell), np.int64))
    return np.where(rng.random(shape) < known, labels, -1)


def boxes(places, side=6, shape=(160, 200)):
    """Return labels and features (h, w) of squares at (row, col, class)."""
    labels, features = np.full(shape, -1), np.full(shape, -1, np.int32)
    for number, (row, col, k) in enumerate(places):
        labels[row : row + side, col : col + side] = k
        features[row : row + side, col : col + side] = number
    return labels, features


def distance(training, validation):
    """Return the least number of rows or columns between both sides' labels."""
    far = distance_transform_cdt(validation.labels < 0, metric="chessboard")
    return int(far[training.labels >= 0].min())


def test_blocks_keep_their_distance_and_hold_about_a_quarter_of_each_class():
    whole = scene(patches())
    (training,), (validation,) = split_scenes([whole], "blocks", seed=3, buffer_px=10)
    assert distance(training, validation) == 11
    for part in (training, validation):
        there = part.labels >= 0
        assert np.array_equal(part.labels[there], whole.labels[there])
        assert part.ms is whole.ms
    for k in range(3):
        total, kept, apart = ((s.labels == k).sum() for s in (whole, training, validation))
        assert 0.15 * total < apart < 0.4 * total
        assert kept > total / 3


def test_every_label_beyond_the_buffer_is_used():
    whole = scene(patches())
    (training,), (validation,) = split_scenes([whole], "blocks", seed=3, buffer_px=10)
    far = distance_transform_cdt(validation.labels < 0, metric="chessboard") > 10
    used = (training.labels >= 0) | (validation.labels >= 0)
    assert np.array_equal(used, (whole.labels >= 0) & (far | (validation.labels >= 0)))


def test_the_same_seed_gives_the_same_split_and_another_one_another():
    whole = scene(patches())
    for method in ("blocks", "random"):
        first, again, other = (
            split_scenes([whole], method, seed=seed)[1][0].labels for seed in (1, 1, 2)
        )
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)


def test_polygons_go_to_one_side_as_a_whole():
    rng = np.random.default_rng(5)
    places = [(r, c, int(rng.integers(3))) for r in range(5, 150, 36) for c in range(5, 190, 36)]
    labels, features = boxes(places, side=9)
    (training,), (validation,) = split_scenes(
        [scene(labels, features)], "blocks", seed=0, buffer_px=16
    )
    sides = [set(np.unique(features[part.labels >= 0])) for part in (training, validation)]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == set(range(len(places)))  # the gaps are wider than the buffer
    for part, ours in zip((training, validation), sides, strict=True):
        assert np.array_equal(part.labels >= 0, np.isin(features, list(ours)))
        assert set(np.unique(part.labels)) == {-1, 0, 1, 2}


def test_a_rare_class_is_on_both_sides_whatever_the_seed():
    labels = patches(classes=2)
    labels[40:44, 40:44] = 2
    labels[130:133, 150:153] = 2
    for seed in range(5):
        (training,), (validation,) = split_scenes([scene(labels)], "blocks", seed=seed)
        for part in (training, validation):
            assert set(np.unique(part.labels)) == {-1, 0, 1, 2}


def test_a_class_may_be_trained_on_in_one_scene_and_validated_with_in_another():
    first, second = patches(1, classes=2), patches(2, classes=2)
    first[70:75, 70:75] = second[70:75, 70:75] = 2
    training, validation = split_scenes(
        [scene(first), scene(second, name="b")], "blocks", seed=0, buffer_px=16
    )
    where = [[(s.labels == 2).any() for s in part] for part in (training, validation)]
    assert sorted(where[0]) == [False, True]
    assert sum(where[1]) == 1


def test_scenes_of_the_same_ground_are_divided_alike():
    labels = patches()
    dates = [scene(labels, grid=GRID), scene(labels, grid=GRID, name="b")]
    training, validation = split_scenes(dates, "blocks", seed=0, buffer_px=8)
    for part in (training, validation):
        assert np.array_equal(part[0].labels, part[1].labels)
    half = np.where(np.arange(200) < 100, labels, -1)
    other = replace(dates[1], labels=np.where(np.arange(200) < 100, -1, labels))
    training, validation = split_scenes([scene(half, grid=GRID), other], "blocks", seed=0)
    both = scene(np.maximum.reduce([s.labels for s in validation]))
    assert min(distance(part, both) for part in training) == 17


def test_ground_shared_on_different_grids_is_said():
    said = []
    dates = [scene(patches(), grid=GRID), scene(patches(), grid=GRID.translate(50, 3), name="b")]
    split_scenes(dates, "blocks", seed=0, report=said.append)
    assert said[0] == Message(
        "`a` and `b` show the same ground on different grids: what is validated in one can be "
        "trained on in the other.",
        "warning",
    )


def test_the_buffer_shrinks_where_the_scene_is_too_small_for_it():
    said = []
    whole = scene(patches(shape=(40, 40), cell=10, classes=2))
    (training,), (validation,) = split_scenes(
        [whole], "blocks", seed=0, buffer_px=16, report=said.append
    )
    buffer = distance(training, validation) - 1
    assert 0 <= buffer < 16
    for k in range(2):
        assert (training.labels == k).sum() >= (whole.labels == k).sum() / 3
        assert (validation.labels == k).any()
    assert said[0] == Message(
        f"Validation labels lie more than {buffer} MS pixels from training labels, not 16: the "
        "samples are too close together for more.",
        "warning",
    )
    unused = sum(
        ((p.labels >= 0).sum() * s) for p, s in ((whole, 1), (training, -1), (validation, -1))
    )
    share = 100 * unused / (whole.labels >= 0).sum()
    assert [m.text for m in said[1:]] == (
        [f"{unused:,} labelled pixels ({share:.0f} %) lie between training and validation and are "
         "used by neither."] if unused else []
    )  # fmt: skip


def test_a_class_in_one_place_is_trained_on_and_not_validated():
    said = []
    labels = patches(classes=2)
    labels[64:67, 64:67] = 2
    (training,), (validation,) = split_scenes(
        [scene(labels)], "blocks", seed=0, names=("Water", "Forest", "Well"), report=said.append
    )
    assert (training.labels == 2).any()
    assert not (validation.labels == 2).any()
    assert said[0] == Message(
        "`Well` is not validated: its labels lie too close together.", "warning"
    )


def test_a_class_of_one_polygon_is_refused():
    labels, features = boxes([(5, 5, 0), (100, 100, 0), (50, 100, 1), (150, 20, 2)])
    with pytest.raises(InputError) as caught:
        split_scenes([scene(labels, features)], "blocks", seed=0, names=("Water", "Forest", "Bare"))
    assert str(caught.value) == (
        "Classes have one polygon or point only: `Forest`, `Bare`. Each needs two: one to train on "
        "and one to validate with. Draw a second one elsewhere, or choose `--validation random` "
        "or `--validation none`."
    )
    labels, features = boxes([(5, 5, 0), (100, 100, 0), (50, 100, 1)])
    one = scene(labels, features)
    with pytest.raises(InputError) as caught:
        split_scenes([one], "blocks", seed=0)
    assert str(caught.value) == (
        "A class has one polygon or point only: `class 2`. It needs two: one to train on and one "
        "to validate with. Draw a second one elsewhere, or choose `--validation random` or "
        "`--validation none`."
    )
    split_scenes([one, scene(labels, features, name="b")], "blocks", seed=0)
    split_scenes([one], "random", seed=0)


def test_random_takes_a_share_of_each_class_s_pixels():
    whole = [scene(patches(1)), scene(patches(2), name="b")]
    for s in whole:
        s.labels[s.labels == 2] = -1
    whole[0].labels[3, 3] = 2
    training, validation = split_scenes(whole, "random", share=0.3, seed=0)
    for k in range(2):
        total = sum((s.labels == k).sum() for s in whole)
        assert sum((s.labels == k).sum() for s in validation) == round(0.3 * total)
    for s, t, v in zip(whole, training, validation, strict=True):
        assert not ((t.labels >= 0) & (v.labels >= 0)).any()
        assert np.array_equal(np.maximum(t.labels, v.labels), s.labels)
    assert training[0].labels[3, 3] == 2  # the only pixel of a class is for training


def test_none_trains_on_everything():
    whole = [scene(patches())]
    assert split_scenes(whole, "none", seed=0) == (whole, [])
