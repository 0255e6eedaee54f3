"""Stands in for an engine that can serve: ``python fake_warm_engine.py engine serve …``.

FAKE_SERVE says how it serves, and the first word of a run what the run does. Started with a run
instead of ``serve`` it does that run and ends, as an engine of its own. Standard library only.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time

from fake_engine import VERSION, say

REQUESTS: queue.SimpleQueue[dict | None] = queue.SimpleQueue()


def hello(command: str, version: str = VERSION) -> None:
    """Write the first line of the process, or of a run."""
    say("hello", version=version, command=command, pid=os.getpid(), protocol=1)


def read_requests() -> None:
    """Pass on what stdin says; a process whose stdin closes ends, with all it does."""
    for line in sys.stdin:
        REQUESTS.put(json.loads(line))
    REQUESTS.put(None)
    time.sleep(0.2)
    os._exit(0)


def serve(how: str) -> None:
    """Answer requests, or misbehave."""
    if how == "usage":
        sys.stderr.write("panloom: error: argument COMMAND: invalid choice: 'serve'\n")
        os._exit(2)
    if how == "garbage":
        print("Welcome!", flush=True)
    hello("serve", "9.9.9" if how == "skew" else VERSION)
    threading.Thread(target=read_requests, daemon=True).start()
    while (request := REQUESTS.get()) is not None:
        if how == "dies":
            os._exit(3)
        if "run" in request:
            run(request["run"], request["cwd"], warm=True)


def run(words: list[str], cwd: str, warm: bool) -> None:
    """Do what the first word says."""
    hello(words[0])
    result = {"pid": os.getpid(), "words": words[1:], "cwd": cwd, "warm": warm}
    if words[0] == "good":
        say("message", text="half way", level="info")
        say("progress", fraction=0.5, stage="classifying", rate=1e6, remaining_s=4.0)
        say("result", outputs={}, summary=result)
    elif words[0] == "talkative":
        say("result", outputs={}, summary=result)
        say("message", text="one more thing", level="info")
    elif words[0] == "failure":
        sys.stderr.write("Traceback: line 7\n")
        say("failure", message="MS and PAN do not overlap.", code="no-overlap", hint="Choose.")
    elif words[0] == "crash":
        sys.stderr.write("reading tile 4\n")
        sys.stderr.flush()
        os.abort()
    elif words[0] == "wait":
        say("message", text="waiting", level="info")
        if REQUESTS.get() in ({"cancel": True}, None):
            say("cancelled")
    elif words[0] == "stubborn":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        say("message", text=f"child {child.pid}", level="info")
        time.sleep(600)


if __name__ == "__main__":
    if sys.argv[2] == "serve":
        serve(os.environ.get("FAKE_SERVE", "well"))
    else:
        run(sys.argv[2:], "", warm=False)
