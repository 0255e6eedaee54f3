"""A warm engine: what it answers, what it refuses, how it ends, and that runs leave no trace."""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panloom.engine.events import TERMINAL, Cancelled, Failure, Hello, Result, decode
from panloom.engine.requests import encode_cancel, encode_run
from panloom.engine.sample.pair import SamplePair, write_sample_pair

ENGINE = [sys.executable, "-m", "panloom.engine"]
TIMEOUT_S = 120.0


class Serving:
    """A warm engine started for a test; ``code`` replaces ``-m panloom.engine`` where given."""

    def __init__(self, *options: str, code: str = "", **variables: str) -> None:
        start = [sys.executable, "-c", code] if code else ENGINE
        self.process = subprocess.Popen(
            [*start, "serve", "--events", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **variables}, bufsize=0,
        )  # fmt: skip
        self.hello = decode(self.line())

    def line(self) -> str:
        """Return the next line; empty at the end."""
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
        assert ready, "the engine says nothing"
        return self.process.stdout.readline().decode()

    def write(self, line: bytes) -> None:
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def answer(self) -> list:
        """Return the events up to a terminal one."""
        events = [decode(self.line())]
        while not isinstance(events[-1], TERMINAL):
            events.append(decode(self.line()))
        return events

    def run(self, *words: str, cwd: str = "") -> list:
        self.write(encode_run(words, cwd))
        return self.answer()

    def end(self) -> int:
        """Close stdin and return the exit code; nothing more may have been said."""
        self.process.stdin.close()
        assert self.line() == ""
        return self.process.wait(TIMEOUT_S)


@pytest.fixture
def serving() -> Iterator[Serving]:
    engine = Serving()
    yield engine
    engine.process.kill()
    engine.process.wait()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> SamplePair:
    return write_sample_pair(tmp_path_factory.mktemp("pair"), size_ms_px=(64, 48), seed=3)


def classify(pair: SamplePair, target: Path | str, *options: str) -> list[str]:
    model = "--model=landsat-5class"
    return ["classify", str(pair.ms), str(pair.pan), str(target), model, "--overwrite", *options]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_runs_in_one_process_are_answered_as_by_processes_of_their_own(serving):
    assert serving.hello == Hello(serving.hello.version, "serve", serving.process.pid)
    for _ in range(2):
        first, *rest = serving.run("models")
        assert first == Hello(serving.hello.version, "models", serving.process.pid)
        assert [type(event) for event in rest] == [Result]
        assert "landsat-5class" in json.dumps(rest[0].summary)
    assert serving.end() == 0


def test_maps_are_those_of_cold_processes_to_the_byte(serving, pair, tmp_path):
    """Whatever ran before: another scene on another grid, the same one, and at last a failure."""
    other = write_sample_pair(tmp_path / "other", size_ms_px=(40, 56), seed=8)
    asked = [(pair, []), (other, ["--grid=ms"]), (pair, []), (pair, ["--device=cuda:7"])]
    for number, (scene, options) in enumerate(asked):
        target = tmp_path / f"warm{number}.tif"
        confidence = [f"--confidence={tmp_path / f'sure{number}.tif'}"]
        serving.run(*classify(scene, target, *confidence, *options))
    assert not (tmp_path / "warm3.tif").exists(), "that device is not there"
    for number, (scene, options) in enumerate(asked[:2]):
        confidence = [f"--confidence={tmp_path / f'cold sure{number}.tif'}"]
        words = classify(scene, tmp_path / f"cold{number}.tif", *confidence, *options)
        subprocess.run([*ENGINE, *words], check=True, capture_output=True)
        assert digest(tmp_path / f"warm{number}.tif") == digest(tmp_path / f"cold{number}.tif")
        assert digest(tmp_path / f"sure{number}.tif") == digest(tmp_path / f"cold sure{number}.tif")
    assert digest(tmp_path / "warm2.tif") == digest(tmp_path / "warm0.tif")


def test_an_input_that_was_replaced_is_read_again(serving, pair, tmp_path):
    other = write_sample_pair(tmp_path / "other", size_ms_px=(64, 48), seed=8)
    copy = SamplePair(tmp_path / "ms.tif", tmp_path / "pan.tif", pair.truth)
    digests = []
    for scene in (pair, other):
        shutil.copy(scene.ms, copy.ms)
        shutil.copy(scene.pan, copy.pan)
        assert isinstance(serving.run(*classify(copy, tmp_path / "map.tif"))[-1], Result)
        digests.append(digest(tmp_path / "map.tif"))
    serving.run(*classify(other, tmp_path / "expected.tif"))
    assert digests[1] == digest(tmp_path / "expected.tif") != digests[0]


def test_relative_paths_start_from_the_folder_of_the_request(serving, pair, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        serving.run(*classify(pair, "map.tif"), cwd=str(tmp_path / name))
        assert (tmp_path / name / "map.tif").is_file()
    nowhere = tmp_path / "none"
    ending = serving.run("models", cwd=str(nowhere))[-1]
    assert ending == Failure(
        f"The folder `{nowhere}` cannot be entered: No such file or directory.",
        "no-folder",
        "Give `cwd` a folder that is there, or leave it out.",
    )
    target = tmp_path / "here.tif"
    relative = os.path.relpath(target)
    assert isinstance(serving.run(*classify(pair, relative))[-1], Result)
    assert target.is_file(), "without a folder, the engine's own"


HINT = 'Write {"run": ["COMMAND", …]} or {"cancel": true}, one object a line.'


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"classify ms.tif pan.tif", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'["run"]', "it is not an object"),
        (b"{}", "`run` is no list of words"),
        (b'{"run": "models"}', "`run` is no list of words"),
        (b'{"run": ["models", 3]}', "`run` is no list of words"),
        (b'{"run": ["models"], "cwd": 3}', "`cwd` is no folder's name"),
        (b'{"run": ["models"], "nice": 5}', "`nice` is not known"),
        (b'{"cancel": false}', "`cancel` is not known"),
    ],
)
def test_what_is_no_request_is_a_failure_with_a_sentence(one_for_all, line, why):
    one_for_all.write(line + b"\n")
    first, ending = one_for_all.answer()
    assert first.command == "serve"
    assert ending == Failure(f"This line is no request: {why}.", "request", HINT)


@pytest.fixture(scope="module")
def one_for_all() -> Iterator[Serving]:
    """An engine that no wrong request may end: it serves all tests of them."""
    engine = Serving()
    yield engine
    assert isinstance(engine.run("models")[-1], Result)
    assert engine.end() == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["paint"], "panloom: error: argument COMMAND: invalid choice: 'paint'"),
        ([], "panloom: error: the following arguments are required: COMMAND"),
        (["models", "--fast"], "panloom: error: unrecognized arguments: --fast"),
        (["sample"], "panloom sample: error: the following arguments are required: FOLDER"),
        (["--version"], "panloom 0."),
    ],
)
def test_wrong_usage_is_a_failure_and_the_engine_goes_on(one_for_all, words, says):
    first, ending = one_for_all.run(*words)
    assert first.command == "serve"
    assert ending.message.startswith("The engine does not run this command line.\n")
    assert says in ending.message
    assert (ending.code, ending.hint) == (
        "usage",
        "`panloom COMMAND --help` says what a command takes.",
    )


def test_an_engine_does_not_serve_within_itself(one_for_all):
    assert one_for_all.run("serve", "--events")[-1] == Failure(
        "A warm engine cannot serve within itself; it runs the other commands.",
        "usage",
        "Start another process for that.",
    )


def test_an_engine_that_nobody_asks_ends_by_itself():
    engine = Serving("--idle-minutes=0.01")
    assert isinstance(engine.run("models")[-1], Result)
    assert engine.line() == ""
    assert engine.process.wait(TIMEOUT_S) == 0


SLOW = """
import os, random, sys, threading, time
import torch
from panloom.engine import cli, outputs, serve
from panloom.engine.events import Progress, Result
from panloom.engine.recipes import models

{recipe}

models.run = recipe
if __name__ == "__main__":
    sys.exit(cli.main())
"""

DRAFTING = """
RUNS = []
def recipe(options, report):
    if RUNS:
        return Result(summary={{"runs": len(RUNS)}})
    RUNS.append(1)
    with outputs.Outputs(overwrite=True) as out:
        out.draft(os.environ["TARGET"]).write_text("half")
        report(Progress(0.1))
        {work}
"""
POLITE = "while True: report(Progress(0.2)); time.sleep(0.01)"
STUCK = "time.sleep(600)"
GRACE_S = {POLITE: 3.0, STUCK: 0.5}
"""A busy machine may let a run wait that would end at once."""


def started(tmp_path: Path, work: str) -> Serving:
    """Return an engine in the middle of a run with a draft."""
    grace = f"serve.grace_of = lambda command: {GRACE_S[work]}\n"
    code = SLOW.format(recipe=grace + DRAFTING.format(work=work))
    engine = Serving(code=code, TARGET=str(tmp_path / "map.tif"))
    engine.write(encode_run(["models"]))
    assert isinstance(decode(engine.line()), Hello)
    engine.line()
    assert len(list(tmp_path.iterdir())) == 1
    return engine


def test_a_cancelled_run_leaves_nothing_and_the_engine_goes_on(tmp_path):
    engine = started(tmp_path, POLITE)
    engine.write(encode_cancel())
    assert isinstance(engine.answer()[-1], Cancelled)
    assert list(tmp_path.iterdir()) == []
    time.sleep(GRACE_S[POLITE] + 0.2)  # when a run that hangs would have been ended by force
    assert isinstance(engine.run("models")[-1], Result)
    engine.write(encode_cancel())  # nothing runs: nothing to cancel, now or later
    assert isinstance(engine.run("models")[-1], Result)
    assert engine.end() == 0


def test_a_run_that_does_not_react_to_a_cancel_ends_the_process(tmp_path):
    engine = started(tmp_path, STUCK)
    engine.write(encode_cancel())
    assert isinstance(engine.answer()[-1], Cancelled)
    assert engine.process.wait(TIMEOUT_S) == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("work", [POLITE, STUCK], ids=["polite", "stuck"])
@pytest.mark.parametrize("by", ["stdin closes", "a polite kill"])
def test_the_end_of_the_engine_cancels_what_runs(tmp_path, work, by):
    engine = started(tmp_path, work)
    if by == "stdin closes":
        engine.process.stdin.close()
    else:
        engine.process.send_signal(signal.SIGTERM)
    assert isinstance(engine.answer()[-1], Cancelled)
    assert engine.line() == ""
    assert engine.process.wait(TIMEOUT_S) == 130
    assert list(tmp_path.iterdir()) == []


def test_requests_wait_for_their_turn_and_a_cancel_is_for_all_of_them(tmp_path):
    engine = started(tmp_path, POLITE)
    waiting = encode_run(["sample", str(tmp_path / "sample")]) + b"nonsense\n"
    engine.write(waiting + encode_cancel() + encode_run(["models"]))
    assert isinstance(engine.answer()[-1], Cancelled)
    first, ending = engine.answer()
    assert (first.command, ending) == ("sample", Cancelled())
    assert engine.answer()[-1].code == "request"
    assert isinstance(engine.answer()[-1], Result)
    assert engine.end() == 0
    assert list(tmp_path.iterdir()) == []


SLOW_TO_END = """
from panloom.engine.errors import Cancelled
serve.grace_of = lambda command: 30.0 if command == "models" else 0.2
def recipe(options, report):
    try:
        while True: report(Progress(0.2)); time.sleep(0.01)
    except Cancelled:
        time.sleep(1)
        return Result(summary={"kept": True})
"""


def test_runs_that_wait_do_not_shorten_the_time_that_a_cancelled_one_has(tmp_path):
    engine = Serving(code=SLOW.format(recipe=SLOW_TO_END))
    engine.write(encode_run(["models"]))
    assert isinstance(decode(engine.line()), Hello)
    engine.line()  # it is in its loop
    engine.write(encode_run(["sample", str(tmp_path / "sample")]) + encode_cancel())
    assert engine.answer()[-1] == Result(summary={"kept": True})
    assert engine.answer()[-1] == Cancelled()
    engine.end()


def test_an_error_that_nobody_foresaw_is_told_and_ends_the_engine():
    code = SLOW.format(recipe="def recipe(options, report): raise KeyError('band')")
    engine = Serving(code=code)
    ending = engine.run("models")[-1]
    assert ending.message == "An unexpected error ended the run (KeyError: 'band')."
    assert engine.line() == ""
    assert engine.process.wait(TIMEOUT_S) == 1
    assert "Traceback" in engine.process.stderr.read().decode()


UNTIDY = """
def recipe(options, report):
    found = {
        "folder": os.getcwd(), "variable": os.environ.get("GDAL_CACHEMAX"),
        "path": os.environ.get("PATH"), "threads": torch.get_num_threads(),
        "number": torch.rand(1).item(), "seed": torch.initial_seed(),
        "precision": torch.get_float32_matmul_precision(),
        "benchmark": torch.backends.cudnn.benchmark, "tf32": torch.backends.cudnn.allow_tf32,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads alive": threading.active_count(), "drafts": len(outputs._live),
    }
    os.chdir("/")
    os.environ["GDAL_CACHEMAX"] = "1"
    del os.environ["PATH"]
    torch.set_num_threads(1)
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(True)
    outputs.Outputs(overwrite=True).draft(os.environ["TARGET"]).write_text("forgotten")
    print("stray")
    return Result(summary=found)
"""


def test_what_a_run_changes_in_the_process_is_not_found_by_the_next(tmp_path):
    code = SLOW.format(recipe=UNTIDY)
    engine = Serving(code=code, TARGET=str(tmp_path / "map.tif"), OMP_NUM_THREADS="2")
    first, second = (engine.run("models")[-1].summary for _ in range(2))
    assert first == second
    assert first["threads"] == 2
    assert first["drafts"] == 0
    assert first["folder"] == os.getcwd()
    assert engine.end() == 0
    assert list(tmp_path.iterdir()) == []
