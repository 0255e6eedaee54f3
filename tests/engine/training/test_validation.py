"""Validation against counting by hand, and against the map that ``classify`` makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from panloom.engine.recipes import classify
from panloom.engine.recipes.classify import ClassifyOptions
from panloom.engine.sample.pair import TRUTH_CLASSES, write_sample_pair
from panloom.engine.training.scenes import UNLABELLED, LabelledScene, load_scene
from panloom.engine.training.validation import TILE_PX, Validation
from panloom.models.bundle import load_bundle
from panloom.models.classes import ClassScheme
from panloom.models.contract import FusionNetwork
from panloom.models.file import find_model

from .test_crops import SPEC, make_scene

CPU = torch.device("cpu")
CLASSES = ClassScheme(TRUTH_CLASSES.classes[:3])


class Brightness(FusionNetwork):
    """Says class 0, 1 or 2 by the first band, and nothing beside a pixel counts."""

    bands, ratio, classes, halo_px, lattice_px = 3, 2, 3, 0, 1

    def forward(self, ms: Tensor, pan: Tensor) -> Tensor:
        fine = ms[:, :1].repeat_interleave(2, 2).repeat_interleave(2, 3)
        return torch.cat([-((fine - level) ** 2) for level in (0.1, 0.5, 0.9)], dim=1)


def by_hand(scene: LabelledScene) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predictions (n,) by PAN pixel."""
    radiometry = scene.radiometry(SPEC)
    value = (scene.ms[0] - radiometry.ms_offset[0]) * radiometry.ms_scale[0]
    found = np.abs(value[..., None] - [0.1, 0.5, 0.9]).argmin(axis=-1)
    known = scene.labels != UNLABELLED
    return scene.labels[known].repeat(4), found[known].repeat(4)


def test_the_matrix_counts_every_labelled_pan_pixel_once() -> None:
    scenes = [make_scene("a", "a", 0, (0, 1, 2)), make_scene("b", "b", 1, (1, 2))]
    found = Validation(scenes, SPEC, CLASSES, max_tiles=99, seed=0).evaluate(Brightness(), CPU)
    pairs = [by_hand(scene) for scene in scenes]
    labels, predicted = (np.concatenate(part) for part in zip(*pairs, strict=True))
    expected = confusion_matrix(labels, predicted, labels=range(3))
    assert found.matrix.counts.tolist() == expected.tolist()
    assert len(found.targets) == len(labels)
    assert found.metrics()["pixels"] == len(labels)
    assert found.metrics()["oa"] == round(float((labels == predicted).mean()), 4)


def test_tiles_side_by_side_give_the_same() -> None:
    scenes = [make_scene(str(n), "a", n, (0, 1, 2)) for n in range(5)]
    validation = Validation(scenes, SPEC, CLASSES, max_tiles=99, seed=0)
    first, second = (validation.evaluate(Brightness(), CPU, workers=n) for n in (1, 3))
    assert torch.equal(first.logits, second.logits)
    assert first.matrix.counts.tolist() == second.matrix.counts.tolist()


def test_a_cancel_ends_a_validation_of_many_tiles() -> None:
    def cancel(share: float) -> None:
        raise InterruptedError

    scenes = [make_scene(str(n), "a", n, (0, 1, 2)) for n in range(5)]
    validation = Validation(scenes, SPEC, CLASSES, max_tiles=99, seed=0)
    with pytest.raises(InterruptedError):
        validation.evaluate(Brightness(), CPU, cancel, workers=2)


def test_few_tiles_show_every_class_in_turn_and_are_always_the_same() -> None:
    scene = make_scene("a", "a", 0, (0, 1))
    large = LabelledScene(
        "large", "g", *(np.tile(x, (1, 6, 6)) for x in (scene.ms, scene.pan)),
        *(np.tile(x, (6, 6)) for x in (scene.ms_valid, scene.pan_valid, scene.labels)),
        scene.sample_ms, scene.sample_pan,
    )  # fmt: skip
    large.labels[:TILE_PX, :TILE_PX] = 2
    for seed in range(4):
        few = [Validation([large], SPEC, CLASSES, max_tiles=3, seed=seed) for _ in range(2)]
        first, second = (v.evaluate(Brightness(), CPU) for v in few)
        assert min(first.matrix.reference_totals) > 0
        assert first.matrix.counts.tolist() == second.matrix.counts.tolist()
        assert first.matrix.total <= 3 * (2 * TILE_PX) ** 2


def test_no_label_is_no_accuracy() -> None:
    scene = make_scene("a", "a", 0, (0, 1))
    scene.labels[:] = UNLABELLED
    found = Validation([scene], SPEC, CLASSES, max_tiles=3, seed=0).evaluate(Brightness(), CPU)
    assert (found.balanced_accuracy, found.temperature) == (0.0, 1.0)
    assert found.metrics()["oa"] is None


@pytest.mark.parametrize("size", [70])
def test_validation_sees_what_the_map_will_show(tmp_path: Path, size: int) -> None:
    pair = write_sample_pair(tmp_path, size_ms_px=(size, size), seed=3)
    target = tmp_path / "map.tif"
    classify.run(
        ClassifyOptions(str(pair.ms), str(pair.pan), str(target), "landsat-5class", device="cpu"),
        lambda event: None,
    )
    bundle = load_bundle(find_model("landsat-5class"))
    paths = (str(pair.ms), str(pair.pan), str(pair.truth))
    scene = load_scene("a", "a", *paths, codes=TRUTH_CLASSES.codes, ratio=2)
    found = Validation(
        [scene], bundle.card.radiometry, bundle.card.classes, max_tiles=99, seed=0
    ).evaluate(bundle.network, CPU)
    with rasterio.open(target) as file:
        codes = file.read(1)
    high, wide = scene.pan.shape[1:]
    labels = scene.labels.repeat(2, axis=0).repeat(2, axis=1)
    known = (labels != UNLABELLED)[: codes.shape[0], : codes.shape[1]]
    labels = labels[: codes.shape[0], : codes.shape[1]]
    assert codes.shape == (high, wide)
    expected = confusion_matrix(labels[known], codes[known].astype(int) - 1, labels=range(5))
    assert found.matrix.counts.tolist() == expected.tolist()
