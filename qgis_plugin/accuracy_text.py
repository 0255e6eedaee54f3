"""The main figures of an assessment as lines for the log.

Standard library only, Python 3.9.
"""

from __future__ import annotations

from typing import Any, Optional


def accuracy_lines(summary: dict[str, Any]) -> list[str]:
    """Return a line for each figure in ``panloom assess``'s summary that exists.

    Accuracies are in percent; ± is half of the 95 % confidence interval.
    """
    lines = [f"Samples compared: {summary['samples']:,} ({summary['kind']})"]
    if summary["map_nodata_samples"]:
        lines.append(f"Left out, on the map's nodata: {summary['map_nodata_samples']:,}")
    for title, name, percent in (
        ("Overall accuracy", "oa", True),
        ("Overall accuracy, weighted by mapped area", "weighted_oa", True),
        ("Average accuracy of the classes", "aa", True),
        ("Kappa", "kappa", False),
    ):
        if summary[name] is not None:
            figure = _figure(summary[name], summary.get(f"{name}_half"), percent)
            lines.append(f"{title}: {figure}")
    return lines


def _figure(value: float, half: Optional[float], percent: bool) -> str:
    scale, digits, unit = (100, 1, " %") if percent else (1, 3, "")
    spread = "" if half is None else f" ± {half * scale:.{digits}f}"
    return f"{value * scale:.{digits}f}{spread}{unit}"
