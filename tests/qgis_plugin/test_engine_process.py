"""One run of the engine: every way it can end, and what is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from panloom.engine.version import __version__
from panloom.qgis_plugin.engine_process import (
    EngineCancelled,
    EngineError,
    run_engine,
)

from .ear import Ear, is_running, until

FAKE = str(Path(__file__).with_name("fake_engine.py"))
COMMAND = [sys.executable, FAKE, "-m", "panloom.engine", "classify"]
MISSING = "Run “Set up the engine” (Processing Toolbox → Panloom → Engine)."


def run(mode: str, ear: Ear, *words: str):
    return run_engine([*COMMAND, *words], {**os.environ, "FAKE_ENGINE": mode}, ear.listener)


def error_of(mode: str) -> EngineError:
    with pytest.raises(EngineError) as caught:
        run(mode, Ear())
    return caught.value


def child_of(ear: Ear) -> int:
    return int(re.findall(r"child (\d+)", " ".join(ear.messages))[0])


def cancelled_after_first_word(mode: str) -> tuple[Ear, float]:
    """Return the ear and how many seconds the run took to end after the cancel."""
    ear = Ear()
    cancelled_at: list[float] = []

    def cancel() -> None:
        until(lambda: bool(ear.messages or (mode == "obey" and ear.fractions)))
        cancelled_at.append(time.monotonic())
        ear.cancel.set()

    watcher = threading.Thread(target=cancel)
    watcher.start()
    with pytest.raises(EngineCancelled):
        run(mode, ear)
    watcher.join()
    return ear, time.monotonic() - cancelled_at[0]


def test_a_good_run_gives_its_result_and_its_words(tmp_path):
    (tmp_path / "pan.tif").write_bytes(b"pan")
    ear = Ear()
    target = str(tmp_path / "map.tif")
    result = run("good", ear, "ms.tif", str(tmp_path / "pan.tif"), target)
    assert result.outputs == {"map": target}
    assert result.summary == {"ms": "ms.tif"}
    assert ear.messages == ["PAN grid taken"]
    assert ear.warnings == ["MS and PAN differ by half a pixel"]
    assert ear.fractions == [0.1, 0.25, 0.5, 0.75, 1.0]


def test_a_failure_is_the_engines_own_sentence():
    error = error_of("failure")
    assert (error.message, error.hint) == ("MS and PAN do not overlap.", "Choose a pair.")
    assert error.code == "no-overlap"


def test_a_killed_engine_is_explained_with_its_last_lines():
    assert error_of("killed").message == (
        "The engine ended without a result, exit code -9 (SIGKILL): the system or a person killed "
        "it; often the machine ran out of memory. Its last lines were:\n"
        "reading tile 3\nreading tile 4"
    )


def test_a_crash_is_explained():
    assert "exit code -11 (SIGSEGV): a library crashed." in error_of("crashed").message


def test_an_engine_that_ends_without_a_word():
    assert error_of("silent").message == (
        "The engine ended without a result, exit code 3. It said nothing before it ended."
    )


def test_an_engine_of_another_version_is_refused():
    error = error_of("skew")
    assert error.message == (
        "The engine is version 9.9.9 (protocol 1), the plugin is version "
        f"{__version__} (protocol 1); they have to be the same."
    )
    assert error.hint.endswith(MISSING)


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ("garbage", "not JSON: 'Segmentation map ready!'"),
        ("no hello", "no hello in the first line"),
        ("talkative", "a line after the end"),
    ],
)
def test_what_is_no_protocol_is_the_engines_fault(mode, what):
    error = error_of(mode)
    assert error.message.startswith("The engine said something that the plugin does not understand")
    assert what in error.message
    assert error.code == "protocol"


def test_a_python_without_the_engine_says_what_to_do():
    error = error_of("not installed")
    assert (error.message, error.hint) == ("This Python has no Panloom engine.", MISSING)


def test_a_python_that_is_not_there_says_what_to_do():
    with pytest.raises(EngineError) as caught:
        run_engine(["/nowhere/python", "-m", "panloom.engine"], {}, Ear().listener)
    assert str(caught.value) == (
        "The engine's Python “/nowhere/python” could not be started: No such file or directory. "
        + MISSING
    )


def test_a_command_line_that_the_engine_refuses_is_shown():
    assert error_of("usage").message == (
        "The engine did not accept its command line.\n"
        "panloom: error: unrecognized arguments: --nonsense"
    )


def test_a_flood_of_lines_arrives_in_order():
    ear = Ear()
    run("flood", ear)
    assert len(ear.fractions) == 20_001
    assert ear.fractions[1:] == sorted(ear.fractions[1:])
    assert ear.stray[-1] == "stray 19999"


def test_cancel_closes_the_leash_and_the_engine_ends_by_itself():
    _, seconds = cancelled_after_first_word("obey")
    assert seconds < 5.0, "the worst that users.md allows"


def test_cancel_kills_an_engine_that_hangs_and_its_children():
    ear, seconds = cancelled_after_first_word("hang")
    assert seconds < 5.0, "the worst that users.md allows"
    assert not is_running(child_of(ear))


def test_children_that_outlive_the_engine_are_ended():
    ear = Ear()
    run("outlived", ear)
    assert not is_running(child_of(ear))


def test_a_result_counts_even_if_the_engine_does_not_exit(monkeypatch):
    monkeypatch.setattr("panloom.qgis_plugin.child_process.FAREWELL_S", 0.3)
    assert run("late", Ear()).outputs == {"map": "done.tif"}


def test_the_leash_closes_when_its_holder_is_killed(tmp_path):
    """QGIS killed without a chance to clean up: the engine notices and ends."""
    holder = tmp_path / "holder.py"
    holder.write_text(
        "import os, sys\n"
        "from panloom.qgis_plugin.engine_process import Listener, run_engine\n"
        "def hear(p): print(open('/proc/self/task/%d/children' % os.getpid()).read(), flush=True)\n"
        f"run_engine({COMMAND!r}, {{**os.environ, 'FAKE_ENGINE': 'obey'}},\n"
        "           Listener(lambda: False, on_progress=hear))\n"
    )
    process = subprocess.Popen([sys.executable, str(holder)], stdout=subprocess.PIPE, text=True)
    engine = int(process.stdout.readline().split()[0])
    assert is_running(engine)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not is_running(engine))
