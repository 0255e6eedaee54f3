"""Results as Markdown tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from methods import METHODS
from numpy.typing import NDArray
from scoring import Score

LANDSAT8 = ("alabama", "liverpool", "momotombo")
Scores = dict[str, Score]
"""Scores by scene."""


def landsat_tables(results: Path) -> None:
    """Write ``landsat.md`` from the results of every method that has been run."""
    bodies = _bodies(results)
    scores = {
        method: [
            {n: Score(np.array(s["matrix"])) for n, s in run["scenes"].items()}
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
            spread([np.mean([s.balanced for s in _landsat7(r)]) for r in runs]),
            spread([min(s.balanced for s in _landsat7(r)) for r in runs]),
            spread([np.mean([r[n].balanced for n in LANDSAT8]) for r in runs]),
            spread([np.mean([s.oa for s in r.values()]) for r in runs]),
            spread([np.mean([s.kappa for s in r.values()]) for r in runs]),
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
            spread([np.mean([run[n].balanced for n in members]) for run in runs])
            for members in names.values()
        ]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def _classes(bodies: dict[str, Any], scores: dict[str, list[Scores]]) -> list[str]:
    classes = next(iter(bodies.values()))["classes"]
    lines = ["| method | " + " | ".join(classes) + " |", "|---|" + "---|" * len(classes)]
    for method, runs in scores.items():
        sums = [sum(s.matrix for s in run.values()) for run in runs]
        each = [
            [2 * m[k, k] / (m[k].sum() + m[:, k].sum()) for m in sums] for k in range(len(classes))
        ]
        lines.append(f"| {method} | " + " | ".join(spread(values) for values in each) + " |")
    return lines


def _f1(matrix: NDArray[np.int64], k: int) -> float:
    return float(2 * matrix[k, k] / (matrix[k].sum() + matrix[:, k].sum()))


def spread(values: list[Any]) -> str:
    """Return "mean ± standard deviation", the latter from two values up."""
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.3f}"


def _landsat7(run: Scores) -> list[Score]:
    return [score for name, score in run.items() if name not in LANDSAT8]
