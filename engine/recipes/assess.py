"""``panloom assess``: how well a class map agrees with reference samples, as a report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rasterio

from ...models.classes import ClassScheme
from ..assessment.area_estimation import AreaEstimates, estimate_areas
from ..assessment.confusion import ConfusionMatrix
from ..assessment.error_picture import ErrorPicture
from ..assessment.figures import Assessment, SampleCount, complete_scheme, half_interval
from ..assessment.page import PageFacts, assess_page
from ..assessment.reference import Reference, open_reference, pairs
from ..class_map import CLASSES_TAG, read_scheme
from ..errors import InputError
from ..events import Message, Progress, Result
from ..labels.tally import POINTS, POLYGONS
from ..outputs import Outputs
from ..polygons.areas import class_areas
from ..polygons.strips import ClassMapReader, require_class_map
from ..progress import Meter, Report, section
from ..scene.raster_files import gdal_cache, prepare_gdal


@dataclass(frozen=True)
class AssessOptions:
    """What ``panloom assess`` takes; ``report`` is the page to write, ``json_file`` its figures."""

    map: str
    reference: str
    report: str
    class_field: str | None = None
    json_file: str | None = None
    overwrite: bool = False


@gdal_cache()
def run(options: AssessOptions, report: Report) -> Result:
    """Compare map and reference, write the report; raises PanloomError, leaving no file."""
    prepare_gdal()
    targets = _targets(options)
    inputs = (options.map, options.reference, options.reference.split("|")[0])
    with Outputs(overwrite=options.overwrite, inputs=inputs) as outputs:
        drafts = {role: outputs.draft(path) for role, path in targets.items()}
        require_class_map(options.map)
        assessment, picture = _assess(options, report)
        for note in assessment.notes:
            report(Message(note, "warning"))
        facts = PageFacts.of(options.map, options.reference, options.class_field)
        page = assess_page(assessment, facts, picture.png(options.map), picture.error_color)
        drafts["report"].write_text(page, encoding="utf-8")
        figures = {**assessment.to_json(), "sources": asdict(facts)}
        if "json" in drafts:
            text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False)
            drafts["json"].write_text(text + "\n", encoding="utf-8")
        report(Progress(1.0))
    files = {role: str(path.absolute()) for role, path in targets.items()}
    return Result(files, _summary(assessment))


def as_text(summary: dict[str, Any]) -> str:
    """Return the figures that matter most, for people."""

    def line(name: str, value: float | None, half: float | None, percent: bool = True) -> str:
        if value is None:
            return f"{name:<26} –"
        scale, digits = (100, 1) if percent else (1, 3)
        text = f"{name:<26} {value * scale:.{digits}f}{' %' if percent else ''}"
        return text if half is None else f"{text} ± {half * scale:.{digits}f}"

    rows = [
        f"{'samples':<26} {summary['samples']:,} ({summary['kind']})",
        line("overall accuracy", summary["oa"], None),
        line("  weighted by mapped area", summary["weighted_oa"], summary["weighted_oa_half"]),
        line("average accuracy", summary["aa"], summary["aa_half"]),
        line("kappa", summary["kappa"], summary["kappa_half"], percent=False),
    ]
    return "\n".join(rows)


def _targets(options: AssessOptions) -> dict[str, Path]:
    targets = {"report": Path(options.report)}
    if targets["report"].suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f"The report `{targets['report'].name}` would not be a page.",
            "report-format",
            "Give it the extension .html.",
        )
    if options.json_file:
        targets["json"] = Path(options.json_file)
    return targets


def _assess(options: AssessOptions, report: Report) -> tuple[Assessment, ErrorPicture]:
    scheme, closed = read_scheme(options.map), _declares_classes(options.map)
    with ClassMapReader(options.map) as reader:
        reference = open_reference(
            options.reference, options.class_field, reader.grid, scheme.names, closed=closed
        )
        try:
            count = SampleCount(reference.tally.features)
            picture = ErrorPicture(reader.grid, scheme, as_points=reference.kind == POINTS)
            meter = Meter(
                section(report, 0.0, 0.5), reader.grid.width * reader.grid.height, "comparing"
            )
            for found in pairs(reader, reference):
                count.add(found)
                picture.add(found)
                meter.add(reader.grid.width * found.rows)
        finally:
            reference.close()
        scheme = complete_scheme(scheme, count.codes)
        matrix = count.matrix(scheme)
        _require_samples(matrix, reference, Path(options.reference.split("|")[0]).name)
        assessment = Assessment(
            scheme=scheme,
            matrix=matrix,
            estimates=_estimates(options.map, scheme, matrix, section(report, 0.5, 0.95)),
            kind=reference.kind,
            tally=reference.tally,
            pixels_per_sample=reference.pixels_per_sample,
            clusters=count.clusters() if reference.kind == POLYGONS else None,
            has_crs=reader.grid.crs is not None,
            notes=tuple(reference.notes),
        )
    return assessment, picture


def _declares_classes(path: str) -> bool:
    """Say whether the map names its classes, so that no other can occur in it."""
    with rasterio.open(path) as dataset:
        return CLASSES_TAG in dataset.tags()


def _estimates(
    path: str, scheme: ClassScheme, matrix: ConfusionMatrix, report: Report
) -> AreaEstimates | None:
    mapped = {row.class_code: row.area_m2 for row in class_areas(path, scheme, report)}
    return estimate_areas(matrix, [mapped.get(code, 0.0) for code in matrix.codes])


def _require_samples(matrix: ConfusionMatrix, reference: Reference, label: str) -> None:
    if matrix.total:
        return
    found = reference.tally.reasons(reference.kind)
    raise InputError(
        f"No sample of `{label}` lies on a classified pixel of the map"
        + (f": {', '.join(found)}." if found else "."),
        "no-samples",
        "Choose a reference of the same place, and check the CRS of both.",
    )


def _summary(assessment: Assessment) -> dict[str, Any]:
    matrix, estimates = assessment.matrix, assessment.estimates
    return {
        "samples": matrix.total,
        "kind": assessment.kind,
        "oa": matrix.oa,
        "weighted_oa": None if estimates is None else estimates.oa,
        "weighted_oa_half": None
        if estimates is None
        else half_interval(estimates.oa_standard_error),
        "aa": matrix.aa,
        "aa_half": half_interval(matrix.aa_standard_error),
        "kappa": matrix.kappa,
        "kappa_half": half_interval(matrix.kappa_standard_error),
        "map_nodata_samples": sum(assessment.tally.map_nodata.values()),
    }
