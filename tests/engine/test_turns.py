"""Strips go to devices in turn, and results come in order."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from functools import partial

import pytest

from panloom.engine.turns import Turns


class Strip:
    """Something to be told apart."""


def test_strips_go_to_devices_in_turn_and_their_batches_stay_together() -> None:
    strips = [Strip() for _ in range(4)]
    with Turns[int](3, 6) as turns:
        for strip, batches in zip(strips, (2, 1, 3, 2)):
            for _ in range(batches):
                turns.submit(strip, lambda device: device)
        assert [turns.take() for _ in range(8)] == [0, 0, 1, 2, 2, 2, 0, 0]
        for _ in range(3):
            turns.submit(None, lambda device: device)
        assert [turns.take() for _ in range(3)] == [1, 2, 0]
        assert turns.is_empty


def test_results_come_in_the_order_of_their_work() -> None:
    late = threading.Event()

    def wait(device: int) -> str:
        late.wait(10)
        return f"late {device}"

    with Turns[str](2, 2) as turns:
        turns.submit(None, wait)
        turns.submit(None, lambda device: f"early {device}")
        turns.add("none")
        late.set()
        assert [turns.take() for _ in range(3)] == ["late 0", "early 1", "none"]


def test_one_device_has_work_for_each_thread_and_one_piece_more() -> None:
    with Turns[int](1, 2) as turns:
        for number in range(3):
            assert not turns.is_full
            turns.submit(None, lambda device: device)
            assert turns.is_full == (number == 2)
        turns.take()
        assert not turns.is_full


def test_of_several_devices_each_has_a_strip_and_one_waits() -> None:
    """However many batches a strip has; otherwise the other devices would wait for the first."""
    strips = [Strip() for _ in range(3)]
    with Turns[int](2, 4) as turns:
        for strip in strips[:2]:
            for _ in range(9):
                turns.submit(strip, lambda device: device)
                assert not turns.is_full
        turns.submit(strips[2], lambda device: device)
        assert turns.is_full
        while turns.is_full:
            turns.take()
        turns.submit(strips[2], lambda device: device)
        assert not turns.is_full  # the first strip is done, another may follow


def test_threads_are_those_of_the_devices() -> None:
    began: list[int] = []
    both = threading.Barrier(4, timeout=10)
    with Turns[int](2, 4, lambda: began.append(threading.get_ident())) as turns:
        strips = [Strip(), Strip()]
        for strip in strips:
            for _ in range(2):
                turns.submit(strip, lambda device: both.wait() * 0 + device)
        assert [turns.take() for _ in range(4)] == [0, 0, 1, 1]
        assert turns.call(threading.get_ident) in began
    assert len(set(began)) == 4


def test_an_error_comes_where_its_result_would_and_what_waits_is_dropped() -> None:
    ran: list[int] = []

    def fail(device: int) -> int:
        raise ValueError("no more")

    def run(number: int, device: int) -> int:
        time.sleep(0.02)
        ran.append(number)
        return number

    with Turns[int](1, 1) as turns:
        turns.submit(None, partial(run, 0))
        turns.submit(None, fail)
        for number in range(1, 500):
            turns.submit(None, partial(run, number))
        assert turns.take() == 0
        with pytest.raises(ValueError, match="no more"):
            turns.take()
    assert len(ran) < 400  # a busy machine runs some before the rest is dropped


def test_a_strip_is_not_kept() -> None:
    strip = Strip()
    gone = weakref.ref(strip)
    with Turns[int](2, 2) as turns:
        turns.submit(strip, lambda device: device)
        turns.take()
        del strip
        gc.collect()
        assert gone() is None
