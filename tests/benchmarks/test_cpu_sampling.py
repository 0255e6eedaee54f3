"""CPU time goes to the stage that a thread is in, whichever thread it is."""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType

import pytest

from panloom.benchmarks.cpu_sampling import CpuSampler, thread_cpu_s

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's thread clocks")


def work(seconds: float) -> None:
    """Keep one core busy."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def stage_of(frame: FrameType | None) -> str:
    while frame is not None:
        if frame.f_code.co_name in ("first", "second"):
            return frame.f_code.co_name
        frame = frame.f_back
    return "other"


def test_each_thread_counts_for_its_stage_and_waiting_for_none() -> None:
    def first() -> None:
        work(0.6)
        time.sleep(0.3)

    def second() -> None:
        work(0.3)

    work(0.1)  # before it is entered: nobody's
    with CpuSampler(stage_of) as sampler:
        thread = threading.Thread(target=second)
        thread.start()
        first()
        thread.join()
    # On a busy machine looks are late, and what comes after a thread's last one is not seen.
    assert 0.3 < sampler.seconds["first"] < 0.65
    assert 0 < sampler.seconds["second"] < 0.35
    assert sampler.seconds["other"] < 0.1


def test_the_clock_of_a_thread_is_the_systems_own() -> None:
    work(0.02)
    found = thread_cpu_s(threading.get_native_id())
    assert found == pytest.approx(time.thread_time(), abs=0.01)
    assert thread_cpu_s(2**22) is None
