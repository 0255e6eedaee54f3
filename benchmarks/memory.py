"""The most memory that `panloom classify` holds, from small scenes to large ones.

    python benchmarks/memory.py [--sides 2048 8192 32768] [--most-mpx 72] [--runtime NAME]

A scene is a VRT that repeats a small pair and is as wide as said; it is as high as it is wide, or
lower where it would have more than ``--most-mpx`` million PAN pixels (0: never lower). Every scene
is classified with confidence by a process of its own. Writes ``results/memory.md``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from child_usage import Usage, run_child
from result_page import head, publish, row, table
from scenes import MODEL, Pair, base_pair, mosaic, scene_size

MIB = 2**20
COLUMNS = ("PAN pixels", "Mpx", "peak", "÷ the first", "s", "CPU s", "Mpx/s")


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[2048, 8192, 32768])
    parser.add_argument("--most-mpx", type=float, default=72.0)
    parser.add_argument("--model", default=MODEL)
    fast = "onnxruntime" if find_spec("onnxruntime") else "torch"
    parser.add_argument("--runtime", default=fast, help="the same for all sizes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        publish("memory", _lines(Path(folder), options))


def _lines(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    base = base_pair(folder)
    yield from head("Memory by the size of the scene", packages=("torch", "onnxruntime"))
    yield f"Scene: {base.text}, repeated as a VRT. Model `{options.model}`, with confidence,"
    yield f"runtime {options.runtime}. Goal: for 16 times the pixels"
    yield "at most 1.05 times the memory; less than 1.5 GB."
    sizes = [scene_size(side, options.most_mpx) for side in options.sides]
    yield from table(COLUMNS, ())
    first: Usage | None = None
    for width, height in sizes:
        pair = mosaic(base, width, height, folder)
        usage = run_child(_command(pair, folder, options.model, options.runtime))
        first = first or usage
        yield _row(pair, usage, first)
    if any(width != height for width, height in sizes):
        yield from ("", "The scenes that are not square have the full width and fewer rows:")
        yield f"at most {options.most_mpx:g} Mpx were asked for."
    yield from table(
        ("PAN pixels", "tile, MS px", "read ÷ written", "computed ÷ written"),
        _computed(sizes, options.model),
    )


def _computed(sizes: list[tuple[int, int]], model: str) -> Iterator[list[str]]:
    """Yield how much more than the map is computed; PyTorch comes in when nothing is watched."""
    import torch
    from tile_plan import computed_per_written, plan, read_per_written

    from panloom.engine.device import Device
    from panloom.models.bundle import load_bundle
    from panloom.models.file import find_model

    bundle = load_bundle(find_model(model))
    device, ratio = Device(torch.device("cpu"), ""), bundle.card.ratio
    for width, height in sizes:
        tiles = plan((width // ratio, height // ratio), bundle.network, device)
        write = tiles[0].write
        yield [
            f"{width:,} × {height:,}",
            f"{write.width} × {write.height}",
            f"{read_per_written(tiles):.2f}",
            f"{computed_per_written(bundle.network, tiles):.2f}",
        ]


def _command(pair: Pair, folder: Path, model: str, runtime: str) -> list[str]:
    outputs = [str(folder / "map.tif"), "--confidence", str(folder / "confidence.tif")]
    command = [sys.executable, "-m", "panloom.engine", "classify", pair.ms, pair.pan, *outputs]
    return [*command, "--model", model, "--runtime", runtime, "--overwrite"]


def _row(pair: Pair, usage: Usage, first: Usage) -> str:
    mpx = pair.pixels / 1e6
    return row(
        (
            f"{pair.width:,} × {pair.height:,}",
            f"{mpx:,.1f}",
            f"{usage.peak_bytes / MIB:,.0f} MiB",
            f"**{usage.peak_bytes / first.peak_bytes:.3f}**",
            f"{usage.wall_s:,.1f}",
            f"{usage.cpu_s:,.1f}",
            f"{mpx / usage.wall_s:.2f}",
        )
    )


if __name__ == "__main__":
    main()
