"""What the mean of the weights is worth: several means of the same trainings on held-out path/rows.

    python benchmarks/accuracy/averages.py --seeds 0 1 2

A mean does not change the training that it is taken of. So one training gives the results of the
shipped recipe and of every method in ``AVERAGES``, the same as ``landsat.py`` gives for each alone,
and the difference between two of them is free of what one training differs from the next.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from landsat import RESULTS, folds, labelled_scenes, network_result, read, save
from landsat_data import CLASSES
from methods import AVERAGES, SHIPPED
from recipe import train_on
from tables import landsat_tables

from panloom.engine.training.weight_mean import WeightMean
from panloom.models.contract import FusionNetwork

NAMES = ("landsat-5class", *AVERAGES)


def main() -> None:
    """Train fold by fold, one core, and write the results of every mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--parts", type=Path, help="folder of results and weights by fold, to go on after a stop"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in options.seeds:
        wanted = [name for name in NAMES if str(seed) not in read(name)["seeds"]]
        if not wanted:
            continue
        parts = [_fold(seed, held_out, options.parts) for held_out in folds()]
        for name in wanted:
            save(name, seed, [part[name] for part in parts])
        landsat_tables(RESULTS)


def _fold(seed: int, names: tuple[str, ...], parts: Path | None) -> dict[str, dict[str, Any]]:
    """Return the results of every mean on the scenes of one fold."""
    file = parts / f"{seed}-{names[0]}.json" if parts else None
    if file is not None and file.is_file():
        found: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return found
    began = time.process_time()
    networks = _train([s for s in labelled_scenes() if s.name not in names], seed, names[0])
    seconds = time.process_time() - began
    found = {}
    for name, network in networks.items():
        began = time.process_time()
        found[name] = {
            s.name: network_result(network, s) for s in labelled_scenes() if s.name in names
        }
        found[name]["seconds"] = seconds + time.process_time() - began
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({n: m.state_dict() for n, m in networks.items()}, file.with_suffix(".pt"))
        file.write_text(json.dumps(found), encoding="utf-8")
    print(f"seed {seed}, held out {names[0]}: {seconds:.0f} s", flush=True)
    return found


def _train(scenes: list[Any], seed: int, name: str) -> dict[str, FusionNetwork]:
    """Return every mean of the weights of one training, by the name of its method."""
    means: dict[str, WeightMean] = {}

    def watch(step: int, network: FusionNetwork) -> None:
        for other, method in AVERAGES.items():
            if step == 0:
                means[other] = WeightMean(network, method.average_share, warm=method.warm_average)
            means[other].take(network, step, SHIPPED.steps)

    shipped = train_on(scenes, SHIPPED, seed, classes=len(CLASSES), name=name, watch=watch)
    return {NAMES[0]: shipped, **{other: mean.finished() for other, mean in means.items()}}


if __name__ == "__main__":
    main()
