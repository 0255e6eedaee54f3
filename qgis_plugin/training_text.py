"""How a training went, as lines for the log.

Standard library only, Python 3.9.
"""

from __future__ import annotations

from typing import Any


def training_lines(summary: dict[str, Any]) -> list[str]:
    """Return lines from ``panloom train``'s summary: how it ended, and what the model is worth.

    Accuracies are in percent, and those of the samples that were kept apart from training.
    """
    kept = f"the model is that of epoch {summary['best_epoch']} of {summary['epochs']}"
    lines = [f"Training ended ({summary['ended']}): {kept}."]
    accuracy = summary["accuracy"]
    if accuracy is None:
        return [*lines, "Accuracy: not known, since no sample was kept apart from training."]
    lines.append(f"Validation: {accuracy['pixels']:,} pixels kept apart from training")
    for title, name in (("Overall accuracy", "oa"), ("Average accuracy of the classes", "aa")):
        if accuracy[name] is not None:
            lines.append(f"{title}: {_percent(accuracy[name])}")
    if accuracy["kappa"] is not None:
        lines.append(f"Kappa: {accuracy['kappa']:.3f}")
    return [*lines, *(_class_line(name, f1) for name, f1 in accuracy["f1"].items())]


def _class_line(name: str, f1: Any) -> str:
    return f"F1 of {name}: " + ("no such pixel was kept apart" if f1 is None else _percent(f1))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
