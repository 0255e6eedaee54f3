"""Assess end to end: report and figures against scikit-learn, every sentence, no file left."""

from __future__ import annotations

import json
import subprocess
import sys

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from sklearn import metrics

from panloom.engine.class_map import ClassMapWriter, MapPaths
from panloom.engine.errors import Cancelled, InputError, OutputError
from panloom.engine.events import Message, Progress
from panloom.engine.grid import Grid
from panloom.engine.recipes import assess
from panloom.engine.recipes.assess import AssessOptions, as_text
from panloom.models.classes import ClassScheme, LandClass

SCHEME = ClassScheme(
    (
        LandClass(1, "Water", "#2277cc"),
        LandClass(2, "Forest", "#117733"),
        LandClass(4, "Built-up", "#cc3311"),
    )
)
GRID = Grid(CRS.from_epsg(32630), Affine(10, 0, 500_000, 0, -10, 5_000_000), 120, 90)


@pytest.fixture(scope="module")
def codes():
    coarse = np.random.default_rng(6).choice([0, 1, 2, 4], (9, 12), p=[0.1, 0.4, 0.3, 0.2])
    return np.kron(coarse, np.ones((10, 10))).astype(np.uint8)


@pytest.fixture(scope="module")
def truth(codes):
    rng = np.random.default_rng(8)
    other = rng.choice([1, 2, 4], codes.shape)
    return np.where((rng.random(codes.shape) < 0.25) | (codes == 0), other, codes).astype(np.uint8)


@pytest.fixture(scope="module")
def land(tmp_path_factory, codes):
    path = tmp_path_factory.mktemp("map") / "map.tif"
    with ClassMapWriter(MapPaths(path), GRID, SCHEME, {"PANLOOM_MODEL": "test-model"}) as writer:
        writer.write(GRID.window, codes, np.zeros_like(codes))
    return path


@pytest.fixture(scope="module")
def points(tmp_path_factory, truth):
    rng = np.random.default_rng(9)
    rows, cols = rng.integers(0, 90, 500), rng.integers(0, 120, 500)
    x, y = GRID.transform @ (cols + 0.5, rows + 0.5)
    names = [SCHEME.names[c] for c in truth[rows, cols]]
    frame = geopandas.GeoDataFrame({"kind": names}, geometry=shapely.points(x, y), crs=32630)
    path = tmp_path_factory.mktemp("points") / "points.gpkg"
    frame.to_crs(4326).to_file(path)
    return path, rows, cols


def run(land, reference, folder, **options):
    received = []
    options = {"report": str(folder / "r.html"), "json_file": str(folder / "r.json"), **options}
    result = assess.run(AssessOptions(str(land), str(reference), **options), received.append)
    return result, received


def test_figures_equal_scikit_learns(land, points, codes, truth, tmp_path):
    path, rows, cols = points
    result, received = run(land, path, tmp_path, class_field="kind")
    figures = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    mapped, reference = codes[rows, cols], truth[rows, cols]
    there = mapped > 0
    counts = metrics.confusion_matrix(reference[there], mapped[there], labels=[1, 2, 4])
    assert figures["confusion"]["counts"] == counts.tolist()
    assert figures["oa"] == pytest.approx(np.trace(counts) / counts.sum(), abs=1e-12)
    kappa = metrics.cohen_kappa_score(reference[there], mapped[there])
    assert figures["kappa"] == pytest.approx(kappa, abs=1e-12)
    assert figures["samples"] == there.sum()
    assert sum(figures["not_compared"]["map_nodata"].values()) == (~there).sum() > 0
    shares = np.array([np.mean(codes[codes > 0] == c) for c in (1, 2, 4)])
    right = np.diag(counts) / counts.sum(axis=0)
    assert figures["stratified"]["oa"] == pytest.approx(shares @ right, rel=1e-4)
    assert sum(figures["stratified"]["mapped_m2"]) == pytest.approx(
        100 * np.count_nonzero(codes), rel=1e-2
    )
    assert result.summary["samples"] == there.sum()
    assert sorted(result.outputs) == ["json", "report"]
    fractions = [e.fraction for e in received if isinstance(e, Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "test-model" in page
    assert f"{np.trace(counts):,} of {counts.sum():,} points" in page


def test_polygons_and_rasters_of_the_same_truth_agree(land, codes, truth, tmp_path):
    blocks = [shapely.box(500_000 + 100 * c, 4_999_900 - 100 * r, 500_100 + 100 * c,
                          5_000_000 - 100 * r) for r in range(9) for c in range(12)]  # fmt: skip
    classes = [int(truth[10 * r, 10 * c]) for r in range(9) for c in range(12)]
    frame = geopandas.GeoDataFrame({"class_code": classes}, geometry=blocks, crs=32630)
    frame.to_file(tmp_path / "p.gpkg")
    labels = np.kron(np.reshape(classes, (9, 12)), np.ones((10, 10))).astype(np.uint8)
    with rasterio.open(
        tmp_path / "r.tif", "w", driver="GTiff", width=120, height=90, count=1, dtype="uint8",
        crs=GRID.crs, transform=GRID.transform,
    ) as dataset:  # fmt: skip
        dataset.write(labels, 1)
    found = []
    for name in ("p.gpkg", "r.tif"):
        run(land, tmp_path / name, tmp_path, overwrite=True)
        found.append(json.loads((tmp_path / "r.json").read_text(encoding="utf-8")))
    assert found[0]["confusion"] == found[1]["confusion"]
    assert found[0]["samples"] == np.count_nonzero(codes)
    assert found[0]["by_polygon"]["polygons"] == np.count_nonzero(codes[::10, ::10])
    assert found[1]["by_polygon"] is None
    low, high = found[0]["oa_interval_95"]
    assert found[0]["by_polygon"]["oa_standard_error"] > (high - low)


def test_a_class_that_only_the_reference_has_is_a_row_of_its_own(tmp_path, codes):
    """A raster that names no classes: reference codes that do not occur in it are taken as well."""
    with rasterio.open(
        tmp_path / "plain.tif", "w", driver="GTiff", width=120, height=90, count=1, dtype="uint8",
        crs=GRID.crs, transform=GRID.transform, nodata=0,
    ) as dataset:  # fmt: skip
        dataset.write(codes, 1)
    row, col = (int(v) for v in np.argwhere(codes == 2)[0])
    point = shapely.Point(500_005 + 10 * col, 4_999_995 - 10 * row)
    geopandas.GeoDataFrame({"class_code": [7]}, geometry=[point], crs=32630).to_file(
        tmp_path / "p.gpkg"
    )
    run(tmp_path / "plain.tif", tmp_path / "p.gpkg", tmp_path)
    figures = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert figures["confusion"]["codes"] == [1, 2, 4, 7]
    assert figures["confusion"]["counts"][3] == [0, 1, 0, 0]
    assert figures["kappa"] == 0
    assert figures["stratified"] is None


def points_at(path, places, **columns):
    geopandas.GeoDataFrame(columns, geometry=shapely.points(places), crs=32630).to_file(path)
    return path


def test_no_sample_on_the_map_is_said_with_reasons(land, tmp_path, codes):
    path = points_at(tmp_path / "far.gpkg", [(0, 0), (1, 1)], class_code=[1, 2])
    row, col = (int(v) for v in np.argwhere(codes == 0)[0])
    x, y = GRID.transform @ (col + 0.5, row + 0.5)
    dead = points_at(tmp_path / "dead.gpkg", [(x, y), (x, y)], class_code=[1, 0])
    out = tmp_path / "out"
    out.mkdir()
    for reference, expected in (
        (path, "No sample of `far.gpkg` lies on a classified pixel of the map: 2 points "
               "outside of the map."),
        (dead, "No sample of `dead.gpkg` lies on a classified pixel of the map: 1 point "
               "without a class, 1 sample on the map's nodata."),
    ):  # fmt: skip
        with pytest.raises(InputError) as caught:
            run(land, reference, out)
        assert caught.value.message == expected
        assert caught.value.code == "no-samples"
        assert list(out.iterdir()) == []


def test_outputs_are_checked_first(land, points, tmp_path):
    with pytest.raises(InputError, match="would not be a page"):
        run(land, points[0], tmp_path, report=str(tmp_path / "r.pdf"))
    (tmp_path / "r.html").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="exists already"):
        run(land, points[0], tmp_path, class_field="kind")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_a_cancelled_run_leaves_nothing(land, points, tmp_path):
    def cancel(event):
        raise Cancelled

    options = AssessOptions(str(land), str(points[0]), str(tmp_path / "r.html"), "kind")
    with pytest.raises(Cancelled):
        assess.run(options, cancel)
    assert list(tmp_path.iterdir()) == []


def test_a_map_with_fractions_is_no_class_map(tmp_path, points):
    with rasterio.open(
        tmp_path / "dn.tif", "w", driver="GTiff", width=5, height=5, count=1, dtype="float32",
        crs=GRID.crs, transform=GRID.transform,
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 5, 5), np.float32))
    with pytest.raises(InputError) as caught:
        run(tmp_path / "dn.tif", points[0], tmp_path, class_field="kind")
    assert caught.value.code == "not-a-class-map"


def test_the_command_line(land, points, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "panloom.engine", "assess", str(land), str(points[0]),
         "--class-field", "kind", "--report", str(tmp_path / "r.html"),
         "--json", str(tmp_path / "r.json")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("samples")
    assert str(tmp_path / "r.html") in done.stdout
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["samples"] > 0


def test_text_shows_dashes_for_what_does_not_exist():
    summary = {
        "samples": 1, "kind": "points", "oa": 1.0, "weighted_oa": None, "weighted_oa_half": None,
        "aa": 1.0, "aa_half": 0.0, "kappa": None, "kappa_half": None,
    }  # fmt: skip
    lines = as_text(summary).splitlines()
    assert lines[1].split() == ["overall", "accuracy", "100.0", "%"]
    assert lines[-1].split() == ["kappa", "–"]


def test_notes_are_warnings(land, codes, tmp_path):
    with rasterio.open(
        tmp_path / "r.tif", "w", driver="GTiff", width=120, height=90, count=2, dtype="uint8",
        crs=GRID.crs, transform=GRID.transform,
    ) as dataset:  # fmt: skip
        dataset.write(np.stack([codes, codes]))
    _, received = run(land, tmp_path / "r.tif", tmp_path)
    assert Message("`r.tif` has 2 bands; the first one holds the classes.", "warning") in received
