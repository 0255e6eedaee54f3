"""Tiles that blend cover a scene with full overlap, from places that do not depend on the area."""

from __future__ import annotations

import numpy as np
import pytest

from panloom.engine.grid import Window
from panloom.engine.own_network.blend import blend_weights
from panloom.engine.own_network.plan import plan_blend
from panloom.engine.own_network.settings import BlendSettings


@pytest.mark.parametrize(("tile", "overlap"), [(16, 4), (16, 8), (7, 2), (2, 1)])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 1), (12, 13), (60, 33)])
def test_weights_sum_to_one_up_to_the_border_and_pieces_cover_once(tile, overlap, width, height):
    plan = plan_blend(
        width, height, Window(0, 0, width, height), BlendSettings(tile, overlap, "logits")
    )
    along = blend_weights(tile, overlap)
    weight, pieces = np.zeros((2, height + 4 * tile, width + 4 * tile))
    for item in plan.tiles:
        row, col = item.read.row + 2 * tile, item.read.col + 2 * tile
        weight[row : row + tile, col : col + tile] += np.outer(along, along)
        piece = plan.piece(item)
        if piece is not None:
            row, col = piece.row + 2 * tile, piece.col + 2 * tile
            pieces[row : row + piece.height, col : col + piece.width] += 1
    scene = np.s_[2 * tile : 2 * tile + height, 2 * tile : 2 * tile + width]
    np.testing.assert_allclose(weight[scene], 1, atol=1e-12)
    assert (pieces[scene] == 1).all()
    assert pieces.sum() == width * height


def test_tiles_of_an_area_are_those_of_the_scene():
    settings = BlendSettings(16, 4, "logits")
    whole = plan_blend(100, 90, Window(0, 0, 100, 90), settings)
    part = plan_blend(100, 90, Window(40, 50, 9, 3), settings)
    reached = [t.read for t in whole.tiles if t.read.intersect(Window(40, 50, 9, 3))]
    assert [t.read for t in part.tiles] == reached
    assert len(part.tiles) % part.columns == 0


def test_every_write_window_lies_in_the_scene():
    plan = plan_blend(30, 20, Window(0, 0, 30, 20), BlendSettings(16, 8, "logits"))
    for tile in plan.tiles:
        assert tile.write.intersect(Window(0, 0, 30, 20)) == tile.write


def test_an_area_outside_the_scene_is_a_fault_of_the_caller():
    with pytest.raises(ValueError, match="lies outside a scene of 30 × 20"):
        plan_blend(30, 20, Window(30, 0, 5, 5), BlendSettings(16, 8, "logits"))
