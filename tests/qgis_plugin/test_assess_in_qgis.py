"""``panloom:assess`` in a real QGIS, against the command line and scikit-learn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from sklearn import metrics

NAMES = ("", "Water", "Woody vegetation", "Green herbaceous", "Bare or dry ground", "Built-up")


def engine(*words: object) -> None:
    """Run the engine's command line."""
    line = [sys.executable, "-m", "panloom.engine", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def figures(path: Path) -> dict[str, object]:
    """Return the figures in a JSON file, without the time at which they were made."""
    found = json.loads(path.read_text(encoding="utf-8"))
    del found["sources"]["created"]
    return found


@pytest.fixture(scope="module")
def land(sample_pair, tmp_path_factory):
    path = tmp_path_factory.mktemp("assessed") / "map.tif"
    engine("classify", sample_pair["MS"], sample_pair["PAN"], path, "--model", "landsat-5class")
    return path


@pytest.fixture(scope="module")
def truth(sample_pair):
    return Path(sample_pair["MS"]).with_name("sample_truth.tif")


@pytest.fixture(scope="module")
def points(land, truth):
    """400 points at pixel centers with the truth's class (name) and the map's code, in 4326."""
    rng = np.random.default_rng(4)
    with rasterio.open(land) as mapped, rasterio.open(truth) as true:
        row, col = rng.integers(5, mapped.height - 5, 400), rng.integers(5, mapped.width - 5, 400)
        x, y = rasterio.transform.xy(mapped.transform, row, col)
        codes = np.array([value[0] for value in true.sample(zip(x, y, strict=True))])
        columns = {"land": [NAMES[code] for code in codes], "true": codes}
        columns["mapped"] = mapped.read(1)[row, col]
        crs = mapped.crs
    frame = geopandas.GeoDataFrame(columns, geometry=shapely.points(x, y), crs=crs)
    path = land.with_name("points.gpkg")
    frame.to_crs(4326).to_file(path)
    return path


def test_points_give_the_figures_of_the_command_line(qgis, land, points, tmp_path):
    report, values = tmp_path / "how good.html", tmp_path / "figures.json"
    asked = {"MAP": land, "REFERENCE": points, "CLASS_FIELD": "land"}
    done = qgis.algorithm("panloom:assess", {**asked, "REPORT": report, "JSON": values})
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    results = answer["results"]
    engine(
        "assess", land, points, "--class-field=land", f"--report={tmp_path / 'cli.html'}",
        f"--json={tmp_path / 'cli.json'}",
    )  # fmt: skip
    assert figures(values) == figures(tmp_path / "cli.json")
    frame = geopandas.read_file(points)
    there = frame[(frame["mapped"] > 0) & (frame["true"] > 0)]
    assert len(there) > 350
    assert results["OA"] == pytest.approx((there["mapped"] == there["true"]).mean())
    kappa = metrics.cohen_kappa_score(there["true"], there["mapped"])
    assert results["KAPPA"] == pytest.approx(kappa)
    assert 0.2 < results["OA"] < 1.0
    assert json.loads(results["SUMMARY"])["samples"] == len(there)
    assert (results["REPORT"], results["JSON"]) == (str(report), str(values))
    assert "<html" in report.read_text(encoding="utf-8")


def test_a_raster_gives_the_figures_of_the_command_line_and_no_json_unasked(
    qgis, land, truth, tmp_path
):
    asked = {"MAP": str(land), "REFERENCE_RASTER": str(truth), "REPORT": str(tmp_path / "r.html")}
    answer = qgis.inside("run", "panloom:assess", asked)["answer"]
    engine(
        "assess", land, truth, f"--report={tmp_path / 'cli.html'}", f"--json={tmp_path / 'c.json'}"
    )
    expected = figures(tmp_path / "c.json")
    assert float(answer["outputs"]["OA"]) == expected["oa"]
    assert float(answer["outputs"]["KAPPA"]) == expected["kappa"]
    assert "JSON" not in answer["outputs"]
    assert "temporary copy" not in str(answer["log"])
    assert {path.name for path in tmp_path.iterdir()} == {"r.html", "cli.html", "c.json"}
    log = [text for kind, text in answer["log"] if kind == "info"]
    assert f"Samples compared: {expected['samples']:,} (raster)" in log
    assert f"Overall accuracy: {expected['oa'] * 100:.1f} %" in log


def test_polygons_of_panloom_need_no_field(qgis, land, truth, tmp_path):
    reference = tmp_path / "truth.gpkg"
    engine("vectorize", truth, reference)
    asked = {"MAP": str(land), "REFERENCE": str(reference), "REPORT": str(tmp_path / "r.html")}
    answer = qgis.inside("run", "panloom:assess", asked)["answer"]
    with rasterio.open(land) as mapped, rasterio.open(truth) as true:
        assert mapped.transform == true.transform
        found = mapped.read(1)  # it ends a pixel before the truth, where the MS ends
        expected = true.read(1)[: mapped.height, : mapped.width]
    there = (found > 0) & (expected > 0)
    oa = (found == expected)[there].mean()
    assert float(answer["outputs"]["OA"]) == pytest.approx(oa)
    assert json.loads(answer["outputs"]["SUMMARY"])["kind"] == "polygons"


def test_only_the_selected_samples_count(qgis, land, points, tmp_path):
    asked = {"MAP": str(land), "CLASS_FIELD": "land", "REPORT": str(tmp_path / "r.html")}
    answer = qgis.inside("samples", asked, str(points), [], "\"land\" = 'Water'")["answer"]
    assert "error" not in answer, answer
    frame = geopandas.read_file(points)
    water = frame[(frame["true"] == 1) & (frame["mapped"] > 0)]
    assert json.loads(answer["outputs"]["SUMMARY"])["samples"] == len(water) > 0
    assert float(answer["outputs"]["OA"]) == pytest.approx((water["mapped"] == 1).mean())
    copied = "The engine reads a temporary copy of “samples”; what it writes calls it "
    assert ["info", f"{copied}REFERENCE.gpkg."] in answer["log"]
    assert "<b>REFERENCE.gpkg</b>" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_field_that_only_qgis_has_can_hold_the_class(qgis, land, points, tmp_path):
    asked = {"MAP": str(land), "CLASS_FIELD": "computed", "REPORT": str(tmp_path / "r.html")}
    virtual = ["computed", '"mapped"']
    answer = qgis.inside("samples", asked, str(points), virtual, "")["answer"]
    assert "error" not in answer, answer
    assert float(answer["outputs"]["OA"]) == 1.0, "the map against itself"


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("crs_in_file", [None, "EPSG:3857"])
def test_a_crs_that_only_qgis_knows_counts(qgis, land, points, tmp_path, crs_in_file):
    reference = tmp_path / "samples.gpkg"
    geopandas.read_file(points).set_crs(crs_in_file, allow_override=True).to_file(reference)
    asked = {"MAP": str(land), "CLASS_FIELD": "mapped", "REPORT": str(tmp_path / "r.html")}
    answer = qgis.inside("samples", asked, str(reference), [], "", "EPSG:4326")["answer"]
    assert "error" not in answer, answer
    assert float(answer["outputs"]["OA"]) == 1.0, "the map against itself"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ((), "No reference is given"),
        (("REFERENCE", "REFERENCE_RASTER"), "Two references are given"),
    ],
)
def test_exactly_one_reference_is_needed(qgis, land, points, truth, tmp_path, given, found):
    references = {"REFERENCE": str(points), "REFERENCE_RASTER": str(truth)}
    asked = {"MAP": str(land), "REPORT": str(tmp_path / "r.html")}
    asked |= {name: references[name] for name in given}
    sentence = (
        f"{found}, and one is needed. Choose either a layer of points or polygons in “Reference "
        "samples” or a raster in “Reference raster”, and leave the other empty."
    )
    error = qgis.inside("run", "panloom:assess", asked)["answer"]["error"]
    assert sentence in error
    done = qgis.process("run", "panloom:assess", "--", *(f"{k}={v}" for k, v in asked.items()))
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
