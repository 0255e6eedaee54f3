"""Where `panloom classify` spends its CPU time, stage by stage, on one core.

    python benchmarks/where_time_goes.py [--side 2048] [--runtime NAME]

The whole command, with confidence and polygons, runs on one core, so that a share of the CPU time
is nearly a share of the wall time. The same windows, computed by the network alone, are the limit.
Prints a table for each runtime and writes ``results/where_time_goes.md``. Linux only.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import FrameType

import torch
from cpu_sampling import CpuSampler
from engine_run import classify, installed_runtimes
from forward_only import ReadyScene
from result_page import NOT_MEASURED, head, publish, table
from scenes import MODEL, Pair, base_pair, mosaic
from side_by_side import Contestant, ratio_text, time_in_turn

import panloom.engine
from panloom.engine.scene.pair import ScenePair
from panloom.models.bundle import load_bundle
from panloom.models.file import find_model

PACKAGE = str(Path(panloom.engine.__file__).resolve().parents[1])
REST = "model, styles, manifest and the rest"
START, START_MARK = "runtime's start: graph, session, comparison with torch", ":start_runtime"
STAGES = (
    (REST, ("models/bundle", "models/file", "models/card")),
    ("radiometry", ("engine/radiometry",)),
    ("network", ("models/",)),
    ("argmax and confidence", (":_most_probable", ":_to_ms_grid")),
    ("network, radiometry, argmax and confidence in one graph", (":_run_one",)),
    ("between the stages: copies and cuts", ("engine/runtimes/", "engine/predict")),
    ("read", ("engine/scene/", "engine/read_ahead")),
    ("overviews", ("engine/overviews", "engine/halving", "engine/tiff_pages")),
    ("write", ("engine/class_map", "engine/map_raster", "engine/whole_blocks")),
    ("polygons", ("engine/polygons/",)),
    (REST, ("engine/",)),
)
"""Stages and what marks them in ``FILE:FUNCTION``; the first that fits the innermost frame."""


@dataclass(frozen=True)
class WatchedRun:
    """CPU seconds of a run and of its stages."""

    cpu_s: float
    seconds: dict[str, float]


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048, help="PAN pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runtime", action="append", help="default: each that is installed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pair = mosaic(base_pair(work), options.side, options.side, work)
        names = options.runtime or installed_runtimes()
        publish("where_time_goes", _lines(pair, work, names, options.rounds))


def stage_of(frame: FrameType) -> str:
    """Return the stage that a stack is in, by its innermost frame of the engine.

    What a runtime's start calls, the network among it, is that start.
    """
    places = list(_places(frame))
    if any(START_MARK in place for place in places):
        return START
    stages = (stage for stage, marks in STAGES if any(mark in places[0] for mark in marks))
    return next(stages) if places else REST


def _places(frame: FrameType | None) -> Iterator[str]:
    """Yield ``FILE:FUNCTION`` of the engine's frames, the innermost first."""
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith((f"{PACKAGE}/engine", f"{PACKAGE}/models")):
            yield f"{path[len(PACKAGE) + 1 :]}:{frame.f_code.co_name}"
        frame = frame.f_back


def _lines(pair: Pair, work: Path, names: list[str], rounds: int) -> Iterator[str]:
    yield from head("Where the time goes", packages=("torch", "onnxruntime", "openvino"))
    yield f"Scene: {pair.text};"
    yield f"{pair.width} × {pair.height} PAN pixels. Model `{MODEL}`, with confidence and"
    yield "polygons. One core is used: every thread's CPU time is read fifty times a second and"
    yield "goes to the stage that the thread is in (`cpu_sampling.py`). A table is the run in the"
    yield f"middle of {rounds}; whole runs and limits take turns, {rounds} times."
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    for name in names:
        yield from ("", f"## {name}")
        yield from _table(pair, work, name, rounds)


def _table(pair: Pair, work: Path, runtime: str, rounds: int) -> Iterator[str]:
    """Yield the table of one runtime, and its limits."""
    bundle = load_bundle(find_model(MODEL))
    with ScenePair.open(pair.ms, pair.pan, ratio=bundle.card.ratio) as scene:
        try:
            ready = ReadyScene(scene, bundle, runtime)
        except RuntimeError as error:
            yield from ("", f"{NOT_MEASURED}: {error}")
            return
        contestants = [
            Contestant("whole run", lambda: _classify(pair, work, runtime)),
            Contestant("network alone", lambda: ready.run_network() and 1),
            Contestant("graph", lambda: ready.run_graph() and 1),
        ]
        run, network, graph = time_in_turn(contestants, rounds)
    watched = [_watched_run(pair, work, runtime) for _ in range(rounds)]
    middle = sorted(watched, key=lambda run: run.cpu_s)[rounds // 2]
    yield from table(("stage", "CPU s", "s/Mpx", "share"), _rows(middle, pair))
    seconds = [median(timing.cpu) for timing in (run, network, graph)]
    yield from ("", f"Not watched, without polygons: {seconds[0]:.2f} CPU s. The network alone")
    yield f"takes {seconds[1]:.2f} for the same windows, the engine's graph {seconds[2]:.2f}."
    yield f"The run takes {ratio_text(run.cpu, network.cpu)} times the CPU time of the network"
    yield f"alone and {ratio_text(run.cpu, graph.cpu)} times that of the graph."


def _classify(pair: Pair, work: Path, runtime: str, **files: str) -> int:
    """Make map and confidence; return 1, so that times are those of a whole run."""
    files["confidence"] = str(work / "confidence.tif")
    classify(pair.ms, pair.pan, str(work / "map.tif"), runtime, **files)
    return 1


def _watched_run(pair: Pair, work: Path, runtime: str) -> WatchedRun:
    sampler = CpuSampler(stage_of)
    cpu = time.process_time()
    with sampler:
        _classify(pair, work, runtime, polygons=str(work / "map.gpkg"))
    return WatchedRun(time.process_time() - cpu - sampler.own_s, dict(sampler.seconds))


def _rows(run: WatchedRun, pair: Pair) -> Iterator[list[str]]:
    unseen = {"not seen between two looks": run.cpu_s - sum(run.seconds.values())}
    for stage, spent in sorted((run.seconds | unseen).items(), key=lambda item: -item[1]):
        if spent > 0:
            per_mpx = spent / pair.pixels * 1e6
            yield [stage, f"{spent:.2f}", f"{per_mpx:.3f}", f"{100 * spent / run.cpu_s:.1f} %"]


if __name__ == "__main__":
    main()
