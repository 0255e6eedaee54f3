"""Lists of scenes: paths beside the list, and a sentence for each thing that can be missing."""

from __future__ import annotations

import pytest

from panloom.engine.errors import InputError
from panloom.engine.training.scene_list import SceneSource, read_scene_list, scene_names


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "scenes.csv"
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_paths_are_beside_the_list(tmp_path):
    (tmp_path / "a,b.tif").touch()
    path = write(
        tmp_path,
        "\ufeffMS, pan ,samples,class_field,group\r\n"
        'ms.tif,sub/pan.tif,s.gpkg|layername=north,class,"034/032"\r\n'
        ",,,,\r\n"
        f'"b1.tif,b2.tif","a,b.tif",{tmp_path}/other/s.npy,,\r\n'
        "GTIFF_DIR:1:x.tif,/vsizip/a.zip/p.tif,l.mat\r\n",
    )
    assert read_scene_list(path) == [
        SceneSource(
            f"{tmp_path}/ms.tif", f"{tmp_path}/sub/pan.tif", f"{tmp_path}/s.gpkg|layername=north",
            "class", "034/032",
        ),
        SceneSource(
            f"{tmp_path}/b1.tif,{tmp_path}/b2.tif", f"{tmp_path}/a,b.tif",
            f"{tmp_path}/other/s.npy",
        ),
        SceneSource("GTIFF_DIR:1:x.tif", "/vsizip/a.zip/p.tif", f"{tmp_path}/l.mat"),
    ]  # fmt: skip


def test_semicolons_divide_as_well(tmp_path):
    found = read_scene_list(write(tmp_path, "ms;pan;samples\n1.tif;2.tif;3.gpkg\n"))
    assert found == [SceneSource(*(f"{tmp_path}/{n}" for n in ("1.tif", "2.tif", "3.gpkg")))]


def test_scenes_of_one_name_are_numbered():
    paths = ("x/ms.tif", "y/ms.tif", "z/other.tif,z/more.tif")
    assert scene_names([SceneSource(ms, "p", "s") for ms in paths]) == ["ms (1)", "ms (2)", "other"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ms,labels\n1,2\n",
            "`scenes.csv` has no column `pan`; its columns are `ms`, `labels`. Name the columns "
            "ms, pan and samples in the first row; class_field and group may follow.",
        ),
        (
            "",
            "`scenes.csv` has no column `ms`; its columns are none. Name the columns ms, pan and "
            "samples in the first row; class_field and group may follow.",
        ),
        (
            "ms,pan,samples\n\n",
            "`scenes.csv` lists no scene. Give one row for each scene to train on.",
        ),
        (
            "ms,pan,samples\n1,2,3\n1,,3\n",
            "Line 3 of `scenes.csv` gives no `pan`. Give the files of each scene in the columns "
            "ms, pan and samples.",
        ),
    ],
)
def test_sentences(tmp_path, text, expected):
    with pytest.raises(InputError) as caught:
        read_scene_list(write(tmp_path, text))
    assert str(caught.value) == expected


def test_sentences_about_the_file(tmp_path):
    with pytest.raises(InputError) as caught:
        read_scene_list(f"{tmp_path}/no.csv")
    assert str(caught.value) == (
        f"There is no file `{tmp_path}/no.csv`. Check the path, or choose another file."
    )
    with pytest.raises(InputError) as caught:
        read_scene_list(write(tmp_path, "ms,pan,sämples\n", "latin-1"))
    assert str(caught.value).startswith("The scene list `scenes.csv` cannot be read ('utf-8' codec")
    assert str(caught.value).endswith("Save it as CSV in UTF-8.")
