"""What ``panloom train`` tells at its end, as values and as text."""

from __future__ import annotations

from typing import Any

from ...models.card import ModelCard
from .fit import Outcome
from .plan import ModelPlan

_LABEL_WIDTH, _LONGEST_NAME = 18, 24


def make_summary(
    plan: ModelPlan, outcome: Outcome, written: ModelCard, seconds: float
) -> dict[str, Any]:
    """Return how the training went, which took ``seconds``, and what the written model is worth."""
    evaluation, standing = outcome.evaluation, outcome.standing
    return {
        "model": written.name,
        "network": plan.choice.name,
        "arguments": plan.choice.arguments,
        "classes": [c.name for c in plan.classes.classes],
        "accuracy": None if evaluation is None else evaluation.metrics(),
        "temperature": written.temperature,
        "epochs": standing.epochs,
        "best_epoch": standing.best_epoch,
        "steps": standing.steps,
        "ended": standing.ended,
        "cancelled": outcome.cancelled,
        "seconds": round(seconds, 1),
    }


def as_text(summary: dict[str, Any]) -> str:
    """Return a summary for people: two columns, the first as wide as its labels.

    Class names are cut at 24 characters.
    """
    rows = [*_training_rows(summary), *_accuracy_rows(summary["accuracy"])]
    width = max(_LABEL_WIDTH, *(len(label) for label, _ in rows))
    return "\n".join(f"{label:<{width}} {text}" for label, text in rows)


def _training_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    classes = summary["classes"]
    return [
        (
            "model",
            f"{summary['model']} ({summary['network']}), {len(classes)} classes: "
            f"{', '.join(classes)}",
        ),
        (
            "training",
            f"{summary['ended']}; epoch {summary['best_epoch']} of the {summary['epochs']} "
            f"trained, {summary['seconds']:.0f} s",
        ),
    ]


def _accuracy_rows(accuracy: dict[str, Any] | None) -> list[tuple[str, str]]:
    if accuracy is None:
        return [("accuracy", "not known: no sample was kept apart")]
    return [
        ("validation", f"{accuracy['pixels']:,} pixels of the map"),
        ("overall accuracy", _percent(accuracy["oa"])),
        ("average accuracy", _percent(accuracy["aa"])),
        ("kappa", "–" if accuracy["kappa"] is None else f"{accuracy['kappa']:.3f}"),
        *((f"  F1 {_cut(name)}", _percent(value)) for name, value in accuracy["f1"].items()),
    ]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1].rstrip()}…"
