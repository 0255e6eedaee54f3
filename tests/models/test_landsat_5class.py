"""The shipped model: its card, its exact tiling, and that it knows its own data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from panloom.engine.grid import Window
from panloom.engine.radiometry import Radiometry, fit_radiometry
from panloom.engine.scene.pair import ScenePair
from panloom.models.bundle import ModelBundle, load_bundle
from panloom.models.file import find_model
from panloom.models.folding import fold_batch_norm


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return load_bundle(find_model("landsat-5class"))


def test_the_card_says_what_the_model_needs(bundle: ModelBundle) -> None:
    card = bundle.card
    assert card.band_roles == ("blue", "green", "red", "nir", "swir1", "swir2")
    assert (card.ratio, card.gsd_range_m) == (2, (20.0, 40.0))
    assert card.classes.names == {
        1: "Water",
        2: "Woody vegetation",
        3: "Green herbaceous",
        4: "Bare or dry ground",
        5: "Built-up",
    }
    assert {"data", "seed", "date", "versions"} <= set(card.training)
    assert 0.3 < card.temperature < 3
    assert "clouds" in card.intended_use
    assert find_model("landsat-5class").stat().st_size < 10_000_000


def _logits(
    bundle: ModelBundle, radiometry: Radiometry, pair: ScenePair, window: Window
) -> torch.Tensor:
    tile = pair.read(window)
    masks = [torch.from_numpy(m)[None, None] for m in (tile.ms_valid, tile.pan_valid)]
    ms, pan = radiometry.apply(
        torch.from_numpy(tile.ms)[None], torch.from_numpy(tile.pan)[None], *masks
    )
    with torch.inference_mode():
        return bundle.network(ms.contiguous(memory_format=torch.channels_last), pan)


@pytest.mark.parametrize("name", ["landsat7_pairs/20", "landsat8_liverpool/"])
def test_logits_are_the_same_bits_in_every_tile(
    bundle: ModelBundle, data_dir: Path, name: str
) -> None:
    stem, aligned = (name + "_", "_aligned") if name[-1].isdigit() else (name, "")
    ms, pan = data_dir / f"{stem}ms.tif", data_dir / f"{stem}pan{aligned}.tif"
    network = bundle.network
    halo = network.halo_px + network.halo_px % network.lattice_px
    edge = halo * 2
    with ScenePair.open(str(ms), str(pan), ratio=2) as pair:
        sample = pair.sample()
        radiometry = fit_radiometry(bundle.card.radiometry, sample.ms, sample.pan)
        whole = _logits(bundle, radiometry, pair, Window(96, 32, 160, 192).grow(halo))
        for inner in (Window(96, 32, 64, 64), Window(160, 96, 96, 128), Window(254, 222, 2, 2)):
            part = _logits(bundle, radiometry, pair, inner.grow(halo))[..., edge:-edge, edge:-edge]
            row, col = (inner.row - 32) * 2 + edge, (inner.col - 96) * 2 + edge
            same = whole[..., row : row + 2 * inner.height, col : col + 2 * inner.width]
            assert torch.equal(part, same)


def test_labelled_pixels_of_a_training_scene_are_recognized(data_dir: Path) -> None:
    """A guard against weights, card and radiometry that do not belong together."""
    import rasterio

    bundle = load_bundle(find_model("landsat-5class"))
    fold_batch_norm(bundle.network)
    folder = data_dir / "landsat7_pairs"
    with rasterio.open(folder / "33_labels.tif") as source:
        labels = source.read(1)[100:300, 150:350]
    ms, pan = folder / "33_ms.tif", folder / "33_pan_aligned.tif"
    with ScenePair.open(str(ms), str(pan), ratio=2) as pair:
        sample = pair.sample()
        radiometry = fit_radiometry(bundle.card.radiometry, sample.ms, sample.pan)
        logits = _logits(bundle, radiometry, pair, Window(150, 100, 200, 200))
    codes = np.array(bundle.card.classes.codes)[logits[0].argmax(0).numpy()][::2, ::2]
    recalls = [(codes[labels == k] == k).mean() for k in np.unique(labels[labels > 0])]
    assert min(recalls) > 0.9
