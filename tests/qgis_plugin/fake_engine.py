"""Stands in for the engine: speaks its protocol, and misbehaves as FAKE_ENGINE asks.

Started as ``python fake_engine.py -m panloom.engine classify …`` by the script that ``fake_python``
(conftest.py) writes. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

VERSION = (Path(__file__).parents[2] / "engine" / "version.py").read_text().split('"')[-2]


TRAINED = {"epochs": 1, "best_epoch": 1, "ended": "cancelled", "accuracy": None}


def say(event: str, **fields: object) -> None:
    """Write one event line."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def hello(version: str = VERSION) -> None:
    """Write the first line."""
    say("hello", version=version, command="classify", pid=os.getpid(), protocol=1)


def good() -> None:
    """Copy the PAN to the class map and tell what a run tells."""
    words = [w for w in sys.argv if not w.startswith("-")]
    ms, pan, target = words[words.index("classify") + 1 :][:3]
    say("message", text="PAN grid taken", level="info")
    say("message", text="MS and PAN differ by half a pixel", level="warning")
    for step in range(1, 5):
        say("progress", fraction=step / 4, stage="classifying", rate=1e6, remaining_s=4.0 - step)
    shutil.copy(pan, target)
    say("result", outputs={"map": target}, summary={"ms": ms})


def finish_in_spite_of_cancel() -> None:
    """Do what ``good`` does once the leash closes, as an engine does that has just finished."""
    say("message", text="nearly done", level="info")
    while sys.stdin.read(1):
        pass
    good()


def wait_for_leash() -> None:
    """Block until stdin is closed, then end as the engine does."""
    while sys.stdin.read(1):
        pass
    say("cancelled")
    sys.exit(130)


def train() -> None:
    """Train until the leash closes, with a model after one epoch, and end without a result."""
    words = [w for w in sys.argv if not w.startswith("-")]
    target = Path(words[words.index("train") + 4])
    say("message", text="Epoch 1: loss 1.20, accuracy 61.0 %", level="info")
    target.write_bytes(b"the best so far")
    say("message", text="saved", level="info")
    wait_for_leash()


def keep_input() -> None:
    """Copy the samples to the model, so that a test sees what the engine was given."""
    words = [w for w in sys.argv if not w.startswith("-")]
    source, target = words[words.index("train") + 3 :][:2]
    shutil.copy(source, target)
    say("result", outputs={"model": target}, summary=TRAINED)


def train_without_model() -> None:
    """Train until the leash closes, and have nothing to show for it."""
    say("message", text="Stage I", level="info")
    wait_for_leash()


def train_with_late_result() -> None:
    """Take longer to write the model, once the leash closes, than other commands may take."""
    words = [w for w in sys.argv if not w.startswith("-")]
    target = Path(words[words.index("train") + 4])
    say("message", text="Epoch 1: loss 1.20, accuracy 61.0 %", level="info")
    while sys.stdin.read(1):
        pass
    time.sleep(3.0)
    target.write_bytes(b"the best so far")
    say("result", outputs={"model": str(target)}, summary=TRAINED)


def hang_with_child() -> None:
    """Ignore the leash and every polite signal, with a child that does the same."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", sleep])
    say("message", text=f"child {child.pid}", level="info")
    threading.Event().wait(600)


def outlived_by_child() -> None:
    """Finish, leaving a child that holds the streams open."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    say("message", text=f"child {child.pid}", level="info")
    say("result", outputs={}, summary={})


def main() -> None:
    """Do what FAKE_ENGINE says."""
    mode = os.environ.get("FAKE_ENGINE", "good")
    if mode == "skew":
        hello("9.9.9")
        wait_for_leash()
    elif mode == "no hello":
        say("progress", fraction=0.5, stage="classifying")
    elif mode == "usage":
        _exit(2, "panloom: error: unrecognized arguments: --nonsense\n")
    elif mode == "not installed":
        sys.exit(f"{sys.executable}: No module named panloom")
    else:
        hello()
        say("progress", fraction=0.1, stage="classifying")
        BEHAVIORS[mode]()


def _exit(code: int, text: str = "") -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
    os._exit(code)


def _kill(number: int) -> None:
    sys.stderr.write("reading tile 3\nreading tile 4\n")
    sys.stderr.flush()
    os.kill(os.getpid(), number)
    time.sleep(60)


def _talk_after_the_end() -> None:
    say("result", outputs={}, summary={})
    say("message", text="one more thing", level="info")


def _hang_after_result() -> None:
    say("result", outputs={"map": "done.tif"}, summary={})
    time.sleep(600)


def _flood() -> None:
    for n in range(20_000):
        say("progress", fraction=n / 20_000, stage="classifying")
        sys.stderr.write(f"stray {n}\n")
    say("result", outputs={}, summary={})


BEHAVIORS = {
    "good": good,
    "finishing": finish_in_spite_of_cancel,
    "obey": wait_for_leash,
    "hang": hang_with_child,
    "train": train,
    "keep input": keep_input,
    "train without model": train_without_model,
    "train with late result": train_with_late_result,
    "outlived": outlived_by_child,
    "garbage": lambda: print("Segmentation map ready!", flush=True),
    "talkative": _talk_after_the_end,
    "late": _hang_after_result,
    "flood": _flood,
    "silent": lambda: _exit(3),
    "killed": lambda: _kill(signal.SIGKILL),
    "crashed": lambda: _kill(signal.SIGSEGV),
    "failure": lambda: say(
        "failure", message="MS and PAN do not overlap.", code="no-overlap", hint="Choose a pair."
    ),
}

if __name__ == "__main__":
    main()
