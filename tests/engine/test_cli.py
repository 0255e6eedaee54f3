"""The command line as programs and people use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from panloom.engine import cli
from panloom.engine.events import Failure, Hello, Result, decode

ENGINE = [sys.executable, "-m", "panloom.engine"]


def run(*arguments, **options):
    return subprocess.run(
        [*ENGINE, *arguments], capture_output=True, text=True, timeout=120, check=False, **options
    )


def events(*arguments):
    """Run with --events and an open leash; return the exit code, the events and stderr."""
    child = subprocess.Popen(
        [*ENGINE, *arguments, "--events"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = child.stdout.read().splitlines()
    errors = child.stderr.read()
    child.wait(60)
    return child.returncode, [decode(line) for line in lines], errors


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from panloom.engine import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'rasterio', 'geopandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["classify", "a.tif", "b.tif", "c.tif"],
        ["classify", "a.tif", "b.tif", "c.tif", "--model", "m", "--grid", "x"],
        ["classify", "a.tif", "b.tif", "c.tif", "--model", "m", "--tile-px", "0"],
        ["classify", "a.tif", "b.tif", "c.tif", "--model", "m", "--mmu-m2", "-1"],
        ["classify", "a.tif", "b.tif", "c.tif", "--model", "m", "--pan-shift", "1"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_models_as_text_and_json():
    done = run("models")
    assert done.returncode == 0
    assert "landsat-5class" in done.stdout
    cards = json.loads(run("models", "--json").stdout)["models"]
    assert [c["name"] for c in cards if c["ratio"] == 2]


def test_a_run_is_hello_then_one_terminal_event():
    code, received, _ = events("models")
    assert code == 0
    assert isinstance(received[0], Hello)
    assert received[0].command == "models"
    assert isinstance(received[-1], Result)
    assert len(received) == 2


def test_a_failure_is_a_sentence_and_exit_code_1(tmp_path):
    arguments = ["classify", "no.tif", "no.tif", str(tmp_path / "o.tif"), "--model", "no-such"]
    code, received, _ = events(*arguments)
    assert code == 1
    assert isinstance(received[-1], Failure)
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: There is no model named `no-such`")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_stray_prints_do_not_reach_the_event_stream():
    code = (
        "import os, sys\n"
        "from panloom.engine import cli\n"
        "from panloom.engine.recipes import models\n"
        "run = models.run\n"
        "def noisy(*a): print('stray'); os.write(1, b'raw stray\\n'); return run(*a)\n"
        "models.run = noisy\n"
        "sys.exit(cli.main(['models', '--events']))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = child.stdout.read().splitlines()
    stray = child.stderr.read()
    assert child.wait(60) == 0
    assert [type(decode(line)) for line in lines] == [Hello, Result]
    assert "stray\n" in stray
    assert "raw stray\n" in stray


def test_without_events_stdin_is_no_leash():
    done = run("models", stdin=subprocess.DEVNULL)
    assert done.returncode == 0


def test_every_command_has_a_recipe():
    parser = cli._parser()
    commands = parser._subparsers._group_actions[0].choices
    folder = os.path.join(os.path.dirname(cli.__file__), "recipes")
    runs = set(commands) - {"serve"}  # which runs the others
    assert {f"{c}.py" for c in runs} | {"__init__.py"} == {
        f for f in os.listdir(folder) if f.endswith(".py")
    }


CANCEL = """
import sys, time
from panloom.engine import cli, outputs
from panloom.engine.events import Progress
from panloom.engine.recipes import models

def slow(options, report):
    with outputs.Outputs(overwrite=False) as out:
        out.draft(sys.argv[1]).write_text("half")
        report(Progress(0.1))
        {work}

models.run = slow
sys.exit(cli.main(["models", "--events"]))
"""


@pytest.mark.parametrize(
    "work",
    ["while True: report(Progress(0.2)); time.sleep(0.01)", "time.sleep(600)"],
    ids=["between reports", "deep in a library"],
)
def test_closing_the_leash_cancels_and_leaves_nothing(tmp_path, work):
    child = subprocess.Popen(
        [sys.executable, "-c", CANCEL.format(work=work), str(tmp_path / "map.tif")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert isinstance(decode(child.stdout.readline()), Hello)
    child.stdout.readline()
    assert len(list(tmp_path.iterdir())) == 1
    child.stdin.close()
    rest = child.stdout.read().splitlines()
    assert child.wait(30) == 130
    assert [line for line in rest if '"cancelled"' in line] == rest[-1:]
    assert list(tmp_path.iterdir()) == []
