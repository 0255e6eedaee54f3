"""The best of a row of epochs, and the end of waiting for a better one."""

from __future__ import annotations

from panloom.engine.training.early_stopping import BestSoFar


def test_the_best_is_kept_and_ties_are_broken_by_the_second_number() -> None:
    best = BestSoFar[str](patience=9)
    assert best.offer((0.8, -1.0), "first", 1, 0.3)
    assert not best.offer((0.7, -0.1), "worse", 2, 0.4)
    assert best.offer((0.8, -0.5), "surer", 3, 0.5)
    assert not best.offer((0.8, -0.5), "equal", 4, 0.6)
    assert (best.best, best.epoch, best.rank) == ("surer", 3, (0.8, -0.5))


def test_patience_ends_and_every_better_epoch_renews_it() -> None:
    best = BestSoFar[int](patience=2)
    over = []
    for epoch, accuracy in enumerate([0.5, 0.4, 0.6, 0.5, 0.5], 1):
        best.offer((accuracy,), epoch, epoch, 0.5)
        over.append(best.is_over)
    assert over == [False, False, False, False, True]
    assert best.best == 3


def test_waiting_counts_from_where_the_rate_falls() -> None:
    best = BestSoFar[int](patience=2)
    for epoch, share in enumerate([0.05, 0.1, 0.15, 0.2, 0.25], 1):
        best.offer((1.0 - epoch,), epoch, epoch, share)
    assert best.waited == 1
