"""The card of a model trained on one's own samples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from ...models.card import ModelCard
from ...models.classes import ClassScheme
from ..manifest import versions
from .crops import CropOptions
from .plan import ModelPlan
from .scene_list import SceneSource
from .scenes import LabelledScene
from .validation import Evaluation

_SPLITS = {
    "blocks": "blocks of the scene that were kept apart from training, with a buffer between",
    "random": "samples drawn at random; their neighbors were trained on, so this flatters",
    "none": "none: every sample was trained on",
}
"""How the accuracy was obtained, by the option ``--validation``."""


@dataclass(frozen=True)
class TrainingFacts:
    """What a card tells of its training, beside the plan; no path leaves the machine."""

    name: str
    sources: tuple[SceneSource, ...]
    crops: CropOptions
    seed: int
    device: str
    validation: str
    pixels: dict[str, int]
    statistics: dict[str, Any]
    stage_one: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """How far a training is: epochs done, the epoch whose weights these are, and why it ended."""

    epochs: int
    best_epoch: int
    steps: int
    ended: str


def make_card(
    plan: ModelPlan, facts: TrainingFacts, standing: Standing, evaluation: Evaluation | None
) -> ModelCard:
    """Return the card; without an evaluation nothing is said of accuracy and T is 1."""
    base = None if plan.base is None else plan.base.card
    names = sorted({_file_names(s.ms) for s in facts.sources})
    metrics: dict[str, Any] = {"method": _method(facts.validation, evaluation)}
    return ModelCard(
        name=facts.name,
        title=f"{len(plan.classes)} classes, trained on {_listed(names)}",
        network=plan.choice.name,
        arguments=plan.choice.arguments,
        bands=plan.bands,
        ratio=plan.ratio,
        gsd_range_m=plan.gsd_range_m,
        radiometry=plan.radiometry,
        classes=plan.classes,
        training={
            "data": [_source(s) for s in facts.sources],
            "date": date.today().isoformat(),
            "seed": facts.seed,
            **asdict(standing),
            "base": None if base is None else _origin(base),
            "stage_one": facts.stage_one,
            "augmentation": asdict(facts.crops),
            "device": facts.device,
            "versions": versions(),
            "pixels": facts.pixels,
        },
        statistics=facts.statistics,
        metrics=metrics if evaluation is None else {**metrics, **evaluation.metrics()},
        temperature=map_temperature(evaluation),
        license="not stated",
        intended_use="Scenes of the sensor, season and region that it was trained on.",
    )


def model_name(path: str | Path) -> str:
    """Return the name that a model in ``path`` gets: its stem in the signs that names may have."""
    text = re.sub(r"[^a-z0-9._-]+", "-", Path(path).stem.lower()).strip("._-")
    return text[:64] or "model"


def class_pixels(scenes: Sequence[LabelledScene], classes: ClassScheme) -> dict[str, int]:
    """Return how many labelled MS pixels of each class the scenes have."""
    return {
        c.name: int(sum((s.labels == index).sum() for s in scenes))
        for index, c in enumerate(classes.classes)
    }


def input_statistics(
    scenes: Sequence[LabelledScene], radiometry: dict[str, Any]
) -> dict[str, list[float]]:
    """Return mean and standard deviation of the network's input for each band, over all scenes."""
    parts = []
    for scene in scenes:
        found = scene.radiometry(radiometry)
        offset, scale = (np.array(v)[:, None] for v in (found.ms_offset, found.ms_scale))
        parts.append(np.clip((scene.sample_ms[:, ::10] - offset) * scale, *found.limits))
    values = np.concatenate(parts, axis=1)
    return {
        "input_mean": [round(float(v), 4) for v in values.mean(axis=1)],
        "input_std": [round(float(v), 4) for v in values.std(axis=1)],
    }


def map_temperature(evaluation: Evaluation | None) -> float:
    """Return the calibrated temperature, at least 1.

    Samples are mostly the clear inner parts of what they show, a map is not: below 1 a model would
    be surer of a whole map than it has reason to be.
    """
    return 1.0 if evaluation is None else max(1.0, round(evaluation.temperature, 3))


def _method(split: str, evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return f"not known; validation: {_SPLITS[split if split == 'none' else 'none']}"
    return (
        f"map pixels (PAN grid) on {_SPLITS[split]}; chosen on them too, and labels of one source: "
        "no measure of a map's accuracy"
    )


def _source(source: SceneSource) -> dict[str, str]:
    files = {key: _file_names(getattr(source, key)) for key in ("ms", "pan", "samples")}
    return {**files, "class_field": source.class_field or "", "group": source.group}


def _file_names(spec: str) -> str:
    return ",".join(Path(part.partition("|")[0]).name for part in spec.split(","))


def _origin(base: ModelCard) -> dict[str, str]:
    return {"name": base.name, "weights_sha256": base.weights_sha256, "license": base.license}


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
