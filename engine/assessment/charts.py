"""Charts of an accuracy report as HTML and SVG: heat map, bars of classes, areas with intervals."""

from __future__ import annotations

import math
from html import escape

from .area_estimation import AreaEstimates
from .confusion import ConfusionMatrix
from .figures import Assessment

_RIGHT, _WRONG = (28, 107, 74), (176, 42, 72)
_DARK_FROM = 0.55
_NAME_LENGTH = 26
_MANY = 8


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as percent without its sign, an en dash where there is none."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def swatch(color: str) -> str:
    """Return a small square of a class's color."""
    return f'<i class="swatch" style="background:{color}"></i>'


def class_name(name: str, color: str) -> str:
    """Return a class's color and escaped name."""
    return f'<span class="class">{swatch(color)}{escape(name)}</span>'


def heat_map(assessment: Assessment) -> str:
    """Return the confusion matrix as a table: rows reference, columns map, shades by row share."""
    matrix, colors = assessment.matrix, assessment.scheme.colors
    names = [
        class_name(name, colors[code])
        for code, name in zip(matrix.codes, matrix.names, strict=True)
    ]
    head = "".join(f"<th scope='col'>{name}</th>" for name in names)
    rows = "".join(_heat_row(matrix, i, name) for i, name in enumerate(names))
    totals = "".join(f"<td>{n:,}</td>" for n in matrix.map_totals)
    users = "".join(f"<td>{percent(v)}</td>" for v in matrix.users_accuracy)
    size = len(names)
    many = " many" if size > _MANY else ""
    return (
        f'<div class="wide"><table class="heat{many}"><thead>'
        f'<tr><th></th><th colspan="{size}" class="axis">in the map</th><th></th><th></th></tr>'
        f'<tr><th class="axis left">in the reference</th>{head}<th>samples</th>'
        "<th>found, %<small>producer's accuracy</small></th></tr></thead>"
        f"<tbody>{rows}</tbody><tfoot>"
        f"<tr><th>samples</th>{totals}<td>{matrix.total:,}</td><td></td></tr>"
        f"<tr><th>right, %<small>user's accuracy</small></th>{users}<td></td>"
        f"<td><b>{percent(matrix.oa)}</b></td></tr></tfoot></table></div>"
    )


def _heat_row(matrix: ConfusionMatrix, row: int, name: str) -> str:
    total = matrix.reference_totals[row]
    cells = "".join(
        _heat_cell(int(count), total, row == col) for col, count in enumerate(matrix.counts[row])
    )
    found = percent(matrix.producers_accuracy[row])
    return f"<tr><th scope='row'>{name}</th>{cells}<td>{total:,}</td><td>{found}</td></tr>"


def _heat_cell(count: int, total: int, is_right: bool) -> str:
    if not count:
        return '<td class="cell none">·</td>'
    share = count / total
    shade = 0.10 + 0.85 * share ** (1.0 if is_right else 0.6)  # small errors are to be seen
    red, green, blue = _RIGHT if is_right else _WRONG
    ink = ";color:#fff" if shade > _DARK_FROM else ""
    return (
        f'<td class="cell" style="background:rgba({red},{green},{blue},{shade:.2f}){ink}">'
        f"<b>{count:,}</b><small>{percent(share)} %</small></td>"
    )


def class_table(assessment: Assessment) -> str:
    """Return producer's and user's accuracy, F1 and IoU per class, each with a bar."""
    matrix, colors = assessment.matrix, assessment.scheme.colors
    columns = (matrix.producers_accuracy, matrix.users_accuracy, matrix.f1, matrix.iou)
    rows = []
    for i, (code, name) in enumerate(zip(matrix.codes, matrix.names, strict=True)):
        bars = "".join(_bar(column[i], colors[code]) for column in columns)
        rows.append(
            f"<tr><th scope='row'>{class_name(name, colors[code])}</th>"
            f"<td>{matrix.reference_totals[i]:,}</td><td>{matrix.map_totals[i]:,}</td>{bars}</tr>"
        )
    return (
        '<div class="wide"><table class="figures"><thead><tr><th>class</th>'
        "<th>reference samples</th><th>map samples</th>"
        "<th>found, %<small>producer's accuracy</small></th>"
        "<th>right, %<small>user's accuracy</small></th>"
        "<th>F1, %</th><th>IoU, %</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _bar(value: float | None, color: str) -> str:
    width = 0.0 if value is None else 100 * value
    return (
        f'<td class="bar"><span>{percent(value)}</span>'
        f'<i><u style="width:{width:.1f}%;background:{color}"></u></i></td>'
    )


def area_unit(largest_m2: float, has_crs: bool) -> tuple[float, str]:
    """Return the unit that areas are shown in: (m² in one, name)."""
    if not has_crs:
        return 1.0, "map units²"
    if largest_m2 >= 1e9:
        return 1e6, "km²"
    return (1e4, "ha") if largest_m2 >= 1e5 else (1.0, "m²")


def area_chart(assessment: Assessment, estimates: AreaEstimates) -> str:
    """Return an SVG: per class the mapped area and the estimated one with its 95 % interval."""
    names, colors = assessment.scheme.names, assessment.scheme.colors
    halves = estimates.area_half_interval_m2
    reach = [a + h for a, h in zip(estimates.area_m2, halves, strict=True)]
    largest = max(*reach, *estimates.mapped_m2)
    unit, unit_name = area_unit(largest, assessment.has_crs)
    left, width, band = 190, 520, 46
    step = nice_step(largest / unit)
    top = max(step, math.ceil(largest / unit / step) * step)
    scale = width / (top * unit)
    height = band * len(estimates.codes) + 34
    parts = [_axis(left, scale * unit, step, top, height - 30, unit_name)]
    for i, code in enumerate(estimates.codes):
        y = 8 + band * i
        area, half = estimates.area_m2[i], halves[i]
        parts.append(
            f'<text x="{left - 10}" y="{y + 20}" text-anchor="end">{_short(names[code])}</text>'
            f'<rect x="{left}" y="{y + 2}" width="{scale * estimates.mapped_m2[i]:.1f}" height="9" '
            f'fill="{colors[code]}" opacity=".4"/>'
            f'<rect x="{left}" y="{y + 13}" width="{scale * area:.1f}" height="17" '
            f'fill="{colors[code]}"/>'
        )
        if area:
            low, high = left + scale * max(0.0, area - half), left + scale * (area + half)
            parts.append(
                f'<path class="whisker" d="M{low:.1f} {y + 21.5}H{high:.1f}'
                f'M{low:.1f} {y + 16}v11M{high:.1f} {y + 16}v11"/>'
            )
    return (
        f'<svg class="areas" viewBox="0 0 {left + width + 90} {height}" role="img" '
        f'aria-label="Mapped and estimated areas">{"".join(parts)}</svg>'
    )


def _short(name: str) -> str:
    """Return the escaped name, cut to the room left of the bars."""
    return escape(name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…")


def nice_step(largest: float) -> float:
    """Return 1, 2 or 5 times a power of ten, such that about five steps reach ``largest``."""
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest / 5))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= largest / 5 * 0.999)


def _axis(left: int, scale: float, step: float, top: float, bottom: int, unit: str) -> str:
    lines = []
    for i in range(round(top / step) + 1):
        x = left + scale * step * i
        label = f"{step * i:,.10g}"
        lines.append(
            f'<path class="grid" d="M{x:.1f} 4V{bottom}"/>'
            f'<text class="tick" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>'
        )
    end = left + scale * top + 8
    lines.append(f'<text class="tick" x="{end:.1f}" y="{bottom}">{unit}</text>')
    return "".join(lines)
