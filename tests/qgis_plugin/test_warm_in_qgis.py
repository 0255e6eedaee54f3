"""The engine kept warm in a real QGIS: one process for several runs, and none left behind."""

from __future__ import annotations

from pathlib import Path

import geopandas

from .ear import until


def test_one_engine_serves_every_run_and_goes_with_the_plugin(qgis, sample_pair, tmp_path):
    class_map, polygons = str(tmp_path / "map.tif"), str(tmp_path / "land.gpkg")
    classify = ["panloom:classify", {**sample_pair, "OUTPUT": class_map}]
    vectorize = ["panloom:vectorize", {"MAP": class_map, "OUTPUT": polygons}]
    answer = qgis.inside("warm", [classify, vectorize], True)["answer"]
    assert len(answer["told"]) == 2
    assert len(set(answer["told"])) == 1, "the same process"
    assert answer["told"][0].startswith("The warm engine runs it (process ")
    assert answer["left"] == []
    assert geopandas.read_file(polygons)["class_name"].notna().all()
    commands = [text for run in answer["runs"] for kind, text in run["log"] if kind == "command"]
    assert [" serve " in command for command in commands] == [False, False]
    assert "-m panloom.engine classify" in commands[0], "to be copied, as without a warm engine"


def test_an_engine_goes_with_qgis(qgis, sample_pair, tmp_path):
    page = str(tmp_path / "report.html")
    answer = qgis.inside("warm", [["panloom:inspect", {**sample_pair, "OUTPUT": page}]], False)
    (pid,) = answer["answer"]["left"]
    until(lambda: not Path(f"/proc/{pid}").exists())  # QGIS has ended without saying so


def test_a_check_answers_for_an_engine_that_starts(qgis):
    answer = qgis.inside("warm", [["panloom:checkengine", {}]], True)["answer"]
    assert answer["told"] == []
    assert ["info", "The engine works."] in answer["runs"][0]["log"]
