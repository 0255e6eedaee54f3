"""Accuracy within one scene: trained on a few polygons of it, tested on other parts of it.

    python benchmarks/accuracy/in_scene.py

Liverpool's rectangles are split as they come, into training and test. In the other scenes small
polygons are cut from the labels on the black fields of a checkerboard, and all labels of the white
fields are the test, without a margin around the black ones. The fine-tuned network starts from one
that was trained on other path/rows (`BASE_GROUPS`). Results: ``benchmarks/results/in-scene``.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import platform
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from baselines import classifier_map, train_classifier
from landsat_data import CLASSES, data_folder, load_scenes
from methods import BaselineMethod, NetworkMethod
from numpy.typing import NDArray
from recipe import RADIOMETRY, fine_tune_on, train_on
from safetensors.torch import load_file, save_file
from scipy.ndimage import binary_erosion, label
from scoring import confusion, scene_logits, score, to_ms_grid
from tables import spread

from panloom.engine.training.crops import CropOptions
from panloom.engine.training.scenes import UNLABELLED, LabelledScene
from panloom.models.contract import FusionNetwork

RESULTS = Path(__file__).resolve().parents[1] / "results" / "in-scene"
FIELD_PX, MARGIN_PX = 64, 16
POLYGONS, POLYGON_PX = 4, 8
"""Training polygons of each class, and their longest side in MS pixels."""
BASE_GROUPS = ("090/083", "091/083", "092/086", "093/085")
BASE_STEPS, STEPS = 500, 200
SCENES = ("liverpool-rectangles", "33", "04", "liverpool")
NETWORKS = {
    "adcdnet, from scratch": NetworkMethod(steps=STEPS),
    "adcdnet, stage I": NetworkMethod(arguments={"prior": True}, stage_one_steps=100, steps=STEPS),
    "adcdnet, fine-tuned": NetworkMethod(steps=STEPS),
}
BASELINES = {n: BaselineMethod(n, "dark-object") for n in ("forest", "boosting", "svm")}
METHODS: dict[str, NetworkMethod | BaselineMethod] = {**NETWORKS, **BASELINES}
CROPS = CropOptions(light=0.05, band=0.04, haze=0.01, part_share=0.0)
Split = tuple[LabelledScene, NDArray[np.int64], int]
"""A scene with its training labels, the test labels, the number of classes."""


def main() -> None:
    """Run every method on every scene and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=3, help="trainings at a time, a core each")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    base = RESULTS / "base.safetensors"
    if not base.is_file():
        _train_base(base)
    path = RESULTS / "in-scene.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.is_file() else []
    done = {(r["scene"], r["method"], r["seed"]) for r in runs}
    jobs = [(s, m, seed) for seed in options.seeds for s in SCENES for m in METHODS]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for found in pool.imap(_run, [job for job in jobs if job not in done]):
            runs.append(found)
            body = {
                "date": date.today().isoformat(),
                "steps": STEPS,
                "base": {"groups": BASE_GROUPS, "steps": BASE_STEPS},
                "versions": {"python": platform.python_version(), "torch": torch.__version__},
                "runs": runs,
            }
            path.write_text(json.dumps(body, separators=(",", ":")), encoding="utf-8")
            (RESULTS / "in-scene.md").write_text(_table(body), encoding="utf-8")


def _train_base(path: Path) -> None:
    torch.set_num_threads(1)
    scenes = [s for s in _scenes().values() if s.group in BASE_GROUPS]
    method = NetworkMethod(steps=BASE_STEPS)
    network = train_on(scenes, method, 0, classes=len(CLASSES), name="base")
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)


@functools.cache
def _scenes() -> dict[str, LabelledScene]:
    return {s.name: s for s in load_scenes()}


def _run(job: tuple[str, str, int]) -> dict[str, Any]:
    """Train one method on one scene and return its confusion matrix on the test labels."""
    name, method_name, seed = job
    torch.set_num_threads(1)
    scene, test, classes = _split(name, seed)
    method, began = METHODS[method_name], time.process_time()
    if isinstance(method, BaselineMethod):
        model = train_classifier(method.classifier, [scene], method.scaling, classes, seed)
        predicted = classifier_map(model, replace(scene, labels=test), method.scaling)
    else:
        network = _network(method_name, method, scene, classes, seed)
        logits = scene_logits(network, scene, scene.radiometry(RADIOMETRY))
        predicted = to_ms_grid(logits, scene.ratio).argmax(axis=0)
    found = score(predicted, test, classes)
    print(*job, f"{found.balanced_accuracy:.3f}", flush=True)
    return {
        "scene": name,
        "method": method_name,
        "seed": seed,
        "cpu_seconds": round(time.process_time() - began),
        "training_pixels": int((scene.labels != UNLABELLED).sum()),
        "matrix": found.counts.tolist(),
    }


def _network(
    name: str, method: NetworkMethod, scene: LabelledScene, classes: int, seed: int
) -> FusionNetwork:
    if name.endswith("fine-tuned"):
        state = load_file(RESULTS / "base.safetensors")
        return fine_tune_on(
            [scene], state, method, seed, classes=classes, crops=CROPS, same_classes=classes == 5
        )
    return train_on([scene], method, seed, classes=classes, crops=CROPS, name=name)


def _split(name: str, seed: int) -> Split:
    if name == "liverpool-rectangles":
        return _rectangles()
    scene = _scenes()[name]
    rows, cols = np.indices(scene.labels.shape)
    black = (rows // FIELD_PX + cols // FIELD_PX) % 2 == 0
    near = ~binary_erosion(black, iterations=MARGIN_PX, border_value=1) & black
    rng = np.random.default_rng(seed)
    training = np.full_like(scene.labels, UNLABELLED)
    for k in range(len(CLASSES)):
        for patch in _polygons((scene.labels == k) & black & ~near, rng):
            training[patch] = k
    test = np.where(black, UNLABELLED, scene.labels)
    # A class without training polygons cannot be tested.
    test[~np.isin(test, np.unique(training))] = UNLABELLED
    return replace(scene, labels=training), test, len(CLASSES)


def _polygons(mask: NDArray[np.bool_], rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Return up to POLYGONS small pieces of ``mask``, each of one connected area."""
    areas, count = label(mask)
    sizes = np.bincount(areas.ravel(), minlength=count + 1)
    large = [a for a in rng.permutation(np.arange(1, count + 1)) if sizes[a] >= 6][:POLYGONS]
    pieces = []
    for area in large:
        row, col = rng.choice(np.argwhere(areas == area))
        window = np.zeros_like(mask)
        half = POLYGON_PX // 2
        window[max(0, row - half) : row + half, max(0, col - half) : col + half] = True
        pieces.append(window & (areas == area))
    return pieces


def _rectangles() -> Split:
    path = data_folder() / "landsat8_liverpool" / "labels_photointerp_ms.tif"
    with rasterio.open(path) as source:
        codes, split = source.read()
    index = codes.astype(np.int64) - 1
    scene = _scenes()["liverpool"]
    invalid = ~scene.ms_valid[:: scene.ratio, :: scene.ratio]
    training, test = (np.where((split == part) & ~invalid, index, UNLABELLED) for part in (1, 2))
    return replace(scene, labels=training), test, int(codes.max())


def _table(body: dict[str, Any]) -> str:
    lines = [
        "# Within one scene: trained on a few polygons, tested elsewhere in it",
        "",
        f"{body['date']}, {body['steps']} steps, base {body['base']['steps']} steps on path/rows",
        f"{', '.join(body['base']['groups'])}. Mean ± standard deviation over seeds of the",
        "balanced accuracy; overall accuracy in brackets. Seeds choose other polygons, except for",
        "the rectangles, which are fixed.",
        "",
    ]
    scenes = list(dict.fromkeys(r["scene"] for r in body["runs"]))
    lines += [
        "| method | " + " | ".join(scenes) + " | mean |",
        "|---|" + "---|" * (len(scenes) + 1),
    ]
    for method in METHODS:
        cells, means = [], []
        for scene in scenes:
            runs = [r for r in body["runs"] if (r["scene"], r["method"]) == (scene, method)]
            if not runs:
                cells.append("–")
                continue
            scores = [confusion(r["matrix"]) for r in runs]
            balanced = [s.balanced_accuracy for s in scores]
            cells.append(f"{spread(balanced)} ({np.mean([s.oa for s in scores]):.3f})")
            means.append(np.mean(balanced))
        lines.append(
            f"| {method} | " + " | ".join(cells) + f" | {np.mean(means or [np.nan]):.3f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
