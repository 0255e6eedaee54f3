"""A whole run, from files to files, beside a bare forward of the same windows.

    python benchmarks/end_to_end.py [--side 2048] [--rounds 5] [--runtime NAME]

Whole run: `Predictor.predict` over the pair, read ahead, and `ClassMapWriter` with confidence and
overviews. Bare: the same windows in memory, by the same runtime and as many workers. What a ratio
compares runs in turn, round by round. Prints the table and writes ``results/end_to_end.md``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from engine_run import installed_runtimes
from forward_only import ReadyScene
from result_page import NOT_MEASURED, head, publish, row, table
from scenes import MODEL, Pair, base_pair, mosaic
from side_by_side import Contestant, ratio_text, time_in_turn
from tile_plan import computed_per_written

from panloom.engine.class_map import ClassMapWriter, MapPaths
from panloom.engine.grid import Window
from panloom.engine.predict import Predictor, TilePrediction
from panloom.engine.scene.pair import ScenePair
from panloom.engine.tiling import Tile
from panloom.models.bundle import load_bundle
from panloom.models.file import find_model

COLUMNS = (
    "runtime",
    "Mpx/s",
    "÷ graph: wall",
    "CPU",
    "÷ network alone: wall",
    "CPU",
    "computed ÷ written",
)


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048, help="PAN pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtime", action="append", help="default: each that is installed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pair = mosaic(base_pair(work), options.side, options.side, work)
        names = options.runtime or installed_runtimes()
        publish("end_to_end", _lines(pair, work, names, options.rounds))


def _lines(pair: Pair, work: Path, names: list[str], rounds: int) -> Iterator[str]:
    yield from head("A whole run beside a bare forward", packages=("torch", "rasterio"))
    yield f"Scene: {pair.text};"
    yield f"{pair.width} × {pair.height} PAN pixels. Model `{MODEL}`."
    yield f"Medians of {rounds} rounds, and the range in brackets. Goal: wall ≤ 1.10."
    yield from table(COLUMNS, ())
    for name in names:
        yield _row(pair, work, name, rounds)
    yield from (
        "",
        "Whole run: files read, radiometry, network, class and confidence, both rasters",
    )
    yield "with overviews written; in one process that has loaded the model. Graph: radiometry,"
    yield "network, class and confidence of the same windows, halos included, ready in memory."
    yield "Network alone: logits of the same windows from scaled pixels. As many workers each."
    yield "Mpx/s: map pixels by the whole run's wall time."


def _row(pair: Pair, work: Path, name: str, rounds: int) -> str:
    bundle = load_bundle(find_model(MODEL))
    with ScenePair.open(pair.ms, pair.pan, ratio=bundle.card.ratio) as scene:
        try:
            ready = ReadyScene(scene, bundle, name)
        except RuntimeError as error:
            return row((f"{name}: {error}", *[NOT_MEASURED] * (len(COLUMNS) - 1)))
        pixels = scene.map_window.width * scene.map_window.height
        contestants = [
            Contestant(
                "whole run",
                lambda: write_map(scene, ready.predictor, ready.tiles, work, "confidence.tif"),
            ),
            Contestant("graph", lambda: ready.run_graph() and pixels),
            Contestant("network alone", lambda: ready.run_network() and pixels),
        ]
        run, graph, network = time_in_turn(contestants, rounds)
    return row(
        (
            ready.title,
            f"{run.rate / 1e6:.2f}",
            ratio_text(run.wall, graph.wall),
            ratio_text(run.cpu, graph.cpu),
            ratio_text(run.wall, network.wall),
            ratio_text(run.cpu, network.cpu),
            f"{computed_per_written(bundle.network, ready.tiles):.2f}",
        )
    )


def write_map(
    scene: ScenePair, predictor: Predictor, tiles: list[Tile], folder: Path, confidence: str | None
) -> int:
    """Classify the scene into ``folder`` as the engine does; return the map's pixels.

    ``confidence`` is the name of that raster's file, None for none.
    """
    inside = scene.map_window
    paths = MapPaths(folder / "map.tif", folder / confidence if confidence else None)
    card = predictor.bundle.card
    with ClassMapWriter(paths, scene.pan.grid.crop(inside), card.classes, {}) as writer:
        for prediction in predictor.predict(scene, tiles):
            _write(writer, prediction, inside, card.ratio)
    return inside.width * inside.height


def _write(writer: ClassMapWriter, prediction: TilePrediction, inside: Window, ratio: int) -> None:
    """Write what of a prediction lies in the map."""
    covered = prediction.tile.write.refine(ratio)
    part = covered.intersect(inside)
    if part is None:
        return
    rows = slice(part.row - covered.row, part.bottom - covered.row)
    cols = slice(part.col - covered.col, part.right - covered.col)
    moved = Window(part.col - inside.col, part.row - inside.row, part.width, part.height)
    writer.write(moved, prediction.codes[rows, cols], prediction.confidence[rows, cols])


if __name__ == "__main__":
    main()
