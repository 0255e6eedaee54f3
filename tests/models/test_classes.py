"""Class schemes refuse what would be ambiguous in a raster."""

from __future__ import annotations

import pytest

from panloom.models.classes import ClassScheme, LandClass

WATER, WOODS = LandClass(1, "Water", "#0000ff"), LandClass(2, "Woods", "#00ff00")


def test_the_order_is_the_class_index():
    scheme = ClassScheme((WOODS, WATER))
    assert scheme.codes == (2, 1)
    assert scheme.names == {2: "Woods", 1: "Water"}
    assert WATER.rgb == (0, 0, 255)


def test_json_round_trip():
    scheme = ClassScheme((WOODS, WATER))
    assert ClassScheme.from_json(scheme.to_json()) == scheme


@pytest.mark.parametrize(
    ("code", "name", "color", "reason"),
    [
        (0, "a", "#000000", "class code 0 is outside 1…254"),
        (255, "a", "#000000", "class code 255 is outside 1…254"),
        (True, "a", "#000000", "class code True is not a whole number"),
        (1, " ", "#000000", "class 1 has no name"),
        (1, "a", "red", "class 1 has color 'red'; #rrggbb is needed"),
    ],
)
def test_a_class_that_cannot_be_written_is_refused(code, name, color, reason):
    with pytest.raises(ValueError, match="class") as caught:
        LandClass(code, name, color)
    assert str(caught.value) == reason


def test_codes_and_names_occur_once():
    with pytest.raises(ValueError, match="class code 1 occurs twice"):
        ClassScheme((WATER, LandClass(1, "Lake", "#0000ff")))
    with pytest.raises(ValueError, match="class name Water occurs twice"):
        ClassScheme((WATER, LandClass(3, "Water", "#0000ff")))
    with pytest.raises(ValueError, match="needs two classes, got 1"):
        ClassScheme((WATER,))
