"""Train the shipped model ``landsat-5class`` on every labelled scene and write it with its card.

    python benchmarks/accuracy/landsat.py landsat-5class --seeds 0
    python benchmarks/accuracy/ship.py

Accuracies and the temperature come from the held-out predictions of ``landsat.py``.
"""

from __future__ import annotations

import argparse
import json
import platform
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from landsat import HELD_OUT, RESULTS
from landsat_data import BANDS, CLASSES, LANDSAT8, RATIO, load_scenes
from methods import METHODS, NetworkMethod
from recipe import CROPS, RADIOMETRY, train_on
from scoring import confusion

from panloom.engine.training.scenes import LabelledScene
from panloom.engine.training.trained_card import class_pixels, input_statistics
from panloom.models.bundle import save_model
from panloom.models.card import ModelCard
from panloom.models.contract import FusionNetwork

TARGET = Path(__file__).resolve().parents[2] / "models" / "weights" / "landsat-5class.safetensors"
DATA = (
    "32 Landsat-7 ETM+ pairs of six path/rows (Colorado 2001, south-eastern Australia 1999 and "
    "2000; imagery public domain, USGS; collection sjtrny/FuseBox, MIT) and three Landsat-8 scenes "
    "(Liverpool, CC0; Alabama, MIT; Momotombo, CC0; imagery public domain, USGS); labels by "
    "photo-interpretation of this project"
)
INTENDED_USE = (
    "Landsat 7 and 8 (30 m, six bands) with their 15 m PAN, top-of-atmosphere DN or surface "
    "reflectance, growing season, mid-latitudes. There is no class for clouds, snow or shadow: "
    "clouds become bare ground or built-up, their shadows water or woody vegetation; mask them "
    "first. Dark rock such as lava is taken for woody vegetation or built-up. Trees and gardens "
    "inside towns are part of either class. Accuracies are for interior pixels of one "
    "interpretation, not of a map."
)


def main() -> None:
    """Train, calibrate, and write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    scenes, method = load_scenes(), METHODS["landsat-5class"]
    assert isinstance(method, NetworkMethod)
    network = train_on(scenes, method, options.seed, classes=len(CLASSES), name="all scenes")
    write(network, scenes, method, options.seed)


def write(
    network: FusionNetwork, scenes: list[LabelledScene], method: NetworkMethod, seed: int
) -> None:
    """Save the network with its card."""
    card = ModelCard(
        name="landsat-5class",
        title="Five land-cover classes from Landsat 7 and 8",
        network=method.network,
        arguments=method.arguments,
        bands=BANDS,
        ratio=RATIO,
        gsd_range_m=(20.0, 40.0),
        radiometry=RADIOMETRY,
        classes=CLASSES,
        training={
            "data": DATA,
            "date": date.today().isoformat(),
            "seed": seed,
            "steps": method.steps,
            "augmentation": {**CROPS.__dict__, "crop_px": method.crop_px},
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "pixels": class_pixels(scenes, CLASSES),
        },
        statistics=input_statistics(scenes, RADIOMETRY),
        metrics=_metrics(),
        temperature=round(_temperature(), 3),
        license="CC0-1.0",
        citation="Panloom, landsat-5class",
        intended_use=INTENDED_USE,
    )
    saved = save_model(TARGET, network, card)
    TARGET.chmod(0o644)
    print(saved.weights_sha256, saved.temperature, saved.metrics)


def _metrics() -> dict[str, Any]:
    body = json.loads((RESULTS / "landsat-5class.json").read_text(encoding="utf-8"))
    runs = body["seeds"].values()
    scores = [{n: confusion(s["matrix"]) for n, s in r["scenes"].items()} for r in runs]
    names = list(scores[0])
    each = {n: float(np.mean([run[n].balanced_accuracy for run in scores])) for n in names}
    landsat7 = [value for name, value in each.items() if name not in LANDSAT8]
    return {
        "method": f"networks of {body['steps']} steps, each Landsat-7 path/row held out once, "
        f"the Landsat-8 scenes together; trainings of each: {len(scores)}; balanced accuracy on "
        "interior pixels of one photo-interpretation",
        "landsat7_mean": round(float(np.mean(landsat7)), 4),
        "landsat7_worst": round(min(landsat7), 4),
        **{f"landsat8_{name}": round(each[name], 4) for name in LANDSAT8},
    }


def _temperature() -> float:
    """Return the temperature with the least mean cross-entropy per scene, held out."""
    held = json.loads(HELD_OUT.read_text(encoding="utf-8")).values()
    scenes = [(torch.tensor(s["logits"]), torch.tensor(s["targets"])) for s in held]
    candidates = np.exp(np.linspace(np.log(0.3), np.log(4), 80))
    losses = [np.mean([float(F.cross_entropy(x / t, y)) for x, y in scenes]) for t in candidates]
    return float(candidates[int(np.argmin(losses))])


if __name__ == "__main__":
    main()
