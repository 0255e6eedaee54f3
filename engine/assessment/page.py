"""The report of ``panloom assess``: one page that stands alone, without script, font or network."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from pathlib import Path

import numpy as np
import rasterio

from ..labels.tally import POINTS
from ..version import __version__
from .caveats import caveats
from .charts import area_chart, area_unit, class_name, class_table, heat_map, percent
from .confusion import Z_95, mean
from .figures import Assessment, half_interval
from .page_style import STYLE


@dataclass(frozen=True)
class PageFacts:
    """Where the figures come from: both files, the map's size, CRS and model, and the time."""

    map: str
    reference: str
    class_field: str | None
    size_px: tuple[int, int]
    crs: str
    model: str | None
    created: str

    @classmethod
    def of(cls, map_path: str, reference: str, class_field: str | None) -> PageFacts:
        """Read what the map says of itself."""
        with rasterio.open(map_path) as dataset:
            return cls(
                map=map_path,
                reference=reference,
                class_field=class_field,
                size_px=(dataset.width, dataset.height),
                crs=dataset.crs.to_string() if dataset.crs else "none",
                model=dataset.tags().get("PANLOOM_MODEL"),
                created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            )


def assess_page(
    assessment: Assessment, facts: PageFacts, picture: bytes, error_color: tuple[int, int, int]
) -> str:
    """Return the whole HTML document; ``picture`` is a PNG with errors in ``error_color``."""
    name = escape(Path(facts.map).name)
    reference = escape(Path(facts.reference.split("|")[0]).name)
    parts = [
        f"<header><h1>How accurate is {name}?</h1>"
        f'<p class="lead">{_lead(assessment)} Compared with <b>{reference}</b>.</p></header>',
        _headline(assessment),
        "<h2>What was taken for what</h2>" + heat_map(assessment),
        '<p class="note">Each row is a reference class; shades and small figures are shares of the '
        "row. Green is right, red is wrong.</p>",
        "<h2>Class by class</h2>" + class_table(assessment),
        "<h2>Where it is right and wrong</h2>" + _picture(assessment, picture, error_color),
        _areas(assessment),
        "<h2>Keep in mind</h2><ul class='caveats'>"
        + "".join(f"<li>{escape(text)}</li>" for text in caveats(assessment))
        + "</ul>",
        "<h2>Where this comes from</h2>" + _sources(assessment, facts),
        f"<footer>Panloom {__version__} · {facts.created}</footer>",
    ]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Accuracy of {name}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _lead(assessment: Assessment) -> str:
    """Say in words what the matrix says: how many are right, and the largest confusion."""
    matrix = assessment.matrix
    unit = "points" if assessment.kind == POINTS else "reference pixels"
    text = f"The map shows the right class at {matrix.correct:,} of {matrix.total:,} {unit}."
    wrong = matrix.counts.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return text
    row, col = np.unravel_index(int(wrong.argmax()), wrong.shape)
    share = wrong[row, col] / wrong.sum()
    taken, shown = escape(matrix.names[row]), escape(matrix.names[col])
    return (
        f"{text} The most frequent error, {percent(float(share), 0)} % of all: <b>{taken}</b> "
        f"shown as <b>{shown}</b>."
    )


def _headline(assessment: Assessment) -> str:
    matrix, estimates = assessment.matrix, assessment.estimates
    # Pixels of an area are no independent samples; figures that treat them so say it.
    alone = "" if assessment.kind == POINTS else ", if pixels were independent"
    interval = matrix.oa_interval
    between = f"95 %: {percent(interval[0])}…{percent(interval[1])}{alone}" if interval else ""
    if assessment.clusters is not None:
        half = half_interval(assessment.clusters.oa_standard_error)
        between = f"± {percent(half)} by polygons"
    cards = [_card("Overall accuracy", percent(matrix.oa), "%", between)]
    if estimates is not None:
        spread = f"± {percent(Z_95 * estimates.oa_standard_error)}{alone}"
        cards.append(_card("Weighted by area", percent(estimates.oa), "%", spread))
    aa, kappa = half_interval(matrix.aa_standard_error), half_interval(matrix.kappa_standard_error)
    cards.append(
        _card(
            "Average accuracy",
            percent(matrix.aa),
            "%",
            "" if aa is None else f"± {percent(aa)}{alone}",
        )
    )
    figure = "–" if matrix.kappa is None else f"{matrix.kappa:.3f}"
    cards.append(_card("Kappa", figure, "", "" if kappa is None else f"± {kappa:.3f}{alone}"))
    means = f"IoU {percent(mean(matrix.iou))} %"
    cards.append(_card("Mean F1", percent(mean(matrix.f1)), "%", means))
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(title: str, figure: str, unit: str, below: str) -> str:
    sign = f"<em>{unit}</em>" if unit and figure != "–" else ""
    return f"<div><h3>{title}</h3><strong>{figure}{sign}</strong><small>{below}</small></div>"


def _picture(assessment: Assessment, picture: bytes, error_color: tuple[int, int, int]) -> str:
    data = base64.b64encode(picture).decode("ascii")
    error = "#{:02x}{:02x}{:02x}".format(*error_color)
    matrix, colors = assessment.matrix, assessment.scheme.colors
    legend = [class_name("wrong", error)]
    legend += [class_name(n, colors[c]) for c, n in zip(matrix.codes, matrix.names, strict=True)]
    marks = (
        "Dots are right samples, diamonds wrong ones"
        if assessment.kind == POINTS
        else "Samples have full color"
    )
    return (
        f'<figure><img alt="The map with errors marked" src="data:image/png;base64,{data}">'
        f'<figcaption><div class="legend">{"".join(legend)}</div>{marks}; the map without samples '
        "is pale.</figcaption></figure>"
    )


def _areas(assessment: Assessment) -> str:
    estimates = assessment.estimates
    if estimates is None:
        return ""
    halves = estimates.area_half_interval_m2
    unit, name = area_unit(max(*estimates.area_m2, *estimates.mapped_m2), assessment.has_crs)
    names, colors = assessment.scheme.names, assessment.scheme.colors
    rows = []
    for i, code in enumerate(estimates.codes):
        users = _spread(estimates.users_accuracy[i], estimates.users_standard_error[i])
        producers = _spread(estimates.producers_accuracy[i], estimates.producers_standard_error[i])
        rows.append(
            f"<tr><th scope='row'>{class_name(names[code], colors[code])}</th>"
            f"<td>{_size(estimates.mapped_m2[i] / unit)}</td>"
            f"<td><b>{_size(estimates.area_m2[i] / unit)}</b> ± {_size(halves[i] / unit)}</td>"
            f"<td>{producers}</td><td>{users}</td></tr>"
        )
    return (
        "<h2>Areas, corrected for the map's errors</h2>"
        f'<div class="panel">{area_chart(assessment, estimates)}'
        '<p class="note">Thin pale bar: area in the map. Full bar: area estimated from the '
        "samples, which corrects the map's errors, with its 95 % interval"
        f"{_independence(assessment)}.</p></div>"
        '<div class="wide"><table class="figures"><thead><tr><th>class</th>'
        f"<th>mapped, {name}</th><th>estimated, {name}</th>"
        "<th>found, %<small>producer's accuracy, weighted</small></th>"
        "<th>right, %<small>user's accuracy</small></th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _independence(assessment: Assessment) -> str:
    if assessment.kind == POINTS:
        return ""
    return ", too narrow here since pixels of one area are no independent samples"


def _spread(value: float | None, standard_error: float | None) -> str:
    half = half_interval(standard_error)
    return percent(value) if half is None else f"{percent(value)} ± {percent(half)}"


def _size(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _sources(assessment: Assessment, facts: PageFacts) -> str:
    tally = assessment.tally
    field = f", field {facts.class_field}" if facts.class_field else ""
    rows = [
        ("Map", facts.map),
        ("", f"{facts.size_px[0]:,} × {facts.size_px[1]:,} pixels, CRS {facts.crs}"),
        ("Model", facts.model or "not stated in the map"),
        ("Reference", facts.reference),
        (
            "",
            f"{assessment.kind}{f', {tally.features:,} features' if tally.features else ''}{field}",
        ),
        ("Compared", f"{assessment.matrix.total:,} samples"),
    ]
    rows += [("Not compared", text) for text in _not_compared(assessment)]
    rows += [("Note", text) for text in assessment.notes]
    rows += [
        ("Intervals", "95 %. Overall accuracy: Wilson 1927, with polygons as units "
         "Cochran 1977; kappa: delta method, Bishop et al. 1975."),
        ("Areas", "Olofsson et al. 2014, doi:10.1016/j.rse.2014.02.015; strata are the map's "
         "classes; areas of pixels on the ellipsoid where the CRS has one."),
    ]  # fmt: skip
    body = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows)
    return f'<table class="sources">{body}</table>'


def _not_compared(assessment: Assessment) -> list[str]:
    """Return what is in no figure and why; for the map's nodata also how many of each class."""
    found = assessment.tally.reasons(assessment.kind)
    names, lost = assessment.scheme.names, assessment.tally.map_nodata
    if lost:
        classes = (f"{names.get(c, f'Class {c}')} {n:,}" for c, n in sorted(lost.items()))
        found[-1] += f" ({', '.join(classes)})"
    return found
