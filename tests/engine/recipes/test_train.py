"""Training end to end: a model that maps, a base that is kept, every end, every sentence."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

from panloom.engine.events import Event, Message, Progress
from panloom.engine.recipes import classify, train
from panloom.engine.recipes.classify import ClassifyOptions
from panloom.engine.recipes.train import TrainOptions
from panloom.engine.sample.pair import TRUTH_CLASSES, SamplePair
from panloom.models.bundle import load_bundle
from panloom.models.file import find_model, read_card, verify_weights

from .training_samples import make_pair, make_polygons, options, silent

pytestmark = pytest.mark.usefixtures("short_epochs")


def texts(events: list[Event]) -> list[str]:
    return [e.text for e in events if isinstance(e, Message)]


def test_a_trained_model_maps_at_once(
    pair: SamplePair, polygons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "EPOCH_STEPS", 25)
    monkeypatch.setattr(train, "BATCH_SIZE", 4)
    model, events = tmp_path / "My Fields.safetensors", list[Event]()
    result = train.run(options(pair, polygons, model, epochs=3), events.append)
    assert result.outputs == {"model": str(model)}
    assert [p.name for p in tmp_path.iterdir()] == [model.name]
    card = verify_weights(model)
    assert (card.name, card.network, card.ratio) == ("my-fields", "adcdnet", 2)
    assert card.band_roles == ("blue", "green", "red", "nir", "swir1", "swir2")
    assert card.radiometry == {"kind": "dark-object", "infrared": [3, 4, 5], "zero_from": 5}
    assert card.gsd_range_m == (20.0, 45.0)
    assert set(card.classes.names.values()) == set(TRUTH_CLASSES.names.values())
    assert card.training["data"][0]["samples"] == polygons.name
    assert str(tmp_path) not in card.to_json()
    assert str(pair.ms.parent) not in card.to_json()
    assert (card.training["seed"], card.training["steps"], card.training["epochs"]) == (0, 75, 3)
    assert card.metrics["pixels"] == np.sum(card.metrics["confusion"]) > 0
    assert result.summary["accuracy"]["oa"] == card.metrics["oa"] > 0.5
    assert card.temperature == result.summary["temperature"]
    # Its samples are seen through perfectly, which is no reason to be surer of a whole map.
    assert card.temperature >= 1.0
    progress = [e.fraction for e in events if isinstance(e, Progress)]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    epochs = [t for t in texts(events) if t.startswith("Epoch ")]
    assert len(epochs) == 3
    assert all(
        t.startswith(f"Epoch {n} of 3: loss ") and "; validation: balanced accuracy " in t
        for n, t in enumerate(epochs, 1)
    )
    assert _agreement(pair, model, tmp_path / "map.tif") > 0.5


def _agreement(pair: SamplePair, model: Path, target: Path) -> float:
    """Return the mean share of the truth's classes that a map by the model finds."""
    classify.run(
        ClassifyOptions(str(pair.ms), str(pair.pan), str(target), str(model), device="cpu"), silent
    )
    names = read_card(model).classes.names
    with rasterio.open(target) as file, rasterio.open(pair.truth) as truth:
        left = round((file.transform.c - truth.transform.c) / 15)
        top = round((truth.transform.f - file.transform.f) / 15)
        wanted = truth.read(1)[top : top + file.height, left : left + file.width]
        found = file.read(1)
    codes = {name: code for code, name in names.items()}
    shares = [
        (found[wanted == code] == codes[name]).mean() for code, name in TRUTH_CLASSES.names.items()
    ]
    return float(np.mean(shares))


def test_the_same_seed_gives_the_same_file(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        train.run(options(pair, polygons, file, seed=seed), silent)
    first, second, other = (read_card(file) for file in files)
    assert first.weights_sha256 == second.weights_sha256 != other.weights_sha256
    assert (first.metrics, first.temperature) == (second.metrics, second.temperature)


def test_a_base_with_the_same_classes_keeps_them(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    model = tmp_path / "finer.safetensors"
    train.run(options(pair, polygons, model, base="landsat-5class", epochs=1), silent)
    card, base = read_card(model), read_card(find_model("landsat-5class"))
    assert card.classes == base.classes
    assert (card.radiometry, card.arguments) == (base.radiometry, base.arguments)
    assert card.training["base"] == {
        "name": "landsat-5class",
        "weights_sha256": base.weights_sha256,
        "license": base.license,
    }
    assert card.metrics["oa"] > 0.75


def test_a_base_gets_other_classes_where_the_samples_have_them(
    pair: SamplePair, tmp_path: Path
) -> None:
    samples, model = make_polygons(pair, (1, 2)), tmp_path / "two.safetensors"
    events: list[Event] = []
    renamed = geopandas.read_file(samples).replace({"cover": {"Water": "Lake"}})
    renamed.to_file(tmp_path / "renamed.gpkg")
    train.run(
        options(pair, tmp_path / "renamed.gpkg", model, base="landsat-5class", epochs=1),
        events.append,
    )
    assert set(read_card(model).classes.names.values()) == {"Lake", "Woody vegetation"}
    assert any("they replace them. " in text for text in texts(events))
    assert len(load_bundle(model).card.classes) == 2


def test_without_validation_nothing_is_said_of_accuracy(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    result = train.run(options(pair, polygons, model, validation="none"), silent)
    card = read_card(model)
    assert card.metrics == {"method": "not known; validation: none: every sample was trained on"}
    assert (card.temperature, result.summary["accuracy"]) == (1.0, None)
    assert result.summary["best_epoch"] == result.summary["epochs"] == 2
    assert "not known: no sample was kept apart" in train.as_text(result.summary)


def test_minutes_end_the_training(pair: SamplePair, polygons: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    result = train.run(options(pair, polygons, model, epochs=None, minutes=0.02), silent)
    assert result.summary["ended"] == "time limit"
    assert read_card(model).training["steps"] == result.summary["steps"] >= 1


def test_stage_one_learns_first_and_only_its_prior_stays(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    model, events = tmp_path / "m.safetensors", list[Event]()
    train.run(options(pair, polygons, model, stage1="on", fusion="sum"), events.append)
    bundle = load_bundle(model)
    assert bundle.card.arguments == {"fusion": "sum", "prior": True}
    assert bundle.card.training["stage_one"]["steps"] == 3
    names = list(bundle.network.state_dict())
    assert any(n.startswith("prior.") for n in names)
    assert not any("depth_heads" in n for n in names)
    assert [t for t in texts(events) if t.startswith("Stage I: 3 steps on unlabelled pixels")]
    progress = [e.fraction for e in events if isinstance(e, Progress)]
    assert progress == sorted(progress)


def test_stage_one_leaves_time_for_the_labels(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    given = options(pair, polygons, model, stage1="on", epochs=None, minutes=0.01)
    result = train.run(given, silent)
    assert result.summary["ended"] == "time limit"
    assert read_card(model).training["stage_one"]["steps"] >= 1


def test_a_trained_base_needs_no_stage_one(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    model, events = tmp_path / "m.safetensors", list[Event]()
    given = options(pair, polygons, model, stage1="on", base="landsat-5class", epochs=1)
    train.run(given, events.append)
    said = "Stage I is left out: the base model's branches have learned already."
    assert said in texts(events)
    assert read_card(model).arguments == read_card(find_model("landsat-5class")).arguments


def test_several_scenes_come_from_a_list(pair: SamplePair, polygons: Path, tmp_path: Path) -> None:
    other = make_pair(tmp_path / "other", seed=8)
    squares = make_polygons(other)
    scenes, model = tmp_path / "scenes.csv", tmp_path / "m.safetensors"
    scenes.write_text(
        "ms,pan,samples,class_field,group\n"
        f"{pair.ms},{pair.pan},{polygons},cover,first\n"
        f"other/{other.ms.name},other/{other.pan.name},other/{squares.name},,second\n"
    )
    given = TrainOptions(
        output=str(model), scenes=str(scenes), class_field="cover", epochs=1, device="cpu"
    )
    train.run(given, silent)
    data = read_card(model).training["data"]
    assert [(d["group"], d["class_field"]) for d in data] == [
        ("first", "cover"),
        ("second", "cover"),
    ]


def test_the_text_says_what_the_model_is_worth() -> None:
    text = train.as_text(
        {
            "model": "m", "network": "adcdnet", "classes": ["Water", "Wood"], "seconds": 61.2,
            "ended": "all epochs", "best_epoch": 3, "epochs": 4,
            "accuracy": {
                "oa": 0.905, "aa": 0.88, "kappa": None, "pixels": 12345,
                "f1": {"Water": 0.95, "Wood": None},
            },
        }
    )  # fmt: skip
    assert text == (
        "model              m (adcdnet), 2 classes: Water, Wood\n"
        "training           all epochs; epoch 3 of the 4 trained, 61 s\n"
        "validation         12,345 pixels of the map\n"
        "overall accuracy   90.5%\n"
        "average accuracy   88.0%\n"
        "kappa              –\n"
        "  F1 Water         95.0%\n"
        "  F1 Wood          –"
    )


def test_bands_without_names_get_constants(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    plain, model = tmp_path / "plain.tif", tmp_path / "m.safetensors"
    with rasterio.open(pair.ms) as file:
        with rasterio.open(plain, "w", **file.profile) as target:
            target.write(file.read())
        dark, bright = np.percentile(file.read(1).astype(float), [2, 98])
    given = options(pair, polygons, model, epochs=1)
    train.run(TrainOptions(**{**given.__dict__, "ms": str(plain)}), silent)
    card = read_card(model)
    assert card.band_roles == tuple(f"band {n}" for n in range(1, 7))
    assert card.radiometry["kind"] == "fixed"
    # The MS is resampled onto the PAN grid, so its percentiles are near, not equal.
    assert card.radiometry["ms_offset"][0] == pytest.approx(dark, rel=0.02)
    assert card.radiometry["ms_scale"][0] == pytest.approx(1 / (bright - dark), rel=0.1)
    assert json.loads(card.to_json())["bands"][0]["center_um"] == 0.0
