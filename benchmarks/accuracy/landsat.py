"""Accuracy of networks and of pixel classifiers on path/rows that they have never seen.

    python benchmarks/accuracy/landsat.py adcdnet cafmnet forest-dark-object --seeds 0 1 2

Every Landsat-7 path/row is held out once, and the three Landsat-8 scenes together, which tests
another sensor. Results of a method go to ``benchmarks/results/landsat/<method>.json``, what is
there already is not run again, and the tables of all methods are written beside them.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines import classifier_map, train_classifier
from landsat_data import CLASSES, LANDSAT8, load_scenes
from methods import METHODS, BaselineMethod
from recipe import RADIOMETRY, train_on
from scoring import confusion, scene_logits, score, to_ms_grid
from tables import landsat_tables

from panloom.engine.training.scenes import LabelledScene
from panloom.models.contract import FusionNetwork

RESULTS = Path(__file__).resolve().parents[1] / "results" / "landsat"
HELD_OUT = RESULTS / "held-out-logits.json"
"""Class scores of the shipped recipe on held-out scenes, too large to be kept in the repository."""
KEPT_PIXELS = 2000
"""Labelled pixels per scene whose logits are kept to calibrate the temperature."""
Job = tuple[str, int, tuple[str, ...]]


def main() -> None:
    """Run the methods asked for, fold by fold, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="+", choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=3, help="folds at a time, a core each")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    held_out = folds()
    jobs: list[Job] = [
        (method, seed, names)
        for seed in options.seeds
        for method in options.methods
        if str(seed) not in read(method)["seeds"]
        for names in held_out
    ]
    done: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for method, seed, found in pool.imap(_run_fold, jobs):
            parts = done.setdefault((method, seed), [])
            parts.append(found)
            if len(parts) == len(held_out):
                save(method, seed, parts)
                landsat_tables(RESULTS)


def folds() -> list[tuple[str, ...]]:
    """Return the names of the scenes that are held out together."""
    scenes = labelled_scenes()
    together: dict[str, list[str]] = {}
    for scene in scenes:
        together.setdefault("" if scene.name in LANDSAT8 else scene.group, []).append(scene.name)
    return [tuple(names) for names in together.values()]


@functools.cache
def labelled_scenes() -> list[LabelledScene]:
    """Return every labelled scene, read once."""
    return load_scenes()


def _run_fold(job: Job) -> tuple[str, int, dict[str, Any]]:
    """Train without some scenes and return the results on them by name."""
    name, seed, names = job
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    method, began = METHODS[name], time.process_time()
    known = [s for s in labelled_scenes() if s.name not in names]
    held_out = [s for s in labelled_scenes() if s.name in names]
    found: dict[str, Any] = {}
    if isinstance(method, BaselineMethod):
        model = train_classifier(method.classifier, known, method.scaling, len(CLASSES), seed)
    else:
        model = train_on(known, method, seed, classes=len(CLASSES), name=f"{name} {names[0]}")
    for scene in held_out:
        if isinstance(method, BaselineMethod):
            found[scene.name] = result(scene, classifier_map(model, scene, method.scaling))
        else:
            found[scene.name] = network_result(model, scene)
        shown = confusion(found[scene.name]["matrix"]).balanced_accuracy
        print(name, seed, scene.name, f"{shown:.3f}", flush=True)
    found["seconds"] = time.process_time() - began
    return name, seed, found


def network_result(network: FusionNetwork, scene: LabelledScene) -> dict[str, Any]:
    """Return what a network finds in a scene that it has not seen."""
    logits = scene_logits(network, scene, scene.radiometry(RADIOMETRY))
    logits = to_ms_grid(logits, scene.ratio)
    return {**result(scene, logits.argmax(axis=0)), **_kept_logits(logits, scene.labels)}


def result(scene: LabelledScene, predicted: np.ndarray) -> dict[str, Any]:
    """Return the agreement of a map of class indices with a scene's labels, as JSON values."""
    matrix = score(predicted, scene.labels, len(CLASSES))
    return {"group": scene.group, "matrix": matrix.counts.tolist()}


def _kept_logits(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    known = np.flatnonzero(labels.ravel() >= 0)
    some = known[:: max(1, len(known) // KEPT_PIXELS)]
    values = logits.reshape(len(logits), -1)[:, some].T
    return {"logits": values.round(3).tolist(), "targets": labels.ravel()[some].tolist()}


def save(method: str, seed: int, parts: list[dict[str, Any]]) -> None:
    """Add a seed's results on all folds to those of the method."""
    seconds = sum(part.pop("seconds") for part in parts)
    scenes = {name: found for part in parts for name, found in sorted(part.items())}
    held = {n: {k: s.pop(k) for k in ("logits", "targets") if k in s} for n, s in scenes.items()}
    if method == "landsat-5class" and seed == 0:
        HELD_OUT.write_text(json.dumps(held), encoding="utf-8")
    body = read(method)
    body["seeds"][str(seed)] = {
        "date": date.today().isoformat(),
        "cpu_seconds": round(seconds),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "scenes": scenes,
    }
    text = json.dumps(body, separators=(",", ":"))
    (RESULTS / f"{method}.json").write_text(text, encoding="utf-8")


def read(method: str) -> dict[str, Any]:
    """Return the results of a method as they are so far."""
    path = RESULTS / f"{method}.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    return {
        "method": method,
        "steps": getattr(METHODS[method], "steps", None),
        "classes": [c.name for c in CLASSES.classes],
        "seeds": {},
    }


if __name__ == "__main__":
    main()
