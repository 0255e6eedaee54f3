"""Which Python runs the engine: the order of choice, and the record of the set-up."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from panloom.qgis_plugin.engine_home import (
    EngineRecord,
    find_python,
    lock_digest,
    read_record,
    requirements,
    write_record,
)
from panloom.qgis_plugin.engine_process import EngineError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it along

ROOT = Path(__file__).resolve().parents[2]
SET_UP = "Run “Set up the engine” (Processing Toolbox → Panloom → Engine)."


@pytest.fixture
def python(tmp_path: Path) -> str:
    path = tmp_path / "python"
    path.write_text("")
    return str(path)


def test_the_variable_goes_before_the_setting_and_the_record(tmp_path, python):
    write_record(tmp_path, EngineRecord(python, lock_digest(), "cpu"))
    variable, setting = str(tmp_path / "a"), str(tmp_path / "b")
    for path in (variable, setting):
        Path(path).write_text("")
    assert find_python({"PANLOOM_PYTHON": variable}, setting, tmp_path) == variable
    assert find_python({}, setting, tmp_path) == setting
    assert find_python({}, "", tmp_path) == python


def test_a_setting_that_names_nothing_is_not_skipped(tmp_path):
    with pytest.raises(EngineError) as caught:
        find_python({}, "/nowhere/python", tmp_path)
    assert str(caught.value) == (
        "The setting “Python of the engine” names “/nowhere/python”, and there is no such file. "
        "Correct it or take it out."
    )


def test_nothing_set_up(tmp_path):
    with pytest.raises(EngineError) as caught:
        find_python({}, "", tmp_path)
    assert str(caught.value) == f"The engine is not set up yet. {SET_UP}"


def test_an_environment_with_other_requirements_is_out_of_date(tmp_path, python):
    write_record(tmp_path, EngineRecord(python, "another lock", "cpu"))
    with pytest.raises(EngineError) as caught:
        find_python({}, "", tmp_path)
    assert str(caught.value) == f"The engine was set up for another version of Panloom. {SET_UP}"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"python": "x"}', '{"other": 1}'])
def test_a_damaged_record_counts_as_none(tmp_path, text):
    (tmp_path / "engine.json").write_text(text)
    assert read_record(tmp_path) is None


def test_the_record_comes_back_as_it_was_written(tmp_path):
    record = EngineRecord("/ä b/python", "lock", "gpu")
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    write_record(tmp_path, replace(record, device="cpu"))
    assert [p.name for p in tmp_path.iterdir()] == ["engine.json"]


def test_the_requirements_are_those_of_pyproject():
    body = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert requirements() == body["project"]["dependencies"]


def test_the_digest_follows_requirements_and_constraints(tmp_path):
    (tmp_path / "pyproject.toml").write_text('dependencies = [\n    "torch==1", # why\n]\n')
    first = lock_digest(tmp_path)
    (tmp_path / "constraints.txt").write_text("torch==1\n")
    second = lock_digest(tmp_path)
    (tmp_path / "pyproject.toml").write_text('dependencies = [\n    "torch==2", # why\n]\n')
    assert len({first, second, lock_digest(tmp_path)}) == 3


def test_this_interpreter_is_found_by_its_own_path(tmp_path):
    assert find_python({"PANLOOM_PYTHON": sys.executable}, "", tmp_path) == sys.executable
