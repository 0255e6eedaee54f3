"""How a class map agrees with reference samples: the confusion matrix and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95 % interval."""

PerClass = tuple[float | None, ...]
"""One value a class, in the matrix's order; None where the value does not exist."""


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """``counts`` (K, K) of samples, rows = reference class, columns = map class.

    ``codes`` and ``names`` (K,) say which class a row or column stands for. A measure whose
    denominator is 0 does not exist and is None; means leave such classes out.
    """

    codes: tuple[int, ...]
    names: tuple[str, ...]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        size = len(self.codes)
        counts = np.array(self.counts, dtype=np.int64)
        if counts.shape != (size, size) or len(self.names) != size:
            raise ValueError(
                f"{size} codes, {len(self.names)} names and counts of {counts.shape} do not fit"
            )
        if len(set(self.codes)) != size:
            raise ValueError(f"a class code occurs twice: {self.codes}")
        if (counts < 0).any():
            raise ValueError("counts of samples cannot be negative")
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    @property
    def total(self) -> int:
        """Number of samples."""
        return int(self.counts.sum())

    @property
    def correct(self) -> int:
        """Number of samples whose class is the same in both."""
        return int(np.trace(self.counts))

    @property
    def reference_totals(self) -> tuple[int, ...]:
        """Samples of each class in the reference (row sums)."""
        return tuple(int(n) for n in self.counts.sum(axis=1))

    @property
    def map_totals(self) -> tuple[int, ...]:
        """Samples of each class in the map (column sums)."""
        return tuple(int(n) for n in self.counts.sum(axis=0))

    @property
    def oa(self) -> float | None:
        """Overall accuracy: the share of samples on the diagonal."""
        return _ratio(self.correct, self.total)

    @property
    def producers_accuracy(self) -> PerClass:
        """Per class, the share of its reference samples that the map found (recall)."""
        return _ratios(self._diagonal, self.reference_totals)

    @property
    def users_accuracy(self) -> PerClass:
        """Per class, the share of its map samples that are right (precision)."""
        return _ratios(self._diagonal, self.map_totals)

    @property
    def f1(self) -> PerClass:
        """Per class, producer's and user's accuracy in one: 2·TP ÷ (2·TP + FP + FN)."""
        both = zip(self.reference_totals, self.map_totals, strict=True)
        return _ratios([2 * n for n in self._diagonal], [r + m for r, m in both])

    @property
    def iou(self) -> PerClass:
        """Per class, intersection over union: TP ÷ (TP + FP + FN)."""
        sums = zip(self.reference_totals, self.map_totals, self._diagonal, strict=True)
        return _ratios(self._diagonal, [r + m - both for r, m, both in sums])

    @property
    def aa(self) -> float | None:
        """Average accuracy: the mean producer's accuracy of the classes in the reference."""
        return mean(self.producers_accuracy)

    @property
    def balanced_accuracy(self) -> float | None:
        """Another name of ``aa``."""
        return self.aa

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (1960, doi:10.1177/001316446002000104); None where chance alone agrees."""
        n = self.total
        chance = sum(r * m for r, m in zip(self.reference_totals, self.map_totals, strict=True))
        return _ratio(n * self.correct - chance, n * n - chance)

    @property
    def oa_interval(self) -> tuple[float, float] | None:
        """95 % interval of ``oa`` for independent samples, by Wilson's score.

        Wilson 1927, doi:10.1080/01621459.1927.10502953: it does not shrink to nothing at 100 %.
        """
        n, p = self.total, self.oa
        if p is None:
            return None
        share = Z_95**2 / n
        middle = (p + share / 2) / (1 + share)
        half = Z_95 / (1 + share) * math.sqrt(p * (1 - p) / n + share / (4 * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def aa_standard_error(self) -> float | None:
        """Standard error of ``aa``: independent binomial samples in each reference class."""
        parts = zip(self.producers_accuracy, self.reference_totals, strict=True)
        variances = [p * (1 - p) / n for p, n in parts if p is not None]
        return math.sqrt(sum(variances)) / len(variances) if variances else None

    @property
    def kappa_standard_error(self) -> float | None:
        """Standard error of ``kappa`` for independent samples, by the delta method.

        Bishop, Fienberg & Holland 1975, Discrete Multivariate Analysis, section 11.4.
        """
        n = self.total
        if self.kappa is None:
            return None
        p = self.counts / n
        of_reference, of_map = p.sum(axis=1), p.sum(axis=0)
        agreed = float(np.trace(p))
        chance = float(of_reference @ of_map)
        theta3 = float(np.diag(p) @ (of_reference + of_map))
        theta4 = float((p * (of_reference[None, :] + of_map[:, None]) ** 2).sum())
        miss, rest = 1 - agreed, 1 - chance
        variance = (
            agreed * miss / rest**2
            + 2 * miss * (2 * agreed * chance - theta3) / rest**3
            + miss**2 * (theta4 - 4 * chance**2) / rest**4
        ) / n
        return math.sqrt(max(variance, 0.0))

    @property
    def _diagonal(self) -> list[int]:
        return [int(n) for n in np.diag(self.counts)]


def mean(values: PerClass) -> float | None:
    """Return the mean of the values that exist, None where there is none."""
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _ratios(parts: Sequence[int], wholes: Sequence[int]) -> PerClass:
    return tuple(_ratio(part, whole) for part, whole in zip(parts, wholes, strict=True))
