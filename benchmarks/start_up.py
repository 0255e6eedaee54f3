"""How long Panloom takes to begin: the command line, a first tile, and both in a warm engine.

    python benchmarks/start_up.py [--rounds 7]

All run in turn, round by round; times are medians. What starts cold is a process of its own, but
its files lie in the page cache. Prints the table and writes ``results/start_up.md``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from child_usage import run_child
from result_page import head, publish, table
from scenes import MODEL, Pair, small_pair

from panloom.engine.events import Progress
from panloom.qgis_plugin.engine_command import engine_command
from panloom.qgis_plugin.engine_process import Listener, run_engine
from panloom.qgis_plugin.warm_engine import WarmEngine

Times = dict[str, float]
"""Seconds from the start, by what was reached."""

PYTHON, HELP, TORCH = "`python -c pass`", "`panloom --help`", "`python -c 'import torch'`"
COLD, WARM = "`panloom classify`, {}", "the same in a warm engine (`panloom serve`), {}"
GOALS = {HELP: 0.3, COLD.format("first tile"): 4.0, WARM.format("first tile"): 0.3}


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pair = small_pair(Path(folder))
        publish("start_up", _lines(pair, Path(folder) / "map.tif", options.rounds))


def _lines(pair: Pair, output: Path, rounds: int) -> Iterator[str]:
    yield from head("Start-up")
    yield f"Scene: {pair.text}, {pair.width} × {pair.height} PAN pixels; model `{MODEL}`. Medians"
    yield f"of {rounds} rounds, and the range in brackets."
    warm = WarmEngine()
    try:
        contestants = _contestants(pair, output, warm)
        for measure in contestants:
            measure()
        found = [[measure() for measure in contestants] for _ in range(rounds)]
    finally:
        warm.close()
    yield from table(("what", "seconds", "goal"), _rows(found))


def _contestants(pair: Pair, output: Path, warm: WarmEngine) -> list[Callable[[], Times]]:
    """Return what is timed, in the order in which it takes turns."""
    engine = [sys.executable, "-m", "panloom.engine"]
    command = engine_command(
        sys.executable, "classify", pair.ms, pair.pan, str(output), model=MODEL, overwrite=True
    )
    return [
        lambda: {PYTHON: run_child([sys.executable, "-c", "pass"]).wall_s},
        lambda: {HELP: run_child([*engine, "--help"]).wall_s},
        lambda: {TORCH: run_child([sys.executable, "-c", "import torch"]).wall_s},
        lambda: _followed(COLD, lambda listener: run_engine(command, os.environ, listener)),
        lambda: _followed(WARM, lambda listener: warm.run(command, os.environ, listener)),
    ]


def _followed(name: str, run: Callable[[Listener], object]) -> Times:
    """Return when the first tile was written and when the run had ended."""
    tiles: list[float] = []

    def on_progress(progress: Progress) -> None:
        if progress.stage == "classifying":
            tiles.append(time.perf_counter())

    began = time.perf_counter()
    run(Listener(lambda: False, on_progress))
    end = time.perf_counter()
    return {name.format("first tile"): tiles[0] - began, name.format("end"): end - began}


def _rows(found: list[list[Times]]) -> Iterator[list[str]]:
    for index, names in enumerate(found[0]):
        for name in names:
            times = [one_round[index][name] for one_round in found]
            span = f"({min(times):.2f}…{max(times):.2f})"
            goal = f"≤ {GOALS[name]:.1f}" if name in GOALS else ""
            yield [name, f"**{statistics.median(times):.2f}** {span}", goal]


if __name__ == "__main__":
    main()
