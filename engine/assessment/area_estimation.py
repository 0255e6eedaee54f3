"""Areas and accuracies of a map's classes, estimated from reference samples, with their errors.

A map's own pixel counts are biased by its errors. The stratified estimator of Olofsson et al. 2014
(doi:10.1016/j.rse.2014.02.015; equation numbers below are theirs) corrects them with a probability
sample of which the map's classes are the strata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .confusion import Z_95, ConfusionMatrix, PerClass

MIN_SAMPLES = 2
"""Samples that a stratum needs for a variance."""


@dataclass(frozen=True)
class AreaEstimates:
    """Estimates per class in the order of ``codes``; areas in m², accuracies in 0…1.

    ``left_out`` are the codes of strata with fewer than ``MIN_SAMPLES`` samples: the estimates
    concern the rest of the map, ``covered_m2`` of its ``map_m2``. ``*_standard_error`` times 1.96
    is half the width of a 95 % interval. None where the value does not exist.
    """

    codes: tuple[int, ...]
    mapped_m2: tuple[float, ...]
    area_m2: tuple[float, ...]
    area_standard_error: tuple[float, ...]
    oa: float
    oa_standard_error: float
    users_accuracy: PerClass
    users_standard_error: PerClass
    producers_accuracy: PerClass
    producers_standard_error: PerClass
    left_out: tuple[int, ...]

    @property
    def map_m2(self) -> float:
        """Area of all classes of the map."""
        return sum(self.mapped_m2)

    @property
    def covered_m2(self) -> float:
        """Area of the classes of the map that have samples enough: what is estimated."""
        out = set(self.left_out)
        return sum(m for code, m in zip(self.codes, self.mapped_m2, strict=True) if code not in out)

    @property
    def area_half_interval_m2(self) -> tuple[float, ...]:
        """Half the width of each area's 95 % interval."""
        return tuple(Z_95 * error for error in self.area_standard_error)


def estimate_areas(matrix: ConfusionMatrix, mapped_m2: Sequence[float]) -> AreaEstimates | None:
    """Return the stratified estimates, None where no mapped class has samples enough.

    ``mapped_m2`` (K,) is the area that the map gives each class of ``matrix``.
    """
    mapped = np.asarray(mapped_m2, dtype=np.float64)
    samples = matrix.counts.T.astype(np.float64)  # rows = map classes: the strata
    per_stratum = samples.sum(axis=1)
    in_use = (mapped > 0) & (per_stratum >= MIN_SAMPLES)
    if not in_use.any():
        return None
    strata = _Strata(mapped[in_use], samples[in_use], np.flatnonzero(in_use))
    covered = float(strata.area.sum())
    proportion, proportion_error = _proportions(strata)
    users, users_error = _users(strata, len(mapped))
    producers, producers_error = _producers(strata)
    left_out = (mapped > 0) & ~in_use
    return AreaEstimates(
        codes=matrix.codes,
        mapped_m2=tuple(map(float, mapped)),
        area_m2=tuple(map(float, proportion * covered)),
        area_standard_error=tuple(map(float, proportion_error * covered)),
        oa=float(strata.weight @ strata.right),  # equation 1
        oa_standard_error=float(
            np.sqrt((strata.weight**2 * strata.right * (1 - strata.right) / strata.freedom).sum())
        ),  # equation 5
        users_accuracy=users,
        users_standard_error=users_error,
        producers_accuracy=producers,
        producers_standard_error=producers_error,
        left_out=tuple(code for code, out in zip(matrix.codes, left_out, strict=True) if out),
    )


@dataclass(frozen=True)
class _Strata:
    """The S sampled strata: ``area`` (S,), ``samples`` (S, K), which class each one is (S,)."""

    area: NDArray[np.float64]
    samples: NDArray[np.float64]
    of_class: NDArray[np.intp]

    @property
    def weight(self) -> NDArray[np.float64]:
        """Share W of each stratum in the area of all strata (S,)."""
        weight: NDArray[np.float64] = self.area / self.area.sum()
        return weight

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of each reference class in a stratum's samples, n_ij ÷ n_i (S, K)."""
        share: NDArray[np.float64] = self.samples / self.samples.sum(axis=1, keepdims=True)
        return share

    @property
    def right(self) -> NDArray[np.float64]:
        """Share of right samples of each stratum (S,): its user's accuracy, equation 2."""
        right: NDArray[np.float64] = self.share[np.arange(len(self.area)), self.of_class]
        return right

    @property
    def freedom(self) -> NDArray[np.float64]:
        """n_i − 1 of each stratum (S,)."""
        freedom: NDArray[np.float64] = self.samples.sum(axis=1) - 1
        return freedom


def _proportions(strata: _Strata) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return area proportion and its standard error per reference class, equations 9 and 10."""
    cell = strata.weight[:, None] * strata.share  # (S, K), equation 4
    variance = ((strata.weight[:, None] * cell - cell**2) / strata.freedom[:, None]).sum(axis=0)
    return cell.sum(axis=0), np.sqrt(np.maximum(variance, 0))


def _users(strata: _Strata, classes: int) -> tuple[PerClass, PerClass]:
    """Return user's accuracy and its standard error per class, equations 2 and 6."""
    error = np.sqrt(strata.right * (1 - strata.right) / strata.freedom)
    accuracies: list[float | None] = [None] * classes
    errors: list[float | None] = [None] * classes
    for index, right, spread in zip(strata.of_class, strata.right, error, strict=True):
        accuracies[index], errors[index] = float(right), float(spread)
    return tuple(accuracies), tuple(errors)


def _producers(strata: _Strata) -> tuple[PerClass, PerClass]:
    """Return producer's accuracy and its standard error per class, equations 3 and 7."""
    accuracies: list[float | None] = []
    errors: list[float | None] = []
    spread = strata.area[:, None] ** 2 * strata.share * (1 - strata.share) / strata.freedom[:, None]
    for index in range(strata.samples.shape[1]):
        own = strata.of_class == index
        estimated = float(strata.area @ strata.share[:, index])  # N̂.j
        if estimated == 0:
            accuracies.append(None)
            errors.append(None)
            continue
        accuracy = float(strata.area[own] @ strata.share[own, index]) / estimated
        variance = (1 - accuracy) ** 2 * spread[own, index].sum()
        variance += accuracy**2 * spread[~own, index].sum()
        accuracies.append(accuracy)
        errors.append(float(np.sqrt(variance)) / estimated)
    return tuple(accuracies), tuple(errors)
