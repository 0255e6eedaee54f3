"""From numbers and names in samples to one class scheme."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from panloom.engine.errors import InputError
from panloom.engine.training.palette import class_colors
from panloom.engine.training.sample_classes import FileClasses, agree, encode_values
from panloom.models.classes import ClassScheme, LandClass

BASE = ClassScheme(
    (LandClass(7, "Water", "#0000ff"), LandClass(3, "Forest", "#00ff00"),
     LandClass(4, "Bare", "#aaaaaa"))
)  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, 0, 3, 3]),
        pd.Series([1.0, np.nan, 3.0, 3.0]),
        pd.Series(["1", None, " 3.0", "3"]),
        pd.Series([1, None, 3, 3], dtype="Int64"),
        pd.Series(["1", "", "3", "3"], dtype="category"),
    ],
)
def test_numbers_are_codes_however_they_are_stored(values):
    codes, classes = encode_values(values, "p.gpkg")
    assert codes.tolist() == [1, 0, 3, 3]
    assert classes == FileClasses("p.gpkg", {1: None, 3: None})


def test_names_are_numbered_in_order_whatever_their_case():
    codes, classes = encode_values(
        pd.Series(["water", None, "Forest ", "WATER", "", "0", "3rd", "nan"]), "p.gpkg"
    )
    assert codes.tolist() == [4, 0, 2, 4, 0, 0, 1, 3]
    assert not classes.numbered
    assert classes.names == {1: "3rd", 2: "Forest", 3: "nan", 4: "WATER"}


def test_codes_beyond_254_are_listed():
    with pytest.raises(InputError) as caught:
        encode_values(pd.Series([255, 255, -1, 2.5, 1, 400, 401, 402]), "p.gpkg")
    assert str(caught.value) == (
        "The sample file `p.gpkg` holds -1 (1), 2.5 (1), 255 (2), 400 (1), 401 (1), and 1 more as "
        "class; whole numbers 1…254 are needed, and 0 is unlabelled. Give these another code, or 0 "
        "(in a raster: declare them as nodata) if they are no class."
    )
    with pytest.raises(InputError) as caught:
        encode_values(pd.Series([f"tree {n}" for n in range(300)]), "p.gpkg")
    assert str(caught.value) == (
        "The class field of `p.gpkg` has 300 different values; 254 classes are possible. "
        "Choose the field that holds the class with `--class-field`."
    )


def named(label, **codes):
    return FileClasses(label, {int(code[1:]): name for code, name in codes.items()})


def test_names_of_any_file_name_the_common_codes():
    found = agree([named("a", c1=None, c9=None), named("b", c9=" Bog", c2="Sea")], None)
    assert [(c.code, c.name) for c in found.scheme.classes] == [
        (1, "Class 1"), (2, "Sea"), (9, "Bog"),
    ]  # fmt: skip
    assert found.tables == ({1: 0, 9: 2}, {9: 2, 2: 1})


def test_one_name_of_two_codes_is_told_apart():
    found = agree([named("a", c1="Field", c2="field", c3="Sea")], None)
    assert [c.name for c in found.scheme.classes] == ["Field (1)", "field (2)", "Sea"]
    assert found.tables == ({1: 0, 2: 1, 3: 2},)


def test_a_named_raster_goes_with_a_layer_of_names():
    layer = FileClasses("b", {1: "Bog", 2: "Sea"}, numbered=False)
    found = agree([named("a", c5="SEA", c8="Ash"), layer], None)
    assert [(c.code, c.name) for c in found.scheme.classes] == [(1, "Ash"), (2, "Bog"), (3, "SEA")]
    assert found.tables == ({5: 2, 8: 0}, {1: 1, 2: 2})


def test_files_that_contradict_each_other_are_refused():
    layer = FileClasses("names.gpkg", {1: "Bog", 2: "Sea"}, numbered=False)
    with pytest.raises(InputError) as caught:
        agree([layer, named("codes.tif", c1=None, c2=None)], None)
    assert str(caught.value) == (
        "`names.gpkg` names its classes and `codes.tif` numbers them; one way is needed. "
        "Give all samples class codes, or all of them the same class names."
    )
    with pytest.raises(InputError) as caught:
        agree([named("a.tif", c1="Bog", c2="Sea"), named("b.tif", c1="Sea")], None)
    assert str(caught.value) == (
        "Class 1 is `Bog` in `a.tif` and `Sea` in `b.tif`. "
        "Give each class the same code in all samples."
    )


def test_a_base_scheme_is_matched_by_name_before_code():
    by_name = named("a", c1="forest", c7="BARE")
    found = agree([by_name, named("b", c7=None)], BASE)
    assert found.scheme is BASE
    assert found.tables == ({1: 1, 7: 2}, {7: 0})
    assert found.notes == ("The samples' class codes are taken as the base model's: 7 as `Water`.",)
    replaced = agree([named("a", c3="Swamp", c7="Water")], BASE)
    assert [(c.code, c.name) for c in replaced.scheme.classes] == [(3, "Swamp"), (7, "Water")]
    assert replaced.notes == (
        "The samples' classes (3 Swamp, 7 Water) are not all among the base model's (7 Water, "
        "3 Forest, 4 Bare): they replace them. With other classes, compare it with a training "
        "without a base: that has been the better one.",
    )
    with pytest.raises(InputError) as caught:
        agree([named("a", c3=None)], BASE)
    assert caught.value.message == "The samples have one class, `Forest`; two or more are needed."


def test_colors_say_what_names_say_and_are_never_the_same():
    colors = class_colors(["Water", "Deciduous forest", "River", "Street", "x"])
    assert colors[:2] == ["#2b6cb0", "#22763a"]
    assert colors[3] == "#7a7a7a"
    assert len(set(colors)) == 5
    many = class_colors([f"Class {n}" for n in range(1, 255)])
    assert len(set(many)) == 254
    assert all(LandClass(1, "x", color) for color in many)
