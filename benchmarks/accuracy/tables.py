"""Results as Markdown tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from methods import METHODS
from scoring import confusion, kappa

from panloom.engine.assessment.confusion import ConfusionMatrix

LANDSAT8 = ("alabama", "liverpool", "momotombo")
Scores = dict[str, ConfusionMatrix]
"""Confusion matrices by scene."""


def landsat_tables(results: Path) -> None:
    """Write ``landsat.md`` from the results of every method that has been run."""
    bodies = _bodies(results)
    scores = {
        method: [
            {n: confusion(s["matrix"]) for n, s in run["scenes"].items()}
            for run in body["seeds"].values()
        ]
        for method, body in bodies.items()
    }
    lines = [
        "# Landsat, five classes: each path/row held out once",
        "",
        "Balanced accuracy is the mean recall over the classes that a scene has; mean over scenes,",
        "± the standard deviation over seeds (trainings). The three Landsat-8 scenes are held out",
        "together: those methods have seen no Landsat 8. Labels are interior pixels of one photo-",
        "interpretation: use them to compare methods, never as the accuracy of a map.",
        "",
        *_overall(bodies, scores),
        "",
        "## Mean balanced accuracy of each held-out group",
        "",
        *_groups(bodies, scores),
        "",
        "## F1 of each class over all pixels held out",
        "",
        *_classes(bodies, scores),
    ]
    (results / "landsat.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _bodies(results: Path) -> dict[str, Any]:
    return {
        m: json.loads((results / f"{m}.json").read_text(encoding="utf-8"))
        for m in METHODS
        if (results / f"{m}.json").is_file()
    }


def _overall(bodies: dict[str, Any], scores: dict[str, list[Scores]]) -> list[str]:
    lines = [
        "| method | steps | seeds | Landsat 7 | worst scene | Landsat 8 | OA | kappa | CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method, runs in scores.items():
        body = bodies[method]
        seconds = [run["cpu_seconds"] for run in body["seeds"].values()]
        cells = [
            method,
            str(body["steps"] or "–"),
            str(len(runs)),
            spread([np.mean([s.balanced_accuracy for s in _landsat7(r)]) for r in runs]),
            spread([min(s.balanced_accuracy for s in _landsat7(r)) for r in runs]),
            spread([np.mean([r[n].balanced_accuracy for n in LANDSAT8]) for r in runs]),
            spread([np.mean([s.oa for s in r.values()]) for r in runs]),
            spread([np.mean([kappa(s) for s in r.values()]) for r in runs]),
            f"{np.mean(seconds):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _groups(bodies: dict[str, Any], scores: dict[str, list[Scores]]) -> list[str]:
    scenes = next(iter(next(iter(bodies.values()))["seeds"].values()))["scenes"]
    names: dict[str, list[str]] = {}
    for name, scene in scenes.items():
        group = scene["group"]
        names.setdefault(group, []).append(name)
    lines = [
        "| method | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for method, runs in scores.items():
        cells = [
            spread([np.mean([run[n].balanced_accuracy for n in members]) for run in runs])
            for members in names.values()
        ]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def _classes(bodies: dict[str, Any], scores: dict[str, list[Scores]]) -> list[str]:
    classes = next(iter(bodies.values()))["classes"]
    lines = ["| method | " + " | ".join(classes) + " |", "|---|" + "---|" * len(classes)]
    for method, runs in scores.items():
        f1 = [confusion(sum(s.counts for s in run.values())).f1 for run in runs]
        lines.append(f"| {method} | " + " | ".join(spread(list(v)) for v in zip(*f1)) + " |")
    return lines


def spread(values: list[Any]) -> str:
    """Return "mean ± standard deviation", the latter from two values up."""
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.3f}"


def _landsat7(run: Scores) -> list[ConfusionMatrix]:
    return [score for name, score in run.items() if name not in LANDSAT8]
