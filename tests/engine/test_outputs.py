"""Outputs appear whole or not at all, and never over an input."""

from __future__ import annotations

import pytest

from panloom.engine.errors import OutputError
from panloom.engine.outputs import Outputs


def write(outputs: Outputs, target, text="new", sidecar=None):
    draft = outputs.draft(target)
    draft.write_text(text)
    if sidecar is not None:
        draft.with_name(draft.name + ".aux.xml").write_text(sidecar)


def test_files_appear_at_the_end_with_their_sidecars(tmp_path):
    with Outputs(overwrite=False) as outputs:
        write(outputs, tmp_path / "map.tif", sidecar="names")
        assert not (tmp_path / "map.tif").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.tif", "map.tif.aux.xml"]


def test_an_error_leaves_nothing(tmp_path):
    def failing_run():
        with Outputs(overwrite=False) as outputs:
            write(outputs, tmp_path / "map.tif", sidecar="names")
            outputs.scratch(tmp_path / "map.tif", ".tif").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing_run()
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_the_file_that_was_there(tmp_path):
    (tmp_path / "map.tif").write_text("old")

    def failing_run():
        with Outputs(overwrite=True) as outputs:
            write(outputs, tmp_path / "map.tif")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing_run()
    assert (tmp_path / "map.tif").read_text() == "old"


def test_overwriting_removes_stale_sidecars(tmp_path):
    (tmp_path / "map.tif").write_text("old")
    (tmp_path / "map.tif.ovr").write_text("old overviews")
    with Outputs(overwrite=True) as outputs:
        write(outputs, tmp_path / "map.tif")
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]
    assert (tmp_path / "map.tif").read_text() == "new"


def test_an_existing_output_is_kept(tmp_path):
    (tmp_path / "map.tif").write_text("old")
    with pytest.raises(OutputError) as caught, Outputs(overwrite=False) as outputs:
        outputs.draft(tmp_path / "map.tif")
    assert str(caught.value) == (
        "`map.tif` exists already. Choose another name, or allow overwriting (`--overwrite`)."
    )
    assert (tmp_path / "map.tif").read_text() == "old"


def test_an_input_is_never_an_output(tmp_path):
    band = tmp_path / "b1.tif"
    band.write_text("data")
    for spec in (str(band), f"{band},{tmp_path / 'b2.tif'}"):
        with (
            pytest.raises(OutputError) as caught,
            Outputs(overwrite=True, inputs=(spec,)) as outputs,
        ):
            outputs.draft(band)
        assert caught.value.code == "output-is-input"
        assert caught.value.message == "`b1.tif` is both an input and an output."


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(OutputError) as caught, Outputs(overwrite=False) as outputs:
        outputs.draft(tmp_path / "no" / "map.tif")
    assert str(caught.value) == (
        f"The folder `{tmp_path / 'no'}` does not exist. Make it, or choose another one."
    )


def test_two_outputs_need_two_files(tmp_path):
    with Outputs(overwrite=False) as outputs:
        outputs.draft(tmp_path / "a.tif")
        with pytest.raises(OutputError) as caught:
            outputs.draft(tmp_path / "a.tif")
    assert caught.value.code == "output-twice"


def test_an_unwritable_folder_is_said():
    # /proc/self refuses new files even to root, which permission bits would not.
    with pytest.raises(OutputError) as caught, Outputs(overwrite=False) as outputs:
        outputs.draft("/proc/self/map.tif")
    assert caught.value.code == "output-unwritable"
