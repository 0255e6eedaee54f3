"""Gaofen-2 at ratio 4, pairs by Wald's protocol: networks, single branches, pixel classifiers.

    python benchmarks/accuracy/gaofen.py

PAN is the mean of the three bands at full resolution; MS are the bands, blurred by a Gaussian whose
response at the Nyquist frequency of the MS is 0.3, one pixel of four. Labels stay at full
resolution, and so does the test on the 150 validation patches (which share scenes with training).
Results: ``benchmarks/results/gaofen``. The data may not train weights that are given away.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import multiprocessing
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines import deviation
from landsat_data import data_folder
from methods import NetworkMethod
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, sobel, uniform_filter, zoom
from scoring import confusion, kappa, score
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from tables import spread

from panloom.engine.assessment.confusion import mean
from panloom.engine.training.crops import Batch
from panloom.engine.training.loop import Clock, TrainingOptions, train
from panloom.engine.training.scenes import UNLABELLED
from panloom.models.contract import FusionNetwork
from panloom.models.networks import build_network

RESULTS = Path(__file__).resolve().parents[1] / "results" / "gaofen"
RATIO, BANDS = 4, 3
CLASSES = ("built-up", "farmland", "forest", "meadow", "water")
STEPS, CROP_PX = 300, 32
NETWORKS = {
    **{n: NetworkMethod(n) for n in ("adcdnet", "cafmnet", "danet", "dsnet", "mscn")},
    "adcdnet, PAN only": NetworkMethod(),
    "adcdnet, MS only": NetworkMethod(),
}
CLASSIFIERS = ("forest", "boosting")
METHODS = (*NETWORKS, *CLASSIFIERS)
PIXELS = 120_000
"""Training pixels of a pixel classifier."""
Image = NDArray[np.float32]


class Pairs:
    """All patches of one part: ms (n, 3, 56, 56), pan (n, 1, 224, 224) in 0…1, labels at PAN."""

    def __init__(self, part: str) -> None:
        with np.load(data_folder() / "gaofen2_gid5" / f"{part}.npz") as file:
            images, labels = file["images"], file["labels"]
        fine = images.astype(np.float32) / 255
        self.pan = fine.mean(axis=-1)[:, None]
        self.ms = _decimated(fine).transpose(0, 3, 1, 2)
        self.labels = labels.astype(np.int64) - 1  # 0, unlabelled, becomes −1


class PairCrops:
    """An endless supply of batches from ``Pairs``; the same seed gives the same batches."""

    def __init__(self, pairs: Pairs, keep: str, seed: int) -> None:
        self.pairs, self.keep = pairs, keep
        self.rng = np.random.default_rng(seed)
        self._with = [
            np.flatnonzero((pairs.labels == k).any(axis=(1, 2))) for k in range(len(CLASSES))
        ]

    def batch(self, size: int) -> Batch:
        """Return ``size`` crops, one class after the other in turn by chance."""
        crops = [self._crop(int(self.rng.integers(len(CLASSES)))) for _ in range(size)]
        ms, pan, labels = (torch.from_numpy(np.stack(x)) for x in zip(*crops, strict=True))
        ms, pan = hide(ms, pan, self.keep)
        return Batch(ms.contiguous(memory_format=torch.channels_last), pan, labels)

    def _crop(self, k: int) -> tuple[Image, Image, NDArray[np.int64]]:
        rng, number = self.rng, int(self.rng.choice(self._with[k]))
        room = self.pairs.ms.shape[-1] - CROP_PX
        top, left = (int(rng.integers(room + 1)) for _ in range(2))
        fine = np.s_[
            ..., top * RATIO : (top + CROP_PX) * RATIO, left * RATIO : (left + CROP_PX) * RATIO
        ]
        ms = self.pairs.ms[number][..., top : top + CROP_PX, left : left + CROP_PX]
        light = float(np.exp(rng.normal(0, 0.1)))
        gain = np.exp(rng.normal(0, 0.05, (BANDS, 1, 1))) * light
        ms = (ms * gain + rng.normal(0, 0.02, (BANDS, 1, 1))).astype(np.float32)
        pan = (self.pairs.pan[number][fine] * light + rng.normal(0, 0.02)).astype(np.float32)
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        images = [np.rot90(x, turns, (-2, -1)) for x in (ms, pan, self.pairs.labels[number][fine])]
        ms, pan, labels = (np.ascontiguousarray(x[..., ::-1] if flip else x) for x in images)
        return ms, pan, labels


def hide(ms: torch.Tensor, pan: torch.Tensor, keep: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both; the one that is not to be kept is made from the other and so says nothing new.

    Zeros instead would have no variance, which batch normalization cannot take.
    """
    if keep == "PAN":
        return torch.nn.functional.avg_pool2d(pan, RATIO).expand_as(ms).contiguous(), pan
    if keep == "MS":
        return ms, torch.nn.functional.interpolate(ms.mean(1, keepdim=True), scale_factor=RATIO)
    return ms, pan


def main() -> None:
    """Run every method and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"of {', '.join(METHODS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--workers", type=int, default=3, help="trainings at a time, a core each")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "gaofen.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"] if path.is_file() else []
    done = {(r["method"], r["seed"]) for r in runs}
    wanted = [(m, s) for s in options.seeds for m in options.methods or METHODS]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for found in pool.imap_unordered(_run, [job for job in wanted if job not in done]):
            runs.append(found)
            body = {
                "date": date.today().isoformat(),
                "steps": STEPS,
                "versions": {"python": platform.python_version(), "torch": torch.__version__},
                "runs": runs,
            }
            path.write_text(json.dumps(body, separators=(",", ":")), encoding="utf-8")
            (RESULTS / "gaofen.md").write_text(_table(body), encoding="utf-8")


@functools.cache
def _pairs(part: str) -> Pairs:
    return Pairs(part)


def _run(job: tuple[str, int]) -> dict[str, Any]:
    name, seed = job
    torch.set_num_threads(1)
    began = time.process_time()
    test = _pairs("validation")
    if name in NETWORKS:
        predicted = _network_maps(name, seed, test)
    else:
        predicted = _classifier_maps(name, seed, test)
    found = score(predicted, test.labels, len(CLASSES))
    seconds = round(time.process_time() - began)
    print(name, seed, f"{found.oa:.3f} {mean(found.iou):.3f}, {seconds} s", flush=True)
    return {"method": name, "seed": seed, "cpu_seconds": seconds, "matrix": found.counts.tolist()}


def _network_maps(name: str, seed: int, test: Pairs) -> NDArray[np.int64]:
    method = NETWORKS[name]
    keep = {"PAN only": "PAN", "MS only": "MS"}.get(name.partition(", ")[2], "both")

    def build() -> FusionNetwork:
        return build_network(
            method.network, method.arguments, bands=BANDS, ratio=RATIO, classes=len(CLASSES)
        )

    source = PairCrops(_pairs("train"), keep, seed)
    options = TrainingOptions(steps=STEPS, seed=seed)
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


def _classifier_maps(name: str, seed: int, test: Pairs) -> NDArray[np.int64]:
    train_pairs, rng = _pairs("train"), np.random.default_rng(seed)
    features, targets = [], []
    each = PIXELS // len(train_pairs.labels)
    for ms, pan, labels in zip(train_pairs.ms, train_pairs.pan, train_pairs.labels, strict=True):
        known = np.flatnonzero(labels.ravel() != UNLABELLED)
        chosen = rng.permutation(known)[:each]
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


def _decimated(fine: Image) -> Image:
    """Return (n, h/4, w/4, 3): exp(−(2πσf)²/2) = 0.3 at f = 1 / (2 · ratio) gives σ in pixels."""
    sigma = RATIO / math.pi * math.sqrt(-2 * math.log(0.3))
    blurred = gaussian_filter(fine, (0, sigma, sigma, 0), mode="reflect")
    # A pixel at the center of each block: the mean of the four in its middle.
    near = RATIO // 2
    middle = [blurred[:, near - a :: RATIO, near - b :: RATIO] for a in (0, 1) for b in (0, 1)]
    decimated: Image = np.mean(middle, axis=0, dtype=np.float32)
    return decimated


def _table(body: dict[str, Any]) -> str:
    lines = [
        "# Gaofen-2 (GID-5), ratio 4 by Wald's protocol",
        "",
        f"{body['date']}, {body['steps']} steps of 8 crops of {CROP_PX} × {CROP_PX} MS pixels.",
        "Tested on 150 patches at PAN resolution; they share scenes with the training, so this",
        "compares methods and says nothing about other scenes.",
        "",
        "| method | seeds | mIoU | OA | kappa | " + " | ".join(CLASSES) + " | CPU s |",
        "|---|---|---|---|---|" + "---|" * (len(CLASSES) + 1),
    ]
    for method in METHODS:
        runs = [r for r in body["runs"] if r["method"] == method]
        if not runs:
            continue
        matrices = [confusion(r["matrix"]) for r in runs]
        cells = [
            method,
            str(len(runs)),
            spread([mean(m.iou) for m in matrices]),
            spread([m.oa for m in matrices]),
            spread([kappa(m) for m in matrices]),
            *(f"{v:.3f}" for v in np.mean([m.iou for m in matrices], axis=0)),
            f"{np.mean([r['cpu_seconds'] for r in runs]):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Per class: intersection over union."]) + "\n"


if __name__ == "__main__":
    main()
