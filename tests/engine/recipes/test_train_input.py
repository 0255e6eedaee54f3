"""What a training cannot work with: a sentence, before anything is trained or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rasterio

from panloom.engine.errors import InputError
from panloom.engine.recipes import train
from panloom.engine.recipes.train import TrainOptions
from panloom.engine.sample.pair import SamplePair
from panloom.models.networks import NETWORKS

from .training_samples import options, silent

pytestmark = pytest.mark.usefixtures("short_epochs")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"network": "alexnet"},
            "There is no network `alexnet`; {networks} are known. Choose one of them with "
            "`--network`.",
        ),
        (
            {"fusion": "magic"},
            "There is no fusion `magic`; cafm, concat, dual_attention, gated, msaf, msc, sum are "
            "known. Choose one of them with `--fusion`.",
        ),
        (
            {"base": "landsat-5class", "network": "mscn"},
            "The base model `landsat-5class` is of network `adcdnet`; `--network mscn` would be "
            "another one. Leave `--network` out, or train without `--base`.",
        ),
        (
            {"base": "landsat-5class", "fusion": "sum"},
            "The base model `landsat-5class` has the fusion `concat`; `--fusion sum` would be "
            "another one. Leave `--fusion` out, or train without `--base`.",
        ),
    ],
)
def test_what_does_not_go_together_is_a_sentence(
    pair: SamplePair, polygons: Path, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        train.run(options(pair, polygons, tmp_path / "m.safetensors", **given), silent)
    assert str(caught.value) == said.format(networks=", ".join(NETWORKS))
    assert list(tmp_path.iterdir()) == []


def test_a_model_file_has_its_extension(pair: SamplePair, polygons: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        train.run(options(pair, polygons, tmp_path / "m.pt"), silent)
    assert str(caught.value) == (
        "The model `m.pt` would not be a .safetensors file. Give it the extension .safetensors."
    )


def test_a_base_with_other_bands_is_a_sentence_before_the_training(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    three = tmp_path / "three.tif"
    with rasterio.open(pair.ms) as file:
        profile = {**file.profile, "count": 3}
        with rasterio.open(three, "w", **profile) as target:
            target.write(file.read([1, 2, 3]))
    given = options(pair, polygons, tmp_path / "m.safetensors", base="landsat-5class")
    with pytest.raises(InputError) as caught:
        train.run(TrainOptions(**{**given.__dict__, "ms": str(three)}), silent)
    assert str(caught.value) == (
        "`three.tif` has 3 bands; model `landsat-5class` needs 6 (blue, green, red, nir, swir1, "
        "swir2). Give exactly these bands in this order, as one raster, a VRT, or one file per "
        "band joined by commas."
    )
