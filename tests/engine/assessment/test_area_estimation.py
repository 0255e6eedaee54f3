"""The worked example of Olofsson et al. 2014, and strata without samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from panloom.engine.assessment.area_estimation import estimate_areas
from panloom.engine.assessment.confusion import ConfusionMatrix

NAMES = ("deforestation", "forest gain", "stable forest", "stable non-forest")
MAPPED_PX = (200_000, 150_000, 3_200_000, 6_450_000)
SAMPLES = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
"""Rows are map classes, as in the paper's table 8."""
PIXEL_M2 = 30 * 30
HA = 10_000


def matrix(samples):
    samples = np.array(samples)
    size = len(samples)
    return ConfusionMatrix(tuple(range(1, size + 1)), NAMES[:size], samples.T)


@pytest.fixture(scope="module")
def example():
    return estimate_areas(matrix(SAMPLES), [n * PIXEL_M2 for n in MAPPED_PX])


def test_areas_of_the_paper(example):
    """21,158 ± 6,158 ha of deforestation; 235,086 pixels with a half interval of 68,418."""
    hectares = [a / HA for a in example.area_m2]
    halves = [a / HA for a in example.area_half_interval_m2]
    assert hectares == pytest.approx([21_158, 11_686, 285_770, 581_386], abs=0.6)
    assert halves == pytest.approx([6_158, 3_756, 15_510, 16_282], abs=1)
    assert example.area_m2[0] / PIXEL_M2 == pytest.approx(235_086, abs=0.5)
    assert example.area_half_interval_m2[0] / PIXEL_M2 == pytest.approx(68_418, abs=2)


def test_accuracies_of_the_paper(example):
    """Overall 0.95 ± 0.02, and the accuracies of section 5."""

    def halves(errors):
        return [round(1.96 * e, 2) for e in errors]

    assert round(example.oa, 2) == 0.95
    assert round(1.96 * example.oa_standard_error, 2) == 0.02
    assert [round(a, 2) for a in example.users_accuracy] == [0.88, 0.73, 0.93, 0.96]
    assert halves(example.users_standard_error) == [0.07, 0.10, 0.04, 0.02]
    assert [round(a, 2) for a in example.producers_accuracy] == [0.75, 0.85, 0.93, 0.96]


def test_the_formulas_written_out_class_by_class(example):
    """Equations 1 to 10 with plain loops over pixels, not areas."""
    total = sum(MAPPED_PX)
    w = [n / total for n in MAPPED_PX]
    n = [sum(row) for row in SAMPLES]
    assert n == [75, 75, 165, 325]
    u = [SAMPLES[i][i] / n[i] for i in range(4)]
    oa = sum(w[i] * u[i] for i in range(4))
    oa_variance = sum(w[i] ** 2 * u[i] * (1 - u[i]) / (n[i] - 1) for i in range(4))
    assert example.oa == pytest.approx(oa, rel=1e-12)
    assert example.oa_standard_error == pytest.approx(math.sqrt(oa_variance), rel=1e-12)
    for k in range(4):
        p = [w[i] * SAMPLES[i][k] / n[i] for i in range(4)]
        s = math.sqrt(sum((w[i] * p[i] - p[i] ** 2) / (n[i] - 1) for i in range(4)))
        assert example.area_m2[k] == pytest.approx(sum(p) * total * PIXEL_M2, rel=1e-12)
        assert example.area_standard_error[k] == pytest.approx(s * total * PIXEL_M2, rel=1e-12)
        estimated = sum(MAPPED_PX[i] * SAMPLES[i][k] / n[i] for i in range(4))
        producers = MAPPED_PX[k] * u[k] / estimated
        others = sum(
            MAPPED_PX[i] ** 2 * SAMPLES[i][k] / n[i] * (1 - SAMPLES[i][k] / n[i]) / (n[i] - 1)
            for i in range(4)
            if i != k
        )
        own = MAPPED_PX[k] ** 2 * (1 - producers) ** 2 * u[k] * (1 - u[k]) / (n[k] - 1)
        error = math.sqrt(own + producers**2 * others) / estimated
        assert example.producers_accuracy[k] == pytest.approx(producers, rel=1e-12)
        assert example.producers_standard_error[k] == pytest.approx(error, rel=1e-12)


def test_areas_add_up_to_the_map(example):
    assert sum(example.area_m2) == pytest.approx(example.map_m2, rel=1e-12)
    assert example.covered_m2 == example.map_m2
    assert example.left_out == ()


def test_intervals_hold_the_truth_in_95_of_100_samples():
    """Draw stratified samples from a known population again and again."""
    truth = np.array([[0.8, 0.2], [0.1, 0.9]])  # map class → share of reference classes
    mapped = np.array([300.0, 700.0])
    area = mapped @ truth
    rng = np.random.default_rng(11)
    inside = np.zeros(2)
    for _ in range(2000):
        drawn = np.stack([rng.multinomial(120, row) for row in truth])
        estimate = estimate_areas(matrix(drawn), mapped)
        inside += np.abs(np.array(estimate.area_m2) - area) <= estimate.area_half_interval_m2
    assert (np.abs(inside / 2000 - 0.95) < 0.015).all()


def test_a_mapped_class_without_samples_is_left_out_and_said():
    estimate = estimate_areas(matrix([[8, 2, 0], [1, 9, 0], [0, 1, 0]]), [400.0, 500.0, 100.0])
    assert estimate.left_out == (3,)
    assert estimate.covered_m2 == 900
    assert estimate.map_m2 == 1000
    assert estimate.area_m2 == pytest.approx((0.8 * 400 + 0.1 * 500, 0.2 * 400 + 0.9 * 500, 0))
    assert estimate.users_accuracy[2] is None
    assert estimate.producers_accuracy[2] is None


def test_a_class_that_the_map_never_shows_still_gets_an_area():
    estimate = estimate_areas(matrix([[8, 0, 2], [0, 9, 1], [0, 0, 0]]), [400.0, 600.0, 0.0])
    assert estimate.area_m2[2] == pytest.approx(0.2 * 400 + 0.1 * 600)
    assert estimate.producers_accuracy[2] == 0
    assert estimate.users_accuracy[2] is None
    assert estimate.left_out == ()


@pytest.mark.parametrize("samples", [[[0, 0], [0, 0]], [[1, 0], [0, 1]]])
def test_too_few_samples_give_no_estimate(samples):
    assert estimate_areas(matrix(samples), [10.0, 10.0]) is None
