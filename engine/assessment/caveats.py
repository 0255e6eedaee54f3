"""What a reader of an accuracy report has to keep in mind, said only where it applies."""

from __future__ import annotations

from ..labels.tally import POLYGONS, RASTER
from .figures import Assessment, half_interval

FEW = 50
"""Reference samples a class: the rule of thumb of Congalton & Green, Assessing the Accuracy of
Remotely Sensed Data (chapter on sample size)."""


def caveats(assessment: Assessment) -> list[str]:
    """Return the sentences, the most specific first."""
    checks = (_dependence, _scale, _few, _without_error, _strata)
    found = [sentence for check in checks for sentence in check(assessment)]
    lost = sum(assessment.tally.map_nodata.values())
    if lost:
        share = 100 * lost / (lost + assessment.matrix.total)
        found.append(
            f"{lost:,} samples ({share:.1f} %) lie where the map has nodata. They are in no figure "
            "here; if such places are harder than others, the map as a whole is less accurate."
        )
    found.append(
        "Weighted accuracies and areas assume a probability sample: within each mapped class every "
        "place had the same known chance of being chosen. Samples placed by hand, or on clear "
        "examples only, flatter the map, and no formula repairs that."
    )
    found.append(
        "If any of these samples also trained the model, the figures tell how well it remembers "
        "them, not how well it maps."
    )
    return found


def _dependence(assessment: Assessment) -> list[str]:
    narrow = (
        "so the samples are worth fewer than their number, and every interval that treats them as "
        "independent (average accuracy, kappa, classes, areas) is too narrow."
    )
    if assessment.kind == RASTER:
        return [f"Neighboring pixels of the reference raster resemble each other, {narrow}"]
    if assessment.kind != POLYGONS:
        return []
    clusters = assessment.clusters
    if clusters is None:
        return [
            "All samples lie in one polygon: they say nothing about the rest of the map, and no "
            "interval can be given that holds beyond it."
        ]
    half = half_interval(clusters.oa_standard_error) or 0.0
    low, high = assessment.matrix.oa_interval or (0.0, 0.0)
    return [
        f"The {assessment.matrix.total:,} pixels lie in {clusters.polygons:,} polygons. Pixels of "
        f"one polygon resemble each other, {narrow} With each polygon as one unit, the overall "
        f"accuracy is uncertain by ± {100 * half:.1f} percentage points; counting pixels it would "
        f"seem to be ± {50 * (high - low):.1f}."
    ]


def _scale(assessment: Assessment) -> list[str]:
    if assessment.pixels_per_sample < 1.5:
        return []
    return [
        f"A pixel of the reference covers about {assessment.pixels_per_sample:.0f} map pixels: it "
        "is counted that often, and what is smaller than it cannot be judged."
    ]


def _few(assessment: Assessment) -> list[str]:
    matrix = assessment.matrix
    totals = zip(matrix.names, matrix.reference_totals, matrix.map_totals, strict=True)
    few = [
        f"{name} ({count:,})" for name, count, mapped in totals if count < FEW and count + mapped
    ]
    if not few:
        return []
    return [
        f"Fewer than {FEW} reference samples, so that the class's accuracy is a rough one: "
        f"{', '.join(few)}."
    ]


def _without_error(assessment: Assessment) -> list[str]:
    matrix = assessment.matrix
    totals = (*matrix.reference_totals, *matrix.map_totals)
    accuracies = (*matrix.producers_accuracy, *matrix.users_accuracy)
    if not any(a == 1 and n < FEW for a, n in zip(accuracies, totals, strict=True)):
        return []
    return [
        "Where few samples show no error, the formulas give 100 ± 0: none was found, which is not "
        "to say that there is none."
    ]


def _strata(assessment: Assessment) -> list[str]:
    estimates = assessment.estimates
    if estimates is None:
        return ["No mapped class has two samples, so no areas can be estimated."]
    if not estimates.left_out:
        return []
    names = assessment.scheme.names
    share = 100 * (1 - estimates.covered_m2 / estimates.map_m2)
    return [
        "No area is estimated where the map shows "
        f"{', '.join(names[code] for code in estimates.left_out)} ({share:.2g} % of it): fewer "
        "than two samples lie there. Weighted figures concern the rest of the map."
    ]
