"""The warm engine as the plugin keeps it: runs, cancels, deaths, and what it falls back to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panloom.engine.events import Result
from panloom.qgis_plugin import warm_engine
from panloom.qgis_plugin.engine_process import EngineCancelled, EngineError, Listener
from panloom.qgis_plugin.warm_engine import WarmEngine

from .ear import PATIENCE_S, Ear, is_running, until

FAKE = str(Path(__file__).with_name("fake_warm_engine.py"))
PROGRAM = [sys.executable, FAKE, "engine"]
ALONE = "this run gets a process of its own."


@pytest.fixture
def warm() -> Iterator[WarmEngine]:
    engine = WarmEngine()
    yield engine
    engine.close()


def run(warm: WarmEngine, *words: str, ear: Ear | None = None, **variables: str) -> Result:
    ear = ear or Ear()
    grace_s = 0.5 if words[0] == "stubborn" else PATIENCE_S
    return warm.run([*PROGRAM, *words], {**os.environ, **variables}, ear.listener, grace_s)


def pid_of(result: Result) -> int:
    return result.summary["pid"]


def is_there(pid: int) -> bool:
    """Whether the process is there at all, be it as a zombie."""
    return Path(f"/proc/{pid}").exists()


class InThread(threading.Thread):
    """A run in a thread of its own, as QGIS's tasks are."""

    def __init__(self, warm: WarmEngine, *words: str) -> None:
        super().__init__()
        self.ear, self.result, self.error = Ear(), None, None
        self._what = warm, words
        self.start()

    def run(self) -> None:
        try:
            self.result = run(self._what[0], *self._what[1], ear=self.ear)
        except Exception as error:
            self.error = error


def test_one_process_serves_one_run_after_the_other(warm):
    ear = Ear()
    first = run(warm, "good", "a.tif", "--overwrite", "--events", ear=ear)
    assert first.summary["words"] == ["a.tif", "--overwrite", "--events"]
    assert first.summary["cwd"] == os.getcwd()
    assert first.summary["warm"] is True
    assert ear.messages == [f"The warm engine runs it (process {pid_of(first)}).", "half way"]
    assert ear.fractions == [0.5]
    assert [pid_of(run(warm, "good")) for _ in range(3)] == [pid_of(first)] * 3


def test_a_failure_is_the_engines_own_sentence_and_it_goes_on(warm):
    pid, ear = pid_of(run(warm, "good")), Ear()
    with pytest.raises(EngineError) as caught:
        run(warm, "failure", ear=ear)
    assert (caught.value.message, caught.value.hint) == ("MS and PAN do not overlap.", "Choose.")
    assert caught.value.code == "no-overlap"
    assert ear.stray == ["Traceback: line 7"], "what it wrote to stderr belongs to the log"
    assert pid_of(run(warm, "good")) == pid


def test_a_cancelled_run_leaves_the_engine_for_the_next_one(warm):
    pid = pid_of(run(warm, "good"))
    waiting = InThread(warm, "wait")
    waiting.ear.wait_for("waiting")
    waiting.ear.cancel.set()
    waiting.join(PATIENCE_S)
    assert isinstance(waiting.error, EngineCancelled)
    assert pid_of(run(warm, "good")) == pid


def test_an_engine_that_does_not_react_to_a_cancel_is_killed_with_its_children(warm):
    stubborn = InThread(warm, "stubborn")
    stubborn.ear.wait_for("child")
    cancelled_at = time.monotonic()
    stubborn.ear.cancel.set()
    stubborn.join(PATIENCE_S)
    assert time.monotonic() - cancelled_at < 5.0, "the worst that users.md allows"
    assert isinstance(stubborn.error, EngineCancelled)
    pids = [int(n) for n in re.findall(r"(?:process|child) (\d+)", " ".join(stubborn.ear.messages))]
    assert len(pids) == 2
    until(lambda: not any(is_running(pid) for pid in pids))
    assert pid_of(run(warm, "good")) != pids[0]


def test_an_engine_that_died_between_runs_is_replaced(warm):
    pid = pid_of(run(warm, "good"))
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_there(pid))
    ear = Ear()
    second = run(warm, "good", ear=ear)
    assert second.summary["warm"] is True
    assert pid_of(second) != pid
    assert ear.messages[0].startswith("The warm engine runs it"), "nothing to be told"


def test_an_engine_that_is_stuck_between_runs_is_replaced(warm, monkeypatch):
    monkeypatch.setattr(warm_engine, "ANSWER_S", 0.3)
    pid = pid_of(run(warm, "good"))
    os.kill(pid, signal.SIGSTOP)
    second = run(warm, "good")
    assert second.summary["warm"] is True
    assert pid_of(second) != pid
    assert not is_there(pid)


def test_an_engine_that_dies_in_a_run_is_explained_and_replaced(warm):
    ear = Ear()
    with pytest.raises(EngineError) as caught:
        run(warm, "crash", ear=ear)
    assert caught.value.message == (
        "The engine ended without a result, exit code -6 (SIGABRT): a library gave up. Its last "
        "lines were:\nreading tile 4"
    )
    assert run(warm, "good").summary["warm"] is True


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("skew", "does not fit the plugin"),
        ("garbage", "does not fit the plugin"),
        ("usage", "ended before it answered"),
        ("dies", "ended before it answered"),
    ],
)
def test_a_run_that_cannot_be_served_gets_a_process_of_its_own(warm, how, what):
    ear = Ear()
    result = run(warm, "good", ear=ear, FAKE_SERVE=how)
    assert result.summary["warm"] is False
    assert ear.messages == [f"The warm engine {what}; {ALONE}", "half way"]


def test_a_python_that_is_not_there_is_told_as_without_a_warm_engine(warm):
    with pytest.raises(EngineError) as caught:
        warm.run(["/nowhere/python", "-m", "panloom.engine", "models"], {}, Ear().listener)
    assert str(caught.value) == (
        "The engine's Python “/nowhere/python” could not be started: No such file or directory. "
        "Run “Set up the engine” (Processing Toolbox → Panloom → Engine)."
    )


def test_a_second_run_at_the_same_time_gets_a_process_of_its_own(warm):
    first = InThread(warm, "wait")
    first.ear.wait_for("waiting")
    ear = Ear()
    second = run(warm, "good", ear=ear)
    assert second.summary["warm"] is False
    assert ear.messages[0] == f"The warm engine is busy with another run; {ALONE}"
    first.ear.cancel.set()
    first.join(PATIENCE_S)
    assert isinstance(first.error, EngineCancelled)
    assert run(warm, "good").summary["warm"] is True


def test_another_environment_or_python_is_another_engine(warm):
    pid = pid_of(run(warm, "good", VARIABLE="1"))
    other = pid_of(run(warm, "good", VARIABLE="2"))
    assert other != pid
    assert not is_there(pid)
    assert pid_of(run(warm, "good", VARIABLE="2")) == other


def test_an_engine_that_speaks_between_runs_is_replaced(warm):
    pid = pid_of(run(warm, "talkative"))
    time.sleep(0.2)
    assert pid_of(run(warm, "good")) != pid
    assert not is_there(pid)


@pytest.mark.parametrize(("what", "says"), [("wait", "waiting"), ("stubborn", "child")])
def test_closing_ends_the_engine_and_what_it_runs(warm, what, says):
    running = InThread(warm, what)
    running.ear.wait_for(says)
    pid = int(re.findall(r"process (\d+)", running.ear.messages[0])[0])
    warm.close(grace_s=1.0)
    assert not is_there(pid)
    running.join(PATIENCE_S)
    assert isinstance(running.error, EngineCancelled)
    assert run(warm, "good").summary["warm"] is True


def test_closing_kills_an_engine_that_does_not_end(warm):
    pid = pid_of(run(warm, "good"))
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    warm.close(grace_s=0.3)
    assert time.monotonic() - began < 5.0
    assert not is_there(pid)


def test_retiring_waits_for_the_run(warm):
    pid = pid_of(run(warm, "good"))
    waiting = InThread(warm, "wait")
    waiting.ear.wait_for("waiting")
    warm.retire()
    assert is_running(pid)
    waiting.ear.cancel.set()
    waiting.join(PATIENCE_S)
    until(lambda: not is_there(pid))
    again = pid_of(run(warm, "good"))
    warm.retire()
    assert not is_there(again)


def test_a_listener_that_fails_ends_the_run(warm):
    def broken(_: object) -> None:
        raise RuntimeError("wrapped C/C++ object has been deleted")

    seen: list[str] = []
    listener = Listener(lambda: False, on_progress=broken, on_message=lambda m: seen.append(m.text))
    with pytest.raises(RuntimeError):
        warm.run([*PROGRAM, "good"], dict(os.environ), listener)
    assert not is_there(int(re.findall(r"process (\d+)", seen[0])[0]))
    assert run(warm, "good").summary["warm"] is True


def test_the_engine_ends_with_its_host_even_if_that_is_killed(tmp_path):
    host = tmp_path / "host.py"
    host.write_text(
        "import os, time\n"
        "from panloom.qgis_plugin.engine_process import Listener\n"
        "from panloom.qgis_plugin.warm_engine import WarmEngine\n"
        "warm = WarmEngine()\n"
        f"done = warm.run({[*PROGRAM, 'good']!r}, dict(os.environ), Listener(lambda: False))\n"
        "print(done.summary['pid'], flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, str(host)], stdout=subprocess.PIPE, text=True)
    engine = int(process.stdout.readline())
    assert is_running(engine)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not is_running(engine))
