"""When the classes of two runtimes are alike enough for one of them to make the map."""

from __future__ import annotations

import pytest

from panloom.engine.runtimes.agreement import LEAST_AGREEMENT, Agreement


@pytest.mark.parametrize(
    ("different", "pixels", "enough"),
    [
        (0, 1, True), (0, 0, False), (1, 999, False), (1, 1000, True), (2, 1000, False),
        (2, 20_000, True), (3, 20_000, False), (6, 65_536, True), (7, 65_536, False),
    ],
)  # fmt: skip
def test_one_pixel_of_a_thousand_or_one_in_ten_thousand_may_differ(
    different: int, pixels: int, enough: bool
) -> None:
    assert Agreement(pixels - different, pixels).reaches(LEAST_AGREEMENT) is enough
