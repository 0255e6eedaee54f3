"""Every network trains and can be loaded again; and the field's data sets are taken as they are."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import torch

from panloom.engine.recipes import classify, train
from panloom.engine.recipes.classify import ClassifyOptions
from panloom.engine.recipes.train import TrainOptions
from panloom.engine.sample.pair import SamplePair
from panloom.models.bundle import load_bundle
from panloom.models.file import find_model
from panloom.models.networks import NETWORKS

from .training_samples import make_polygons, options, silent

pytestmark = pytest.mark.usefixtures("short_epochs")


@pytest.fixture
def one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "EPOCH_STEPS", 1)


@pytest.mark.usefixtures("one_step")
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_trains(
    pair: SamplePair, polygons: Path, tmp_path: Path, network: str
) -> None:
    model = tmp_path / "m.safetensors"
    given = options(pair, polygons, model, network=network, epochs=1, validation="none")
    result = train.run(given, silent)
    assert load_bundle(model).card.network == result.summary["network"] == network


def test_a_base_waits_until_its_new_last_layer_has_learned(
    pair: SamplePair, polygons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a first tenth of the steps, here the only one, no weight of the base moves.

    With the same classes nothing waits, and only batch statistics stay as they are.
    """
    monkeypatch.setattr(train, "EPOCH_STEPS", 1)
    base = load_bundle(find_model("landsat-5class")).network.state_dict()
    two, five = make_polygons(pair, (1, 2)), polygons
    renamed = geopandas.read_file(two).replace({"cover": {"Water": "Lake"}})
    renamed.to_file(tmp_path / "renamed.gpkg")
    changed = []
    for samples, epochs in ((tmp_path / "renamed.gpkg", 1), (five, 4)):
        model = tmp_path / f"{epochs}.safetensors"
        more = {"base": "landsat-5class", "epochs": epochs, "validation": "none"}
        train.run(options(pair, samples, model, **more), silent)
        own = load_bundle(model).network.state_dict()
        changed.append({name for name in base if not torch.equal(own[name], base[name])})
    assert changed[0] == {"decoder.classify.weight", "decoder.classify.bias"}
    assert changed[1] > changed[0]
    assert not any("running_" in name for name in changed[1])


@pytest.mark.usefixtures("one_step")
def test_a_base_of_danet_gets_new_heads_for_its_training(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    for model, more in ((first, {"network": "danet"}), (second, {"base": str(first)})):
        given = options(pair, polygons, model, epochs=1, validation="none", **more)
        train.run(given, silent)
    names = [set(load_bundle(m).network.state_dict()) for m in (first, second)]
    assert names[0] == names[1]
    assert not any("branch_heads" in name for name in names[0])


def test_arrays_without_a_place_on_earth_train_and_map(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 4, (5, 6)), np.ones((16, 16), np.int64))
    ms = np.stack([100 + 30 * labels + 5 * band for band in range(4)])
    pan = np.kron(100 + 20 * labels, np.ones((4, 4), np.int64))
    for name, image in (("ms4.tif", ms), ("pan.tif", pan[None])):
        count, height, width = image.shape
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", dtype="uint16", count=count, height=height,
            width=width,
        ) as file:  # fmt: skip
            file.write((image + rng.integers(0, 4, image.shape)).astype(np.uint16))
    np.save(tmp_path / "label.npy", labels)
    ms_file, pan_file, samples, model, target = (
        str(tmp_path / n) for n in ("ms4.tif", "pan.tif", "label.npy", "m.safetensors", "map.tif")
    )
    train.run(
        TrainOptions(
            output=model, ms=ms_file, pan=pan_file, samples=samples, epochs=1, device="cpu",
            validation="random",
        ),
        silent,
    )  # fmt: skip
    card = load_bundle(Path(model)).card
    assert (card.ratio, len(card.bands), card.radiometry["kind"]) == (4, 4, "fixed")
    assert card.classes.codes == (1, 2, 3)
    assert sum(card.training["pixels"].values()) == int((labels > 0).sum())
    classify.run(ClassifyOptions(ms_file, pan_file, target, model, device="cpu"), silent)
    with rasterio.open(target) as file:
        assert file.shape == pan.shape
        assert set(np.unique(file.read(1))) <= {1, 2, 3}
