"""Accuracy of the network and of a random forest on path/rows that they have never seen.

    python benchmarks/accuracy/landsat.py network forest-dark-object forest-stretch

Every path/row, and every Landsat-8 scene, is held out once. With ``--split scene`` every fourth
scene is held out instead, while its neighbors of the same day and path/row stay in training: this
is easier, and no measure of how a model travels. Results of a method go to
``benchmarks/results/<split>/<method>.json`` and the table of all methods beside them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from forest import SCALINGS, forest_map, train_forest
from landsat_data import CLASSES, load_scenes
from recipe import RADIOMETRY, train_on
from scoring import Score, scene_logits, score, to_ms_grid

RESULTS = Path(__file__).resolve().parents[1] / "results"
METHODS = ("network", *(f"forest-{s}" for s in SCALINGS))
STEPS = 1000
KEPT_PIXELS = 2000
"""Labelled pixels per scene whose logits are kept to calibrate the temperature."""


def main() -> None:
    """Run the methods asked for, fold by fold, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="+", choices=METHODS)
    parser.add_argument("--split", choices=("path-row", "scene"), default="path-row")
    parser.add_argument("--workers", type=int, default=3, help="folds at a time, a core each")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    held_out = _folds(options.split)
    results = RESULTS / options.split
    for method in options.methods:
        began = time.monotonic()
        folds = [(method, names, options.steps, options.seed) for names in held_out]
        with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
            parts = pool.imap_unordered(_run_fold, folds, chunksize=1)
            scenes = {name: found for part in parts for name, found in part.items()}
        _save(method, scenes, options, time.monotonic() - began)
        (results / "landsat.md").write_text(_table(results), encoding="utf-8")
    print(_table(results))


def _folds(split: str) -> list[tuple[str, ...]]:
    """Return the names of the scenes that are held out together."""
    scenes = load_scenes()
    if split == "path-row":
        groups = list(dict.fromkeys(s.group for s in scenes))
        return [tuple(s.name for s in scenes if s.group == g) for g in groups]
    return [tuple(s.name for s in scenes[start::4]) for start in range(4)]


def _run_fold(fold: tuple[str, tuple[str, ...], int, int]) -> dict[str, Any]:
    """Train without some scenes and return the results on them by name."""
    method, names, steps, seed = fold
    torch.set_num_threads(1)
    scenes = load_scenes()
    known = [s for s in scenes if s.name not in names]
    held_out = [s for s in scenes if s.name in names]
    found: dict[str, Any] = {}
    if method == "network":
        network = train_on(known, steps, seed, names[0])
    else:
        scaling = method.removeprefix("forest-")
        forest = train_forest(known, scaling, len(CLASSES), seed)
    for scene in held_out:
        if method == "network":
            logits = scene_logits(network, scene, scene.radiometry(RADIOMETRY))
            logits = to_ms_grid(logits, scene.ratio)
            predicted = logits.argmax(axis=0)
            kept = _kept_logits(logits, scene.labels)
        else:
            predicted, kept = forest_map(forest, scene, scaling), {}
        matrix = score(predicted, scene.labels, len(CLASSES)).matrix
        found[scene.name] = {"group": scene.group, "matrix": matrix.tolist(), **kept}
        print(method, scene.name, f"{Score(matrix).balanced:.3f}", flush=True)
    return found


def _kept_logits(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    known = np.flatnonzero(labels.ravel() >= 0)
    some = known[:: max(1, len(known) // KEPT_PIXELS)]
    values = logits.reshape(len(logits), -1)[:, some].T
    return {"logits": values.round(3).tolist(), "targets": labels.ravel()[some].tolist()}


def _save(method: str, scenes: dict[str, Any], options: argparse.Namespace, seconds: float) -> None:
    results = RESULTS / options.split
    results.mkdir(parents=True, exist_ok=True)
    if method == "network":
        held = {n: {k: s.pop(k) for k in ("logits", "targets")} for n, s in scenes.items()}
        (results / "held-out-logits.json").write_text(json.dumps(held), encoding="utf-8")
    body = {
        "method": method,
        "date": date.today().isoformat(),
        "seed": options.seed,
        "steps": options.steps if method == "network" else None,
        "seconds": round(seconds),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "classes": [c.name for c in CLASSES.classes],
        "scenes": dict(sorted(scenes.items())),
    }
    (results / f"{method}.json").write_text(
        json.dumps(body, separators=(",", ":")), encoding="utf-8"
    )


def _table(results: Path) -> str:
    """Return the results of every method that has been run, as Markdown."""
    bodies = {
        m: json.loads((results / f"{m}.json").read_text(encoding="utf-8"))
        for m in METHODS
        if (results / f"{m}.json").is_file()
    }
    scores = {
        m: {n: Score(np.array(s["matrix"])) for n, s in body["scenes"].items()}
        for m, body in bodies.items()
    }
    first = next(iter(bodies.values()))
    lines = [
        f"# Landsat scenes, each held out: split by {results.name}",
        "",
        "Balanced accuracy (mean recall over the classes that a scene has); OA and kappa of the",
        "network beside it. Labels are interior pixels of one photo-interpretation: use them to",
        "compare methods, never as the accuracy of a map.",
        "",
        *(f"- {m}: {_origin(body)}" for m, body in bodies.items()),
        "",
        "| scene | group | " + " | ".join(bodies) + " | OA | kappa |",
        "|---|---|" + "---|" * (len(bodies) + 2),
    ]
    for name, scene in first["scenes"].items():
        cells = [f"{scores[m][name].balanced:.3f}" for m in bodies]
        own = next(iter(scores.values()))[name]
        lines.append(
            f"| {name} | {scene['group']} | "
            + " | ".join([*cells, f"{own.oa:.3f}", f"{own.kappa:.3f}"])
            + " |"
        )
    lines += ["", "| | " + " | ".join(bodies) + " |", "|---|" + "---|" * len(bodies)]
    for title, wanted in (("Landsat 7", True), ("Landsat 8", False)):
        values = [
            [v.balanced for n, v in scores[m].items() if n.isdigit() == wanted] for m in bodies
        ]
        lines.append(f"| {title}, mean | " + " | ".join(f"{np.mean(v):.3f}" for v in values) + " |")
        lines.append(f"| {title}, worst | " + " | ".join(f"{min(v):.3f}" for v in values) + " |")
    return "\n".join(lines) + "\n"


def _origin(body: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in body["versions"].items())
    steps = f", {body['steps']} steps" if body["steps"] else ""
    return f"{body['date']}, seed {body['seed']}{steps}, {body['seconds']} s, {versions}"


if __name__ == "__main__":
    main()
