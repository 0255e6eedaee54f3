"""Accuracy measures against scikit-learn, and what does not exist."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from panloom.engine.assessment.confusion import Z_95, ConfusionMatrix, mean


def matrix(counts, codes=None):
    codes = codes or tuple(range(1, len(counts) + 1))
    return ConfusionMatrix(codes, tuple(f"class {c}" for c in codes), np.array(counts))


def samples(counts):
    """Return reference and map labels that have these counts."""
    counts = np.asarray(counts)
    cells = np.argwhere(np.ones_like(counts))
    return tuple(np.repeat(cells, counts.ravel(), axis=0).T)


def random_counts(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 9))
    return rng.integers(1, 400, (size, size)) + np.diag(rng.integers(0, 4000, size))


@pytest.mark.parametrize("seed", range(20))
def test_every_measure_equals_scikit_learns(seed):
    counts = random_counts(seed)
    reference, mapped = samples(counts)
    ours = matrix(counts)
    np.testing.assert_array_equal(metrics.confusion_matrix(reference, mapped), ours.counts)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(reference, mapped)
    close = {"rel": 0, "abs": 1e-12}
    assert ours.oa == pytest.approx(metrics.accuracy_score(reference, mapped), **close)
    assert ours.kappa == pytest.approx(metrics.cohen_kappa_score(reference, mapped), **close)
    assert ours.aa == pytest.approx(metrics.balanced_accuracy_score(reference, mapped), **close)
    assert ours.balanced_accuracy == ours.aa
    assert ours.producers_accuracy == pytest.approx(recall, **close)
    assert ours.users_accuracy == pytest.approx(precision, **close)
    assert ours.f1 == pytest.approx(f1, **close)
    assert ours.iou == pytest.approx(
        metrics.jaccard_score(reference, mapped, average=None), **close
    )
    assert ours.reference_totals == tuple(support)
    assert mean(ours.f1) == pytest.approx(
        metrics.f1_score(reference, mapped, average="macro"), **close
    )


@pytest.mark.filterwarnings("ignore")
def test_absent_classes_have_no_value_instead_of_an_error():
    """Class 2 is only in the map, class 3 only in the reference, class 4 nowhere."""
    counts = np.array([[50, 7, 0, 0], [0, 0, 0, 0], [4, 2, 0, 0], [0, 0, 0, 0]])
    ours = matrix(counts)
    assert ours.producers_accuracy == (pytest.approx(50 / 57), None, 0.0, None)
    assert ours.users_accuracy == (pytest.approx(50 / 54), 0.0, None, None)
    assert ours.f1 == (pytest.approx(100 / 111), 0.0, 0.0, None)
    assert ours.iou == (pytest.approx(50 / 61), 0.0, 0.0, None)
    reference, mapped = samples(counts)
    expected = metrics.balanced_accuracy_score(reference, mapped)
    assert ours.aa == pytest.approx(expected, rel=0, abs=1e-12)
    expected = metrics.cohen_kappa_score(reference, mapped)
    assert ours.kappa == pytest.approx(expected, rel=0, abs=1e-12)


def test_without_samples_nothing_exists():
    empty = matrix(np.zeros((3, 3), int))
    assert (empty.oa, empty.aa, empty.kappa) == (None, None, None)
    assert (empty.oa_interval, empty.aa_standard_error, empty.kappa_standard_error) == (None,) * 3
    assert empty.f1 == empty.iou == (None, None, None)


def test_one_class_alone_has_no_kappa():
    alone = matrix([[9, 0], [0, 0]])
    assert alone.oa == 1.0
    assert alone.kappa is None
    assert alone.kappa_standard_error is None


@pytest.mark.parametrize("seed", range(5))
def test_the_error_of_kappa_is_that_of_its_gradient(seed):
    """Delta method written out: numerical gradient of kappa and the multinomial covariance."""
    counts = random_counts(seed)
    n = counts.sum()
    p = (counts / n).ravel()

    def kappa(q):
        q = q.reshape(counts.shape)
        chance = q.sum(axis=0) @ q.sum(axis=1)
        return (np.trace(q) - chance) / (1 - chance)

    step = 1e-6
    gradient = np.array(
        [(kappa(p + step * e) - kappa(p - step * e)) / (2 * step) for e in np.eye(p.size)]
    )
    covariance = (np.diag(p) - np.outer(p, p)) / n
    expected = np.sqrt(gradient @ covariance @ gradient)
    assert matrix(counts).kappa_standard_error == pytest.approx(expected, rel=1e-6)


def test_the_error_of_average_accuracy_is_that_of_simulated_samples():
    rows, truth = (300, 80), (0.9, 0.6)
    rng = np.random.default_rng(4)
    draws = np.mean([rng.binomial(n, p, 200_000) / n for n, p in zip(rows, truth)], axis=0)
    ours = matrix([[270, 30], [32, 48]])
    assert ours.aa_standard_error == pytest.approx(draws.std(), rel=0.01)


def test_the_interval_of_overall_accuracy_holds_the_values_whose_score_test_passes():
    """Wilson's limits are the p for which (p̂ − p)² = z²·p·(1 − p)/n."""
    ours = matrix([[40, 3], [2, 55]])
    for p in ours.oa_interval:
        assert (ours.oa - p) ** 2 == pytest.approx(Z_95**2 * p * (1 - p) / 100, rel=1e-9)
    perfect = matrix([[5, 0], [0, 5]]).oa_interval
    assert perfect[0] < 0.8
    assert perfect[1] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("codes", "counts", "text"),
    [
        ((1, 2), [[1, 2, 3], [4, 5, 6]], "do not fit"),
        ((1, 1), [[1, 2], [3, 4]], "occurs twice"),
        ((1, 2), [[1, -2], [3, 4]], "negative"),
    ],
)
def test_a_matrix_that_cannot_be_is_refused(codes, counts, text):
    with pytest.raises(ValueError, match=text):
        ConfusionMatrix(codes, ("a", "b"), np.array(counts))


def test_counts_cannot_be_changed_afterwards():
    mine = np.array([[1, 2], [3, 4]])
    ours = matrix(mine)
    mine[0, 0] = 99
    assert ours.counts[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        ours.counts[0, 0] = 5
