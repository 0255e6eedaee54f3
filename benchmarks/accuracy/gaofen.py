"""Gaofen-2 at ratio 4, pairs by Wald's protocol: networks, single branches, pixel classifiers.

    python benchmarks/accuracy/gaofen.py

The test is at PAN resolution, on the 150 validation patches (which share scenes with training).
With ``--choosing``, to choose a recipe by, it is on a fifth of the training patches, which are kept
from the training, and nothing is written. Results: ``benchmarks/results/gaofen``. The data may not
train weights that are given away.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import platform
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from baselines import deviation
from gaofen_data import BANDS, CLASSES, RATIO, CropRecipe, Image, PairCrops, Pairs, hide
from methods import NetworkMethod
from numpy.typing import NDArray
from scipy.ndimage import sobel, uniform_filter, zoom
from scoring import confusion, kappa, score
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from tables import spread

from panloom.engine.assessment.confusion import mean
from panloom.engine.training.loop import Clock, TrainingOptions, train
from panloom.engine.training.scenes import UNLABELLED
from panloom.models.contract import FusionNetwork
from panloom.models.networks import build_network

RESULTS = Path(__file__).resolve().parents[1] / "results" / "gaofen"
STEPS = 1500
"""Steps of a network's training, if not told otherwise."""
RECIPE = CropRecipe(light=0.02, band=0.01, haze=0.003, by_class=False)
"""The best of three tried with ``--choosing``: there is one sensor, and its scenes are known."""
NETWORKS = {
    **{n: NetworkMethod(n) for n in ("adcdnet", "cafmnet", "danet", "dsnet", "mscn")},
    "adcdnet, PAN only": NetworkMethod(),
    "adcdnet, MS only": NetworkMethod(),
}
CLASSIFIERS = ("forest", "boosting")
METHODS = (*NETWORKS, *CLASSIFIERS)
PIXELS = 120_000
"""Training pixels of a pixel classifier."""
Job = tuple[str, int, Optional[int], bool]
"""Method, seed, steps (None for a classifier), whether it is for choosing a recipe."""


def main() -> None:
    """Run every method and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"of {', '.join(METHODS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--workers", type=int, default=3, help="trainings at a time, a core each")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each network's training")
    parser.add_argument("--choosing", action="store_true", help="test on training patches only")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "gaofen.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.is_file() else []
    done = [] if options.choosing else [(r["method"], r["seed"], r["steps"], False) for r in runs]
    wanted: list[Job] = [
        (m, s, options.steps if m in NETWORKS else None, options.choosing)
        for s in options.seeds
        for m in options.methods or METHODS
    ]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for found in pool.imap_unordered(_run, [job for job in wanted if job not in done]):
            if options.choosing:
                continue
            runs.append(found)
            body = {
                "date": date.today().isoformat(),
                "versions": {"python": platform.python_version(), "torch": torch.__version__},
                "runs": runs,
            }
            path.write_text(json.dumps(body, separators=(",", ":")), encoding="utf-8")
            (RESULTS / "gaofen.md").write_text(_table(body), encoding="utf-8")


@functools.cache
def _pairs(part: str) -> Pairs:
    return Pairs(part)


def _run(job: Job) -> dict[str, Any]:
    """Train one method and return its confusion matrix; the pixels counted are PAN's."""
    name, seed, steps, choosing = job
    torch.set_num_threads(1)
    began = time.process_time()
    parts = ("train-most", "train-rest") if choosing else ("train", "validation")
    known, test = (_pairs(part) for part in parts)
    if steps is None:
        predicted = _classifier_maps(name, seed, known, test)
    else:
        predicted = _network_maps(name, seed, steps, known, test)
    found = score(predicted, test.labels, len(CLASSES))
    seconds = round(time.process_time() - began)
    print(*job, f"OA {found.oa:.3f}, mIoU {mean(found.iou):.3f}, {seconds} s", flush=True)
    return {
        "method": name,
        "seed": seed,
        "steps": steps,
        "recipe": None if steps is None else asdict(RECIPE),
        "cpu_seconds": seconds,
        "matrix": found.counts.tolist(),
    }


def _network_maps(name: str, seed: int, steps: int, known: Pairs, test: Pairs) -> NDArray[np.int64]:
    method = NETWORKS[name]
    keep = {"PAN only": "PAN", "MS only": "MS"}.get(name.partition(", ")[2], "both")

    def build() -> FusionNetwork:
        return build_network(
            method.network, method.arguments, bands=BANDS, ratio=RATIO, classes=len(CLASSES)
        )

    source = PairCrops(known, keep, seed, RECIPE)
    options = TrainingOptions(steps=steps, seed=seed)
    network = train(build, source, options, Clock(100, name))
    maps = []
    with torch.inference_mode():
        for ms, pan in zip(test.ms, test.pan, strict=True):
            both = hide(torch.from_numpy(ms)[None], torch.from_numpy(pan)[None], keep)
            maps.append(_logits(network, *both).argmax(axis=0))
    return np.stack(maps)


def _logits(network: Any, ms: torch.Tensor, pan: torch.Tensor) -> NDArray[np.float32]:
    """Return logits (K, 224, 224) of a patch, reflected around as at a scene's border."""
    edge = min(-(-network.halo_px // network.lattice_px) * network.lattice_px, ms.shape[-1] // 2)
    edge = edge // network.lattice_px * network.lattice_px
    ms = torch.nn.functional.pad(ms, (edge,) * 4, mode="reflect")
    pan = torch.nn.functional.pad(pan, (edge * RATIO,) * 4, mode="reflect")
    cut = slice(edge * RATIO, -edge * RATIO or None)
    logits: NDArray[np.float32] = network(ms, pan)[0, :, cut, cut].numpy()
    return logits


def _classifier_maps(name: str, seed: int, known: Pairs, test: Pairs) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    features, targets = [], []
    each = PIXELS // len(known.labels)
    for ms, pan, labels in zip(known.ms, known.pan, known.labels, strict=True):
        chosen = rng.permutation(np.flatnonzero(labels.ravel() != UNLABELLED))[:each]
        features.append(_features(ms, pan[0])[chosen])
        targets.append(labels.ravel()[chosen])
    model = (
        RandomForestClassifier(
            100, min_samples_leaf=2, class_weight="balanced_subsample", random_state=seed
        )
        if name == "forest"
        else HistGradientBoostingClassifier(class_weight="balanced", random_state=seed)
    )
    model.fit(np.concatenate(features), np.concatenate(targets))
    maps = [
        model.predict(_features(ms, pan[0])).reshape(pan.shape[-2:])
        for ms, pan in zip(test.ms, test.pan, strict=True)
    ]
    return np.stack(maps)


def _features(ms: Image, pan: Image) -> Image:
    """Return (pixels, 13): bands and their means around, PAN, its texture and edges."""
    fine = [zoom(band, RATIO, order=1, mode="nearest", grid_mode=True) for band in ms]
    layers = [
        *fine,
        *(uniform_filter(band, 33) for band in fine),
        pan,
        *(deviation(pan, size) for size in (3, 7, 15, 31)),
        uniform_filter(np.hypot(sobel(pan, 0), sobel(pan, 1)), 7),
        uniform_filter(pan, 15),
    ]
    return np.stack(layers, axis=-1).reshape(-1, len(layers)).astype(np.float32)


def _table(body: dict[str, Any]) -> str:
    lines = [
        "# Gaofen-2 (GID-5), ratio 4 by Wald's protocol",
        "",
        f"{body['date']}. Steps of 8 crops; crops are a side in MS pixels, the relative deviation",
        "of their light, and what is drawn first, a class or a patch. Tested on 150 patches at PAN",
        "resolution; they share scenes with the training, so this compares methods and says",
        "nothing about other scenes.",
        "",
        "| method | steps | crops | seeds | mIoU | OA | kappa | "
        + " | ".join(CLASSES)
        + " | CPU s |",
        "|---|---|---|---|---|---|---|" + "---|" * (len(CLASSES) + 1),
    ]
    together: dict[tuple[int, str, int, str], list[dict[str, Any]]] = {}
    for run in body["runs"]:
        method = run["method"]
        key = METHODS.index(method), method, run["steps"] or 0, _crops(run["recipe"])
        together.setdefault(key, []).append(run)
    for (_, method, steps, crops), runs in sorted(together.items()):
        matrices = [confusion(r["matrix"]) for r in runs]
        cells = [
            method,
            str(steps or "–"),
            crops,
            str(len(runs)),
            spread([mean(m.iou) for m in matrices]),
            spread([m.oa for m in matrices]),
            spread([kappa(m) for m in matrices]),
            *(f"{v:.3f}" for v in np.mean([m.iou for m in matrices], axis=0)),
            f"{np.mean([r['cpu_seconds'] for r in runs]):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Per class: intersection over union."]) + "\n"


def _crops(recipe: dict[str, Any] | None) -> str:
    if recipe is None:
        return "–"
    by = "class" if recipe["by_class"] else "patch"
    return f"{recipe['crop_px']}, {recipe['light']:.0%}, by {by}"


if __name__ == "__main__":
    main()
