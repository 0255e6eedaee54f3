"""``panloom:train`` in a real QGIS: what it starts, how it ends, and where its model is offered."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from panloom.engine.recipes.train import TrainOptions
from panloom.engine.sample.pair import sample_paths, write_sample
from panloom.models.file import verify_weights
from panloom.models.fusion import FUSIONS
from panloom.models.networks import NETWORKS

TRUTH = {
    "Water": 1, "Woody vegetation": 2, "Green herbaceous": 3, "Bare or dry ground": 4,
    "Built-up": 5,
}  # fmt: skip
OFFER = "“Classify land cover (MS + PAN)” offers it under “Model”: "


@pytest.fixture(scope="module")
def truth(sample_pair):
    return Path(sample_pair["MS"]).with_name("sample_truth.tif")


@pytest.fixture
def samples(sample_pair, tmp_path):
    """Three squares of the sample pair's scene with a class each."""
    path = tmp_path / "fields.gpkg"
    squares = [square(sample_pair, 100 * n, 100) for n in range(1, 4)]
    names = {"class": ["Water", "Forest", "Forest"], "geometry": squares}
    with rasterio.open(sample_pair["MS"]) as scene:
        geopandas.GeoDataFrame(names, crs=scene.crs).to_file(path)
    return path


def square(pair: dict[str, str], right_m: float, down_m: float) -> shapely.Polygon:
    """Return a square of 60 m whose corner lies so far from the scene's top left corner."""
    with rasterio.open(pair["MS"]) as scene:
        left, top = scene.bounds.left + right_m, scene.bounds.top - down_m
    return shapely.box(left, top - 60, left + 60, top)


@pytest.fixture
def fake(fake_python):
    """The variables that put the fake engine, in one of its modes, in the engine's place."""
    return lambda mode: {"PANLOOM_PYTHON": fake_python, "FAKE_ENGINE": mode}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A scene of 44 × 40 MS pixels and polygons of its truth, as parameters of a short training."""
    folder = tmp_path_factory.mktemp("small")
    paths = sample_paths(str(folder))
    write_sample(paths, size_ms_px=(44, 40), seed=11)
    engine("vectorize", folder / "sample_truth.tif", folder / "truth.gpkg")
    cut_up(geopandas.read_file(folder / "truth.gpkg"), 300.0).to_file(folder / "fields.gpkg")
    return {
        "MS": str(paths.ms), "PAN": str(paths.pan), "SAMPLES": str(folder / "fields.gpkg"),
        "CLASS_FIELD": "class_name", "NETWORK": "adcdnet_patch", "EPOCHS": 1, "DEVICE": "cpu",
    }  # fmt: skip


def cut_up(land: geopandas.GeoDataFrame, side_m: float) -> geopandas.GeoDataFrame:
    """Return polygons cut along a grid, as if several had been drawn in each field."""
    left, bottom, right, top = land.total_bounds
    corners = itertools.product(np.arange(left, right, side_m), np.arange(bottom, top, side_m))
    cells = [shapely.box(x, y, x + side_m, y + side_m) for x, y in corners]
    grid = geopandas.GeoDataFrame(geometry=cells, crs=land.crs)
    return land.overlay(grid, keep_geom_type=True)[["class_name", "geometry"]]


@pytest.fixture(scope="module")
def trained(qgis, small):
    """The answer of a training in ``qgis_process``."""
    target = Path(small["MS"]).with_name("My fields.safetensors")
    done = qgis.algorithm("panloom:train", {**small, "OUTPUT": target})
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def engine(*words: object, environment: dict[str, str] | None = None) -> None:
    """Run the engine's command line."""
    line = [sys.executable, "-m", "panloom.engine", *map(str, words)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def started(log: list[list[str]]) -> list[str]:
    """Return the words of the engine's command, without its Python and ``-m panloom.engine``."""
    (line,) = [text for kind, text in log if kind == "command"]
    return shlex.split(line)[3:]


def test_the_networks_offered_are_those_that_there_are(qgis):
    offered = qgis.inside("describe")["answer"]["train"]["offered"]
    assert offered["NETWORK"] == sorted(NETWORKS)
    assert offered["FUSION"] == sorted(FUSIONS)
    assert offered["VALIDATION"] == ["blocks", "random", "none"]
    assert "landsat-5class" in offered["BASE"]


def test_the_defaults_are_those_of_the_command_line(qgis):
    defaults = qgis.inside("describe")["answer"]["train"]["defaults"]
    assert defaults["STAGE1"] is (TrainOptions.stage1 == "on")
    for name in ("VALIDATION", "SEED", "DEVICE", "NETWORK", "FUSION", "BASE", "EPOCHS", "MINUTES"):
        assert defaults[name] == getattr(TrainOptions, name.lower())


def test_what_is_left_empty_is_left_to_the_engine(qgis, fake, sample_pair, truth, tmp_path):
    target = tmp_path / "fields.safetensors"
    asked = {**sample_pair, "SAMPLES_RASTER": str(truth), "OUTPUT": str(target)}
    answer = qgis.inside("run", "panloom:train", asked, **fake("failure"))["answer"]
    assert started(answer["log"]) == [
        "train", sample_pair["MS"], sample_pair["PAN"], str(truth), str(target), "--stage1=off",
        "--validation=blocks", "--seed=0", "--device=auto", "--overwrite", "--events",
    ]  # fmt: skip
    assert "MS and PAN do not overlap.\nChoose a pair." in answer["error"]


def test_every_parameter_reaches_the_command_line(qgis, fake, sample_pair, samples, tmp_path):
    target = tmp_path / "fields.safetensors"
    asked = {
        **sample_pair, "SAMPLES": str(samples), "CLASS_FIELD": "class", "BASE": "landsat-5class",
        "NETWORK": "adcdnet", "FUSION": "cafm", "EPOCHS": 7, "MINUTES": 1.5, "STAGE1": True,
        "VALIDATION": "random", "SEED": 3, "DEVICE": "cpu", "OUTPUT": str(target),
    }  # fmt: skip
    answer = qgis.inside("run", "panloom:train", asked, **fake("failure"))["answer"]
    assert started(answer["log"]) == [
        "train", sample_pair["MS"], sample_pair["PAN"], str(samples), str(target),
        "--class-field=class", "--network=adcdnet", "--fusion=cafm", "--base=landsat-5class",
        "--epochs=7", "--minutes=1.5", "--stage1=on", "--validation=random", "--seed=3",
        "--device=cpu", "--overwrite", "--events",
    ]  # fmt: skip


def test_a_base_file_goes_before_a_base_name_and_an_array_is_taken(
    qgis, fake, sample_pair, tmp_path
):
    base, labels = tmp_path / "own.safetensors", tmp_path / "label.mat"
    base.write_bytes(b"")
    labels.write_bytes(b"")
    asked = {
        **sample_pair, "SAMPLES_FILE": str(labels), "CLASS_FIELD": "label",
        "BASE": "landsat-5class", "BASE_FILE": str(base), "OUTPUT": str(tmp_path / "m.safetensors"),
    }  # fmt: skip
    words = started(qgis.inside("run", "panloom:train", asked, **fake("failure"))["answer"]["log"])
    assert words[3] == str(labels)
    assert f"--base={base}" in words
    assert "--class-field=label" in words


@pytest.mark.parametrize("chosen", ["", "\"class\" = 'Forest'"])
def test_edits_that_are_not_saved_count(qgis, fake, sample_pair, samples, tmp_path, chosen):
    asked = {**sample_pair, "CLASS_FIELD": "class", "OUTPUT": str(tmp_path / "m.safetensors")}
    new = [
        [square(sample_pair, 100, 300).wkt, "Forest"],
        [square(sample_pair, 200, 300).wkt, "Ice"],
    ]
    answer = qgis.inside("training_samples", asked, str(samples), new, chosen, **fake("keep input"))
    answer = answer["answer"]
    assert "error" not in answer, answer
    assert ["info", "The edits of “samples” that are not saved yet count too."] in answer["log"]
    Path(answer["outputs"]["OUTPUT"]).rename(tmp_path / "seen.gpkg")
    seen = geopandas.read_file(tmp_path / "seen.gpkg")
    expected = ["Forest"] * 3 if chosen else ["Forest"] * 3 + ["Ice", "Water"]
    assert sorted(seen["class"]) == expected
    assert len({polygon.wkt for polygon in seen.geometry}) == len(expected)
    assert len(geopandas.read_file(samples)) == 3, "the layer itself is as it was"


def test_a_cancelled_training_says_where_the_best_model_is(
    qgis, fake, sample_pair, truth, tmp_path
):
    target = tmp_path / "best.safetensors"
    asked = {**sample_pair, "SAMPLES_RASTER": str(truth), "OUTPUT": str(target)}
    answer = qgis.inside("run", "panloom:train", asked, "saved", **fake("train"))["answer"]
    assert ["info", "Epoch 1: loss 1.20, accuracy 61.0 %"] in answer["log"]
    assert f"Cancelled: the best model so far is in {target}" in said(answer)
    assert ["info", f"{OFFER}{target}"] in answer["log"]
    assert target.read_bytes() == b"the best so far"


def test_a_model_that_is_written_after_the_cancel_counts(qgis, fake, sample_pair, truth, tmp_path):
    target = tmp_path / "late.safetensors"
    asked = {**sample_pair, "SAMPLES_RASTER": str(truth), "OUTPUT": str(target)}
    variables = fake("train with late result")
    answer = qgis.inside("run", "panloom:train", asked, "Epoch 1", **variables)["answer"]
    assert f"Cancelled: the best model so far is in {target}" in said(answer)
    assert target.read_bytes() == b"the best so far"


def test_a_cancel_before_the_first_model_leaves_an_older_one_alone(
    qgis, fake, sample_pair, truth, tmp_path
):
    target = tmp_path / "older.safetensors"
    target.write_bytes(b"an older one")
    asked = {**sample_pair, "SAMPLES_RASTER": str(truth), "OUTPUT": str(target)}
    variables = fake("train without model")
    answer = qgis.inside("run", "panloom:train", asked, "Stage I", **variables)["answer"]
    assert "Cancelled before there was a model: nothing was written." in said(answer)
    assert OFFER not in said(answer)
    assert target.read_bytes() == b"an older one"


def test_the_model_is_that_of_the_command_line(qgis, small, trained, tmp_path):
    engine(
        "train", small["MS"], small["PAN"], small["SAMPLES"], tmp_path / "cli.safetensors",
        "--class-field=class_name", "--network=adcdnet_patch", "--epochs=1", "--device=cpu",
        environment=qgis.environment(),
    )  # fmt: skip
    model = Path(trained["results"]["OUTPUT"])
    mine, theirs = verify_weights(model), verify_weights(tmp_path / "cli.safetensors")
    assert mine.weights_sha256 == theirs.weights_sha256
    assert (mine.network, mine.name, theirs.name) == ("adcdnet_patch", "my-fields", "cli")
    assert trained["results"]["OA"] == mine.metrics["oa"] == theirs.metrics["oa"]
    assert trained["results"]["KAPPA"] == mine.metrics["kappa"]
    summary = json.loads(trained["results"]["SUMMARY"])
    assert (summary["epochs"], summary["ended"]) == (1, "all epochs")


def test_classify_takes_the_trained_model(qgis, small, trained, tmp_path):
    model = trained["results"]["OUTPUT"]
    target = tmp_path / "map.tif"
    asked = {"MS": small["MS"], "PAN": small["PAN"], "MODEL": model, "OUTPUT": target}
    done = qgis.algorithm("panloom:classify", asked)
    assert done.returncode == 0, done.stdout + done.stderr
    with rasterio.open(target) as mapped:
        found, tags = mapped.read(1), mapped.tags()
    with rasterio.open(Path(small["MS"]).with_name("sample_truth.tif")) as true:
        expected = true.read(1)[: found.shape[0], : found.shape[1]]
    names = {c["code"]: c["name"] for c in json.loads(tags["PANLOOM_CLASSES"])}
    assert set(names.values()) == set(geopandas.read_file(small["SAMPLES"])["class_name"])
    truth_names = {code: name for name, code in TRUTH.items()}
    same = np.vectorize(names.get)(found) == np.vectorize(truth_names.get)(expected)
    assert same.mean() > 0.5, "five classes, trained on this scene"


def test_the_models_trained_last_are_offered_as_long_as_they_are_there(
    qgis, fake, sample_pair, truth, tmp_path
):
    first, second = (str(tmp_path / f"{name}.safetensors") for name in ("first", "second"))
    for target in (first, second, first, second):
        asked = {**sample_pair, "SAMPLES_RASTER": str(truth), "OUTPUT": target}
        qgis.inside("run", "panloom:train", asked, **fake("keep input"))
    found = qgis.inside("describe")["answer"]
    for name, parameter in (("classify", "MODEL"), ("inspect", "MODEL"), ("train", "BASE")):
        assert found[name]["offered"][parameter][:3] == ["landsat-5class", second, first]
    assert found["classify"]["defaults"]["MODEL"] == "landsat-5class"
    Path(second).unlink()
    offered = qgis.inside("describe")["answer"]["classify"]["offered"]["MODEL"]
    assert first in offered
    assert second not in offered


def test_a_model_in_a_temporary_folder_is_warned_of(qgis, fake, sample_pair, truth):
    asked = {**sample_pair, "SAMPLES_RASTER": str(truth), "OUTPUT": "TEMPORARY_OUTPUT"}
    answer = qgis.inside("run", "panloom:train", asked, **fake("keep input"))["answer"]
    assert [
        "warning",
        "The model lies in a temporary folder and goes when QGIS is closed. Copy the file to keep "
        "it, and choose it in “Model file of your own”.",
    ] in answer["log"]


def test_epochs_are_seen_live_and_a_cancel_keeps_a_whole_model(qgis, small, tmp_path):
    target = tmp_path / "best.safetensors"
    asked = {**small, "EPOCHS": 100, "OUTPUT": str(target)}
    answer = qgis.inside("run", "panloom:train", asked, "Epoch 1 of 100")["answer"]
    epochs = [text for kind, text in answer["log"] if text.startswith("Epoch ")]
    assert len(epochs) == 1
    assert re.match(
        r"Epoch 1 of 100: loss \d\.\d+; validation: balanced accuracy [\d.]+%", epochs[0]
    )
    assert f"Cancelled: the best model so far is in {target}" in said(answer)
    assert ["info", f"{OFFER}{target}"] in answer["log"]
    card = verify_weights(target)
    assert set(card.metrics["f1"]) == set(card.classes.names.values())
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_samples_of_one_class_are_refused_with_a_sentence(qgis, small, tmp_path):
    asked = {**small, "OUTPUT": str(tmp_path / "m.safetensors")}
    chosen = "\"class_name\" = 'Water'"
    answer = qgis.inside("training_samples", asked, small["SAMPLES"], [], chosen)["answer"]
    assert "The samples have one class, `Water`; two or more are needed." in answer["error"]
    assert not list(tmp_path.iterdir())


def said(answer: dict[str, object]) -> str:
    """Return the log and the error, as a user sees them one above the other."""
    return "\n".join([*(text for _, text in answer["log"]), answer.get("error", "")])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            (),
            "No samples are given, and one is needed. Choose a layer of points or polygons in "
            "“Samples”, a raster in “Label raster” or a file in “Label array”, and leave the "
            "others empty.",
        ),
        (
            ("SAMPLES", "SAMPLES_RASTER"),
            "More than one kind of samples is given, and one is needed. Choose a layer of points "
            "or polygons in “Samples”, a raster in “Label raster” or a file in “Label array”, and "
            "leave the others empty.",
        ),
    ],
)
def test_exactly_one_kind_of_samples_is_needed(
    qgis, sample_pair, samples, truth, tmp_path, given, sentence
):
    sources = {"SAMPLES": str(samples), "SAMPLES_RASTER": str(truth)}
    target = tmp_path / "m.safetensors"
    asked = {**sample_pair, "OUTPUT": str(target), **{name: sources[name] for name in given}}
    assert sentence in qgis.inside("run", "panloom:train", asked)["answer"]["error"]
    done = qgis.process("run", "panloom:train", "--", *(f"{k}={v}" for k, v in asked.items()))
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr
    assert not target.exists()
