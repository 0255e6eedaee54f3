"""What `make demo` shows stays worth showing: the shipped model knows the sample's land cover."""

from __future__ import annotations

import rasterio
from rasterio.windows import from_bounds
from sklearn.metrics import balanced_accuracy_score

from panloom.engine.recipes import classify
from panloom.engine.sample.pair import write_sample_pair


def test_the_shipped_model_agrees_with_the_sample(tmp_path):
    pair = write_sample_pair(tmp_path)
    output = tmp_path / "map.tif"
    options = classify.ClassifyOptions(
        str(pair.ms), str(pair.pan), str(output), "landsat-5class", device="cpu"
    )
    classify.run(options, lambda event: None)
    with rasterio.open(output) as file:
        mapped, bounds = file.read(1), file.bounds
    with rasterio.open(pair.truth) as file:
        truth = file.read(1, window=from_bounds(*bounds, file.transform))
    assert mapped.shape == truth.shape
    # 0.93 with the first shipped model; a model that lost a class or a wrong grid falls below.
    assert balanced_accuracy_score(truth.ravel(), mapped.ravel()) > 0.8
