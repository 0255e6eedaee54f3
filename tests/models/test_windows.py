"""Windows cut a patch as they say, and sums over them round alike in every patch."""

from __future__ import annotations

import pytest
import torch

from panloom.models.windows import (
    UNBOUNDED_PX,
    Windows,
    apply_linear,
    box_sum,
    lattice_of,
    lay_out,
    mean_along,
    reach_of,
)


@pytest.mark.parametrize("windows", [None, Windows(4), Windows(5, 3), Windows(32, 8)])
@pytest.mark.parametrize("size", [(8, 12), (7, 9), (1, 1)])
def test_blocks_joined_are_the_patch(windows: Windows | None, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    layout = lay_out(x, windows)
    assert torch.equal(layout.join(layout.blocks(x)), x)


def test_surroundings_are_the_block_and_its_margin() -> None:
    x = torch.randn(2, 3, 10, 11)
    layout = lay_out(x, Windows(4, 2))
    around = layout.surroundings(x).reshape(2, 3, 3, 3, 8, 8)  # (B, rows, cols, C, 8, 8)
    inside = layout.inside(x.device).reshape(2, 3, 3, 8, 8)
    for row in range(3):
        for col in range(3):
            for i in range(8):
                for j in range(8):
                    r, c = 4 * row - 2 + i, 4 * col - 2 + j
                    exists = 0 <= r < 10 and 0 <= c < 11
                    assert inside[:, row, col, i, j].eq(exists).all()
                    expected = x[:, :, r, c] if exists else torch.zeros(2, 3)
                    assert torch.equal(around[:, row, col, :, i, j], expected)


def test_reach_and_lattice() -> None:
    assert (reach_of(Windows(8, 4)), lattice_of(Windows(8, 4))) == (11, 8)
    assert (reach_of(None), lattice_of(None)) == (UNBOUNDED_PX, 1)
    with pytest.raises(ValueError, match="no windows of 0 px with a margin of 1 px"):
        Windows(0, 1)


def test_box_sum_counts_what_exists() -> None:
    x = torch.randn(1, 2, 9, 7, dtype=torch.float64)
    sums = box_sum(x, 2)
    for row in range(9):
        for col in range(7):
            box = x[..., max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3]
            torch.testing.assert_close(sums[..., row, col], box.sum(dim=(-2, -1)))
    torch.testing.assert_close(box_sum(x, None), x.sum(dim=(-2, -1), keepdim=True))


def test_rows_round_alike_whatever_their_number() -> None:
    torch.manual_seed(0)
    vectors, weight, bias = torch.randn(64, 32), torch.randn(16, 32), torch.randn(16)
    whole = apply_linear(vectors, weight, bias)
    for first, last in ((0, 1), (3, 4), (5, 7), (1, 10), (7, 40)):
        part = vectors[first:last].clone()
        assert torch.equal(apply_linear(part, weight, bias), whole[first:last])
    torch.testing.assert_close(whole, vectors @ weight.mT + bias)


def test_means_round_alike_whatever_the_shape() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 32, 40, 56)
    whole = mean_along(x, 1)
    torch.testing.assert_close(whole, x.mean(dim=1))
    for height, width in ((7, 9), (16, 33), (39, 5)):
        part = x[..., 1 : 1 + height, 2 : 2 + width]
        assert torch.equal(mean_along(part, 1), whole[:, 1 : 1 + height, 2 : 2 + width])
