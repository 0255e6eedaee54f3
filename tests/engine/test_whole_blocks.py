"""Blocks are passed on once, whole, whatever windows come in."""

from __future__ import annotations

import numpy as np
import pytest

from panloom.engine.grid import Window
from panloom.engine.whole_blocks import BLOCK, WholeBlocks


class Canvas:
    """Takes blocks, and insists that they are whole and come once."""

    def __init__(self, height, width):
        self.values = np.zeros((height, width), np.uint8)
        self.times = np.zeros((height, width), np.uint8)

    def take(self, window, values):
        assert values.shape == window.shape
        for start, end, border in (
            (window.row, window.bottom, self.values.shape[0]),
            (window.col, window.right, self.values.shape[1]),
        ):
            assert start % BLOCK == 0
            assert end % BLOCK == 0 or end == border
        part = slice(window.row, window.bottom), slice(window.col, window.right)
        self.values[part] = values
        self.times[part] += 1


def windows(height, width, step, start=0):
    """Tiles of ``step`` pixels; the first row and column have ``start`` pixels where not 0."""
    rows = [0, *range(start or step, height, step), height]
    cols = [0, *range(start or step, width, step), width]
    return [
        Window(col, row, right - col, bottom - row)
        for row, bottom in zip(rows, rows[1:], strict=False)
        for col, right in zip(cols, cols[1:], strict=False)
    ]


@pytest.mark.parametrize(
    ("height", "width", "step", "start"),
    [
        (1, 1, 5, 0), (256, 256, 256, 0), (700, 900, 100, 0), (700, 900, 300, 0),
        (513, 1025, 256, 0), (1025, 513, 512, 37), (1000, 600, 2000, 0), (1, 1025, 300, 0),
        (1025, 1, 300, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shuffled", [False, True])
def test_every_block_comes_once_and_right(height, width, step, start, shuffled):
    random = np.random.default_rng(1)
    raster = random.integers(1, 255, (height, width), dtype=np.uint8)
    canvas = Canvas(height, width)
    blocks = WholeBlocks(width, height, canvas.take)
    plan = windows(height, width, step, start)
    if shuffled:
        random.shuffle(plan)
    for w in plan:
        blocks.write(w, raster[w.row : w.bottom, w.col : w.right])
    np.testing.assert_array_equal(canvas.values, raster)
    assert (canvas.times == 1).all()


def test_what_is_whole_is_passed_on_at_once_in_one_piece():
    seen = []
    blocks = WholeBlocks(2000, 2000, lambda window, values: seen.append(window))
    blocks.write(Window(0, 0, 700, 600), np.ones((600, 700), np.uint8))
    assert seen == [Window(0, 0, 512, 512)]
    blocks.write(Window(700, 0, 1300, 600), np.ones((600, 1300), np.uint8))
    assert seen[1] == Window(768, 0, 1232, 512)
    assert sorted((w.col, w.row) for w in seen[2:]) == [(512, 0), (512, 256)]
