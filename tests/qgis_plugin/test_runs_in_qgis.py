"""Every algorithm run for real: qgis_process, batch, model, layers that are no files."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import version
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

CLASSES = {"Water", "Woody vegetation", "Green herbaceous", "Bare or dry ground", "Built-up"}


def outputs_in(folder: Path) -> dict[str, str]:
    names = {"OUTPUT": "map.tif", "POLYGONS": "land.gpkg", "CONFIDENCE": "confidence.tif"}
    return {key: str(folder / name) for key, name in {**names, "AREAS": "areas.csv"}.items()}


def results_of(done) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["results"]


def test_classify_a_real_landsat_pair_with_qgis_process(qgis, real_pair, tmp_path):
    asked = outputs_in(tmp_path)
    done = qgis.algorithm("panloom:classify", {**real_pair, **asked, "MMU": 1000, "SIMPLIFY": 15})
    assert results_of(done) == asked
    with rasterio.open(asked["OUTPUT"]) as land, rasterio.open(real_pair["PAN"]) as pan:
        assert land.crs == pan.crs
        assert land.res == pan.res
        codes = land.read(1)
    assert set(np.unique(codes)) <= {0, 1, 2, 3, 4, 5}
    assert (codes == 1).mean() > 0.2, "a quarter of the scene is sea"
    polygons = geopandas.read_file(asked["POLYGONS"])
    assert set(polygons["class_code"]) == set(np.unique(codes)) - {0}
    with rasterio.open(asked["CONFIDENCE"]) as confidence:
        percent = confidence.read(1)
        assert confidence.nodata == 255
    assert ((percent == 255) == (codes == 0)).all()
    assert Path(asked["AREAS"]).read_text(encoding="utf-8").count("\n") >= 5
    assert (tmp_path / "map.qml").is_file()
    assert (tmp_path / "map.panloom.json").is_file()


def test_odd_paths_and_the_command_in_the_log(qgis, sample_pair, tmp_path):
    folder = tmp_path / "Grüße aus «Ł»  ok's"
    folder.mkdir()
    pair = {}
    for name, path in sample_pair.items():
        pair[name] = str(folder / f"{name} ü.tif")
        Path(pair[name]).write_bytes(Path(path).read_bytes())
    target = folder / "Karte 1.tif"
    words = [f"{key}={value}" for key, value in {**pair, "OUTPUT": str(target)}.items()]
    done = qgis.process("run", "panloom:classify", "--", *words)
    assert done.returncode == 0, done.stderr
    shown = next(line for line in done.stdout.splitlines() if "-m panloom.engine" in line)
    command = shlex.split(shown)
    assert command[1:7] == [
        "-m",
        "panloom.engine",
        "classify",
        pair["MS"],
        pair["PAN"],
        str(target),
    ]
    assert "--model=landsat-5class" in command
    with rasterio.open(target) as land:
        assert land.read(1).any()


def test_inspect_writes_its_report(qgis, sample_pair, tmp_path):
    report = tmp_path / "report.html"
    asked = {**sample_pair, "MODEL": "landsat-5class", "REPORT": str(report)}
    results = results_of(qgis.algorithm("panloom:inspect", asked))
    assert results["REPORT"] == str(report)
    assert json.loads(results["SUMMARY"])
    assert "<html" in report.read_text(encoding="utf-8")


def test_vectorize_a_class_map(qgis, sample_pair, tmp_path):
    class_map, polygons = str(tmp_path / "map.tif"), str(tmp_path / "land.fgb")
    results_of(qgis.algorithm("panloom:classify", {**sample_pair, "OUTPUT": class_map}))
    asked = {"MAP": class_map, "MMU": 4000, "OUTPUT": polygons}
    assert results_of(qgis.algorithm("panloom:vectorize", asked)) == {"OUTPUT": polygons}
    with rasterio.open(class_map) as land:
        mapped_m2 = (land.read(1) != 0).sum() * abs(land.transform.a * land.transform.e)
    frame = geopandas.read_file(polygons)
    assert frame.geometry.area.sum() == pytest.approx(mapped_m2, rel=1e-9)
    assert frame.geometry.area.min() >= 4000


def test_check_engine_lists_its_findings(qgis):
    results = results_of(qgis.algorithm("panloom:checkengine", {}))
    summary = json.loads(results["SUMMARY"])
    assert summary["ok"] is True
    assert summary["versions"]["torch"].startswith("2.")
    assert summary["runtimes"]["onnxruntime"]["version"] == version("onnxruntime")


def test_the_engines_sentence_reaches_the_user(qgis, sample_pair, tmp_path):
    swapped = {"MS": sample_pair["PAN"], "PAN": sample_pair["MS"]}
    target = tmp_path / "map.tif"
    done = qgis.algorithm("panloom:classify", {**swapped, "OUTPUT": str(target)})
    assert done.returncode != 0
    assert "swap" in (done.stdout + done.stderr).lower()
    assert not target.exists()


def test_a_crash_of_the_engine_is_explained(qgis, sample_pair, fake_python, tmp_path):
    done = qgis.algorithm(
        "panloom:classify",
        {**sample_pair, "OUTPUT": str(tmp_path / "map.tif")},
        PANLOOM_PYTHON=fake_python,
        FAKE_ENGINE="killed",
    )
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "exit code -9 (SIGKILL)" in said
    assert "reading tile 4" in said


def test_a_batch_makes_every_map(qgis, sample_pair, tmp_path):
    rows = [
        {**sample_pair, "GRID": grid, "OUTPUT": str(tmp_path / f"{grid}.tif")}
        for grid in ("pan", "ms")
    ]
    answer = qgis.inside("batch", "panloom:classify", rows)["answer"]
    assert [row["outputs"] for row in answer["rows"]] == [{"OUTPUT": r["OUTPUT"]} for r in rows]
    with rasterio.open(rows[0]["OUTPUT"]) as fine, rasterio.open(rows[1]["OUTPUT"]) as coarse:
        assert fine.res == (15.0, 15.0)
        assert coarse.res == (30.0, 30.0)


def test_a_model_of_the_designer_chains_the_algorithms(qgis, sample_pair, tmp_path):
    target = str(tmp_path / "land.gpkg")
    answer = qgis.inside("model", sample_pair, target)["answer"]
    assert "error" not in answer
    assert geopandas.read_file(target)["class_name"].notna().all()


def test_only_the_selected_polygon_counts(qgis, sample_pair, tmp_path):
    with rasterio.open(sample_pair["PAN"]) as pan:
        left, bottom, right, top = pan.bounds
        crs = pan.crs.to_string()
    middle = (left + right) / 2
    boxes = [
        f"POLYGON(({a} {bottom},{b} {bottom},{b} {top},{a} {top},{a} {bottom}))"
        for a, b in ((left, middle), (middle, right))
    ]
    target = str(tmp_path / "map.tif")
    asked = {**sample_pair, "OUTPUT": target, "CRS": crs}
    answer = qgis.inside("selection", asked, boxes)["answer"]
    assert "error" not in answer, answer
    with rasterio.open(target) as land:
        mapped_m2 = (land.read(1) != 0).sum() * 225.0
        assert land.bounds.right <= middle + 15.0
    whole_m2 = (right - left) * (top - bottom)
    assert 0.4 < mapped_m2 / whole_m2 <= 0.51


def test_a_layer_that_is_no_file_is_refused_with_the_way_out(qgis, sample_pair, tmp_path):
    target = tmp_path / "map.tif"
    asked = {"MS": sample_pair["MS"], "OUTPUT": str(target)}
    answer = qgis.inside("layer_in_memory", asked, sample_pair["PAN"])["answer"]
    assert answer["error"] == (
        "The layer “doubled” comes from “virtualraster”, and the engine reads raster files only.\n"
        "Save it first: right-click the layer → Export → Save As… → GeoTIFF with raw data. Then "
        "choose the new layer."
    )
    assert not target.exists()


def test_a_crs_that_only_qgis_knows_is_pointed_out(qgis, sample_pair, fake_python, tmp_path):
    asked = {**sample_pair, "OUTPUT": str(tmp_path / "map.tif")}
    answer = qgis.inside("other_crs", asked, PANLOOM_PYTHON=fake_python)["answer"]
    warnings = [text for kind, text in answer["log"] if kind == "warning"]
    assert warnings[1] == "MS and PAN differ by half a pixel", "the engine's own warning"
    assert warnings[0].startswith("“ms in disguise” is shown in EPSG:3857, and its file says EPSG:")
