"""A billion pixels: the memory that their map takes, and whether it depends on the tiling.

    python benchmarks/large_mosaic.py [--side 32768] [--tilings default 200x1 ...]

A scene is a VRT that repeats a real pair. It is classified, with confidence, with one tiling after
the other, tile side × batch size, each in a process of its own; maps are compared with the first.
Prints the table and writes ``results/large_mosaic.md``. With four cores a billion pixels take six
minutes a tiling. Linux only.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import rasterio
from child_usage import Usage, run_child
from rasterio.windows import Window
from result_page import head, publish, row, table
from scenes import MODEL, Pair, base_pair, mosaic

COLUMNS = ("tiling", "peak", "s", "Mpx/s", "pixels compared", "class differs", "confidence differs")
ROWS, MIB = 512, 2**20


def main() -> None:
    """Classify, compare, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=32768, help="PAN pixels")
    parser.add_argument("--tilings", nargs="+", default=["default", "200x1"], metavar="TILExBATCH")
    parser.add_argument("--runtime", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        publish("large_mosaic", _lines(Path(folder), options))


def _lines(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    pair = mosaic(base_pair(folder), options.side, options.side, folder)
    yield from head("A billion pixels", packages=("torch", "onnxruntime"))
    yield f"Scene: {pair.text}; {pair.width:,} × {pair.height:,} PAN pixels. Model `{MODEL}`,"
    yield f"runtime {options.runtime}, class map and confidence with overviews. Tilings are tile"
    yield "side in MS pixels x batch size. Goals: less than 1.5 GB, and at most one pixel in ten"
    yield "million that differs from the first tiling."
    yield from table(COLUMNS, ())
    for number, tiling in enumerate(options.tilings):
        files = _files(folder, number)
        usage = run_child(_command(pair, files, tiling, options.runtime))
        differing = _differing(_files(folder, 0), files) if number else None
        yield _row(pair, tiling, usage, differing)


def _files(folder: Path, number: int) -> tuple[Path, Path]:
    """Return the class map and the confidence of a tiling."""
    return folder / f"map_{number}.tif", folder / f"confidence_{number}.tif"


def _command(pair: Pair, files: tuple[Path, Path], tiling: str, runtime: str) -> list[str]:
    command = [sys.executable, "-m", "panloom.engine", "classify", pair.ms, pair.pan, str(files[0])]
    command += ["--confidence", str(files[1]), "--model", MODEL, "--runtime", runtime]
    if tiling != "default":
        tile_px, batch_size = tiling.split("x")
        command += ["--tile-px", tile_px, "--batch-size", batch_size]
    return [*command, "--device", "cpu"]


def _differing(first: tuple[Path, Path], second: tuple[Path, Path]) -> list[int]:
    """Return in how many pixels class and confidence differ."""
    return [_different_pixels(a, b) for a, b in zip(first, second, strict=True)]


def _different_pixels(first: Path, second: Path) -> int:
    with rasterio.open(first) as one, rasterio.open(second) as other:
        count = 0
        for top in range(0, one.height, ROWS):
            window = Window(0, top, one.width, min(ROWS, one.height - top))
            count += int((one.read(1, window=window) != other.read(1, window=window)).sum())
        return count


def _row(pair: Pair, tiling: str, usage: Usage, differing: list[int] | None) -> str:
    compared = [""] * 3 if differing is None else [f"{pair.pixels:,}", *map(str, differing)]
    return row(
        (
            tiling,
            f"{usage.peak_bytes / MIB:,.0f} MiB",
            f"{usage.wall_s:,.0f}",
            f"{pair.pixels / 1e6 / usage.wall_s:.2f}",
            *compared,
        )
    )


if __name__ == "__main__":
    main()
