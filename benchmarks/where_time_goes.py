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
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

import torch
from cpu_sampling import NATIVE, CpuSampler
from engine_run import classify, installed_runtimes
from forward_only import ReadyScene
from result_page import head, publish, table
from scenes import MODEL, Pair, base_pair, mosaic, small_pair

import panloom.engine
from panloom.engine.allocator import reuse_memory
from panloom.engine.scene.pair import ScenePair
from panloom.models.bundle import load_bundle
from panloom.models.file import find_model

PACKAGE = str(Path(panloom.engine.__file__).resolve().parents[1])
REST = "model, first tile, styles, manifest and the rest"
STAGES = (
    (REST, ("models/bundle", "models/file", "models/card", "runtimes/onnx_graph", "agreement")),
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


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048, help="PAN pixels")
    parser.add_argument("--runtime", action="append", help="default: each that is installed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    reuse_memory()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pair = mosaic(base_pair(work), options.side, options.side, work)
        names = options.runtime or installed_runtimes()
        publish("where_time_goes", _lines(pair, work, names))


def stage_of(frame: FrameType) -> str:
    """Return the stage that a stack is in, by its innermost frame of the engine."""
    found: FrameType | None = frame
    while found is not None:
        path = found.f_code.co_filename
        if path.startswith((f"{PACKAGE}/engine", f"{PACKAGE}/models")):
            place = f"{path[len(PACKAGE) + 1 :]}:{found.f_code.co_name}"
            return next(stage for stage, marks in STAGES if any(mark in place for mark in marks))
        found = found.f_back
    return REST


def _lines(pair: Pair, work: Path, names: list[str]) -> Iterator[str]:
    yield from head("Where the time goes", packages=("torch", "onnxruntime", "openvino"))
    yield f"Scene: {pair.text};"
    yield f"{pair.width} × {pair.height} PAN pixels. Model `{MODEL}`, with confidence and"
    yield "polygons. One core is used: every thread's CPU time is read some hundred"
    yield "times a second and goes to the stage that the thread is in (`cpu_sampling.py`)."
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    small = small_pair(work)
    for name in names:
        yield from ("", f"## {name}")
        classify(small.ms, small.pan, str(work / "first.tif"), name)  # imports are not counted
        yield from _table(pair, work, name)


def _table(pair: Pair, work: Path, runtime: str) -> Iterator[str]:
    """Yield the table of one runtime, and its limit."""
    files = {"confidence": str(work / "confidence.tif"), "polygons": str(work / "map.gpkg")}
    sampler = CpuSampler(stage_of)
    wall, cpu = time.perf_counter(), time.process_time()
    with sampler:
        classify(pair.ms, pair.pan, str(work / "map.tif"), runtime, **files)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu - sampler.own_s
    yield from table(("stage", "CPU s", "s/Mpx", "share"), _rows(sampler.seconds, cpu, pair))
    try:
        network, graph = _limits(pair, runtime)
    except RuntimeError as error:
        yield from ("", f"The runtime is another: {error}")
        return
    yield from (
        "",
        f"Whole run: {cpu:.1f} CPU s, {wall:.1f} s of wall time. The same windows ready",
    )
    yield f"in memory: {network:.1f} CPU s by the network alone, {graph:.1f} by the engine's graph."
    map_only = cpu - sampler.seconds["polygons"]
    yield f"Without polygons the run takes **{map_only / network:.2f}** times the CPU time of the"
    yield f"network alone and **{map_only / graph:.2f}** times that of the graph."


def _rows(seconds: Mapping[str, float], total: float, pair: Pair) -> Iterator[list[str]]:
    stages = {**{stage: 0.0 for stage, _ in STAGES}, NATIVE: 0.0, **seconds}
    stages["not seen between two looks"] = total - sum(seconds.values())
    for stage, spent in sorted(stages.items(), key=lambda item: -item[1]):
        if spent > 0:
            per_mpx = spent / pair.pixels * 1e6
            yield [stage, f"{spent:.2f}", f"{per_mpx:.3f}", f"{100 * spent / total:.1f} %"]


def _limits(pair: Pair, runtime: str) -> tuple[float, float]:
    """Return the CPU seconds of the network alone and of the graph, the second time each."""
    bundle = load_bundle(find_model(MODEL))
    with ScenePair.open(pair.ms, pair.pan, ratio=bundle.card.ratio) as scene:
        ready = ReadyScene(scene, bundle, runtime)
        spent = []
        for run in (ready.run_network, ready.run_graph) * 2:
            began = time.process_time()
            run()
            spent.append(time.process_time() - began)
    return spent[2], spent[3]


if __name__ == "__main__":
    main()
