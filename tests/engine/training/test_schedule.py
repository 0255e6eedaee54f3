"""The cycle against torch's own, and the pace against a clock that a test turns."""

from __future__ import annotations

import pytest
import torch

from panloom.engine.training.schedule import Cycle, Pace


@pytest.mark.parametrize("steps", [7, 60, 900])
def test_the_cycle_is_the_one_of_torch(steps: int) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=4e-3)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.2)
    ours = Cycle(4e-3, steps)
    for step in range(steps):
        group = optimizer.param_groups[0]
        assert ours.at(step) == (group["lr"], group["betas"][0])
        optimizer.step()
        if step < steps - 1:
            theirs.step()


def test_a_cycle_of_one_or_two_steps_has_a_rate() -> None:
    for steps in (1, 2, 5):
        for step in range(steps):
            rate, momentum = Cycle(1e-2, steps).at(step)
            assert 0 <= rate <= 1e-2
            assert 0.85 <= momentum <= 0.95


def test_steps_alone_never_look_at_the_clock() -> None:
    pace = Pace(40, clock=lambda: 0.0)
    assert [pace.place(s) for s in (0, 17, 40)] == [0, 17, 40]
    assert pace.planned_steps(17) == 40


def test_time_alone_ends_when_it_is_over() -> None:
    now = [5.0]
    pace = Pace(None, 60.0, clock=lambda: now[0])
    now[0] += 15
    assert pace.place(3) == pace.cycle_steps / 4
    assert pace.planned_steps(3) == pytest.approx(12)
    now[0] += 45
    assert pace.place(4) >= pace.cycle_steps


def test_steps_and_time_end_with_what_comes_first() -> None:
    now = [0.0]
    pace = Pace(100, 60.0, clock=lambda: now[0])
    now[0] = 6.0
    assert pace.place(50) == 50
    assert pace.place(2) == pytest.approx(10)
    assert pace.planned_steps(2) == pytest.approx(20)


def test_a_pace_needs_an_end() -> None:
    with pytest.raises(ValueError, match="a training needs a number of steps or of seconds"):
        Pace(None)
