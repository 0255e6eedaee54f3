"""Blending gives constants and images back, whatever the tile and the overlap."""

from __future__ import annotations

import numpy as np
import pytest

from panloom.engine.errors import ModelError
from panloom.engine.grid import Window
from panloom.engine.own_network.blend import Blender, blend_weights
from panloom.engine.own_network.plan import plan_blend
from panloom.engine.own_network.settings import BlendSettings

TILINGS = [(16, 4), (16, 8), (12, 1), (2, 1), (128, 32)]


@pytest.mark.parametrize(("tile", "overlap"), TILINGS)
def test_weights_are_never_zero_and_sum_to_one(tile, overlap):
    weights = blend_weights(tile, overlap)
    assert weights.min() > 0
    total = np.zeros(tile * 6)
    for start in range(0, tile * 5, tile - overlap):
        total[start : start + tile] += weights
    np.testing.assert_allclose(total[tile : 4 * tile], 1, atol=1e-12)


def blended(image, tile, overlap, scale, area=None):
    """Cut ``image`` (K, r·h, r·w) into tiles, mirrored beyond its border, and blend them again."""
    height, width = image.shape[1] // scale, image.shape[2] // scale
    settings = BlendSettings(tile, overlap, "probabilities")
    plan = plan_blend(width, height, area or Window(0, 0, width, height), settings)
    blender = Blender(plan, len(image), scale)
    pad = 2 * tile * scale
    padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")
    result = np.full_like(image, np.nan)
    for item in plan.tiles:
        fine = item.read.refine(scale)
        rows = slice(fine.row + pad, fine.bottom + pad)
        cols = slice(fine.col + pad, fine.right + pad)
        finished = blender.add(padded[:, rows, cols] * blender.weights)
        piece = plan.piece(item)
        if piece is None:
            continue
        part = piece.refine(scale)
        where = np.s_[:, part.row : part.bottom, part.col : part.right]
        assert np.isnan(result[where]).all(), "a pixel is handed out once"
        top, left = part.row - fine.row, part.col - fine.col
        result[where] = finished[:, top : top + part.height, left : left + part.width]
    return result


@pytest.mark.parametrize(("tile", "overlap"), TILINGS[:4])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (15, 1), (16, 17), (40, 61)])
def test_constant_in_constant_out(tile, overlap, width, height):
    image = np.broadcast_to(
        np.array([0.2, 0.5, 0.3], np.float32)[:, None, None], (3, 2 * height, 2 * width)
    )
    assert np.abs(blended(image, tile, overlap, 2) - image).max() <= 1e-6


@pytest.mark.parametrize(("tile", "overlap"), TILINGS[:4])
def test_an_image_comes_back_as_it_was(tile, overlap):
    image = np.random.default_rng(1).random((2, 3 * 37, 3 * 50), np.float32)
    assert np.abs(blended(image, tile, overlap, 3) - image).max() <= 1e-6


def test_a_part_is_the_same_bits_as_in_the_whole():
    image = np.random.default_rng(2).random((2, 120, 150), np.float32)
    area = Window(17, 31, 12, 25)
    part = blended(image, 16, 5, 2, area)
    inside = np.s_[:, 62:112, 34:58]
    assert np.array_equal(part[inside], blended(image, 16, 5, 2)[inside])
    assert np.isnan(part).sum() == part.size - part[inside].size


def test_what_is_kept_does_not_grow_with_the_height():
    settings = BlendSettings(16, 4, "logits")
    blenders = [
        Blender(plan_blend(50, height, Window(0, 0, 50, height), settings), 3, 2)
        for height in (20, 20_000)
    ]
    assert len({blender._below.shape for blender in blenders}) == 1


def test_a_strip_beyond_all_memory_is_a_sentence():
    settings = BlendSettings(512, 256, "logits")
    plan = plan_blend(8192, 10, Window(0, 0, 8192, 10), settings)
    with pytest.raises(ModelError) as caught:
        Blender(plan, 254, 4)
    assert str(caught.value) == (
        "Blending 254 classes with an overlap of 1024 rows over 33,792 columns keeps 32.7 GB in "
        "memory; 4 GB is the most. Make `overlap_px` smaller in the card, map an area of interest, "
        "or use the MS grid."
    )
