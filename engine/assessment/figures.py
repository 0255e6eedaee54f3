"""What the comparison of a class map with reference samples says, as one value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.classes import UNCLASSIFIED, ClassScheme, LandClass
from ..labels.tally import SampleTally
from .area_estimation import AreaEstimates
from .confusion import Z_95, ConfusionMatrix, mean
from .reference import Pairs

SCHEMA = "panloom-assessment/1"


@dataclass(frozen=True)
class ClusterError:
    """Overall accuracy's standard error with each polygon, not each pixel, as a sampled unit."""

    polygons: int
    oa_standard_error: float


@dataclass(frozen=True)
class Assessment:
    """Everything that a report says; areas in m², or in squared map units without a CRS."""

    scheme: ClassScheme
    matrix: ConfusionMatrix
    estimates: AreaEstimates | None
    kind: str
    tally: SampleTally
    pixels_per_sample: float
    clusters: ClusterError | None
    has_crs: bool
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values; what does not exist is None."""
        matrix = self.matrix
        low, high = matrix.oa_interval or (None, None)
        return {
            "schema": SCHEMA,
            "samples": matrix.total,
            "kind": self.kind,
            "oa": matrix.oa,
            "oa_interval_95": [low, high],
            "aa": matrix.aa,
            "aa_standard_error": matrix.aa_standard_error,
            "balanced_accuracy": matrix.balanced_accuracy,
            "kappa": matrix.kappa,
            "kappa_standard_error": matrix.kappa_standard_error,
            "mean_f1": mean(matrix.f1),
            "mean_iou": mean(matrix.iou),
            "by_polygon": None if self.clusters is None else asdict(self.clusters),
            "classes": self._classes(),
            "confusion": {
                "rows": "reference",
                "columns": "map",
                "codes": list(matrix.codes),
                "counts": matrix.counts.tolist(),
            },
            "stratified": None if self.estimates is None else self._stratified(self.estimates),
            "not_compared": asdict(self.tally),
        }

    def _classes(self) -> list[dict[str, Any]]:
        matrix = self.matrix
        columns = {
            "reference_samples": matrix.reference_totals,
            "map_samples": matrix.map_totals,
            "producers_accuracy": matrix.producers_accuracy,
            "users_accuracy": matrix.users_accuracy,
            "f1": matrix.f1,
            "iou": matrix.iou,
        }
        return [
            {"code": code, "name": name, **{k: v[i] for k, v in columns.items()}}
            for i, (code, name) in enumerate(zip(matrix.codes, matrix.names, strict=True))
        ]

    def _stratified(self, estimates: AreaEstimates) -> dict[str, Any]:
        body = asdict(estimates)
        body["area_half_interval_95_m2"] = estimates.area_half_interval_m2
        body["map_m2"] = estimates.map_m2
        body["covered_m2"] = estimates.covered_m2
        body["method"] = "Olofsson et al. 2014, doi:10.1016/j.rse.2014.02.015"
        return body


class SampleCount:
    """Counts samples strip by strip: by class in reference and map, and by polygon."""

    def __init__(self, features: int) -> None:
        self._counts = np.zeros((256, 256), np.int64)
        self._of_feature = np.zeros((max(features, 1), 2), np.int64)

    def add(self, pairs: Pairs) -> None:
        """Take the samples of one strip; those on the map's nodata are left out."""
        there = pairs.map_code != UNCLASSIFIED
        reference, mapped = pairs.labels.code[there], pairs.map_code[there]
        cell = reference.astype(np.int64) * 256 + mapped
        self._counts += np.bincount(cell, minlength=256 * 256).reshape(256, 256)
        feature = pairs.labels.feature[there]
        known = feature >= 0
        for column, chosen in enumerate((known, known & (reference == mapped))):
            self._of_feature[:, column] += np.bincount(
                feature[chosen], minlength=len(self._of_feature)
            )

    @property
    def codes(self) -> set[int]:
        """Every class code that a sample has in the reference or in the map."""
        return {int(c) for c in np.flatnonzero((self._counts + self._counts.T).any(axis=0))}

    def matrix(self, scheme: ClassScheme) -> ConfusionMatrix:
        """Return the counts of the scheme's classes, in its order."""
        codes = list(scheme.codes)
        names = tuple(land.name for land in scheme.classes)
        return ConfusionMatrix(scheme.codes, names, self._counts[np.ix_(codes, codes)])

    def clusters(self) -> ClusterError | None:
        """Return the error by polygons, None for fewer than two of them."""
        used = self._of_feature[self._of_feature[:, 0] > 0]
        return cluster_error(used[:, 0], used[:, 1]) if len(used) > 1 else None


def cluster_error(size: NDArray[np.int64], right: NDArray[np.int64]) -> ClusterError:
    """Return the error of a ratio of sums over clusters of ``size`` (m,) with ``right`` (m,).

    Cochran 1977, Sampling Techniques, chapter 6 (variance of a ratio), without the finite
    population correction.
    """
    count, total = len(size), int(size.sum())
    spread = right - int(right.sum()) / total * size
    variance = count / (count - 1) * float(spread @ spread) / total**2
    return ClusterError(count, math.sqrt(variance))


def complete_scheme(scheme: ClassScheme, codes: set[int]) -> ClassScheme:
    """Return ``scheme`` with a gray class for each of ``codes`` that it lacks."""
    missing = sorted(codes - set(scheme.codes))
    return ClassScheme(
        (*scheme.classes, *(LandClass(code, f"Class {code}", "#9a9a9a") for code in missing))
    )


def half_interval(standard_error: float | None) -> float | None:
    """Return half the width of the 95 % interval."""
    return None if standard_error is None else Z_95 * standard_error
