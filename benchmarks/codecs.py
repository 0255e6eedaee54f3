"""What it costs to write a class map: GDAL's codecs, and overviews made on the way or afterwards.

    python benchmarks/codecs.py [--rounds 5] [--side 3072]

The real rasters are a map of `panloom classify` and its confidence, where PANLOOM_DATA has the
pair (else of a made-up pair), repeated with mirrored neighbors; the noisy map is made up. Codecs
run in turn, round by round; ratios are medians over the rounds. Writes ``results/codecs.md``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from child_usage import run_child
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterioWindow
from result_page import head, publish, table
from scenes import MODEL, base_pair
from side_by_side import Contestant, Timing, ratio_text, time_in_turn

from panloom.engine.grid import Grid, Window
from panloom.engine.halving import majority, mean
from panloom.engine.map_raster import MapRaster
from panloom.engine.whole_blocks import BLOCK, LAYOUT

TILE_PX = 512
CLASSES = 5
MB = 1e6
CODECS: dict[str, dict[str, Any]] = {
    "DEFLATE 6": {"compress": "deflate", "zlevel": 6},
    "DEFLATE 1": {"compress": "deflate", "zlevel": 1},
    "ZSTD 9": {"compress": "zstd", "zstd_level": 9},
    "ZSTD 1": {"compress": "zstd", "zstd_level": 1},
    "LZW": {"compress": "lzw"},
    "none": {},
    "DEFLATE 1, 2 threads": {"compress": "deflate", "zlevel": 1, "num_threads": 2},
    "DEFLATE 1, 4 threads": {"compress": "deflate", "zlevel": 1, "num_threads": 4},
    "ZSTD 1, 2 threads": {"compress": "zstd", "zstd_level": 1, "num_threads": 2},
}
"""Creation options by name; the first is what the others are compared with."""


@dataclass(frozen=True)
class Raster:
    """Something to write: uint8 values (h, w), their nodata value, and how overviews halve them."""

    name: str
    values: NDArray[np.uint8]
    nodata: int
    halve: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
    resampling: Resampling

    @property
    def grid(self) -> Grid:
        """Return some grid of the raster's size."""
        height, width = self.values.shape
        return Grid(CRS.from_epsg(32616), Affine(15, 0, 5e5, 0, -15, 4e6), width, height)


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=3072, help="pixels; a multiple of 512")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        publish("codecs", _lines(Path(folder), options.rounds, options.side))


def _lines(folder: Path, rounds: int, side: int) -> Iterator[str]:
    yield from head("Writing a class map", packages=("rasterio", "numpy"))
    yield f"GDAL {rasterio.__gdal_version__}. uint8, {side:,} × {side:,} px, blocks of {BLOCK} px,"
    yield f"tiles of {TILE_PX} px. ns: CPU time of the process for each pixel. Medians of {rounds}"
    yield "rounds, and the range in brackets."
    rasters = [*_real(folder, side), _noisy(side)]
    for raster in rasters:
        yield from ("", f"## {raster.name}")
        yield from _codec_table(raster, folder, rounds)
    yield from ("", "Ratios above 1 are cheaper than DEFLATE 6. With threads of GDAL's own the CPU")
    yield "time is the sum over threads."
    yield from ("", "## Overviews: on the way, or GDAL's second pass over the finished file")
    columns = ("raster", "without, ns", "GDAL's, ns more", "on the way, ns more", "times cheaper")
    yield from table(columns, (_overview_row(raster, folder, rounds) for raster in rasters))
    yield from ("", "All with DEFLATE 1, overviews too. GDAL's: MODE for classes and AVERAGE for")
    yield "the confidence."


def _real(folder: Path, side: int) -> Iterator[Raster]:
    pair = base_pair(folder)
    files = folder / "map.tif", folder / "confidence.tif"
    command = [sys.executable, "-m", "panloom.engine", "classify", pair.ms, pair.pan]
    run_child([*command, str(files[0]), "--confidence", str(files[1]), "--model", MODEL])
    kinds = ((0, majority, Resampling.mode), (255, mean, Resampling.average))
    for file, what, kind in zip(files, ("Map", "Confidence"), kinds, strict=True):
        with rasterio.open(file) as source:
            values = source.read(1)
        # Mirrored, not cut: every border between the copies is one that might occur.
        pads = [(0, max(0, side - length)) for length in values.shape]
        yield Raster(
            f"{what} of {pair.text}", np.pad(values, pads, "symmetric")[:side, :side], *kind
        )


def _noisy(side: int) -> Raster:
    """Return squares of one class each, and a sixth of all pixels of a random class."""
    random = np.random.default_rng(0)
    squares = random.integers(1, CLASSES + 1, (side // 64, side // 64), dtype=np.uint8)
    values = squares.repeat(64, 0).repeat(64, 1)
    noise = random.random(values.shape, np.float32) < 1 / 6
    values[noise] = random.integers(1, CLASSES + 1, np.count_nonzero(noise), dtype=np.uint8)
    return Raster("Made-up map, noisy", values, 0, majority, Resampling.mode)


def _codec_table(raster: Raster, folder: Path, rounds: int) -> Iterator[str]:
    paths = [folder / f"codec{index}.tif" for index in range(len(CODECS))]
    writers = [
        Contestant(name, _writing(raster, path, {**_plain(), **codec}))
        for path, (name, codec) in zip(paths, CODECS.items(), strict=True)
    ]
    readers = [Contestant(name, _reading(path)) for path, name in zip(paths, CODECS, strict=True)]
    written = time_in_turn(writers, rounds)
    read = time_in_turn(readers, rounds)
    columns = ("codec", "MB", "write, ns", "CPU ratio", "wall ratio", "read, ns", "CPU ratio")
    rows = (
        (
            name, f"{path.stat().st_size / MB:.2f}",
            _ns(write.cpu), ratio_text(written[0].cpu, write.cpu),
            ratio_text(written[0].wall, write.wall),
            _ns(reading.cpu), ratio_text(read[0].cpu, reading.cpu),
        )
        for name, path, write, reading in zip(CODECS, paths, written, read, strict=True)
    )  # fmt: skip
    yield from table(columns, rows)


def _overview_row(raster: Raster, folder: Path, rounds: int) -> tuple[str, ...]:
    contestants = [
        Contestant("without", _writing(raster, folder / "without.tif", LAYOUT)),
        Contestant("GDAL", _writing(raster, folder / "gdal.tif", LAYOUT, overviews=True)),
        Contestant("on the way", _on_the_way(raster, folder / "panloom.tif")),
    ]
    without, gdal, ours = time_in_turn(contestants, rounds)
    more_gdal, more_ours = _more(gdal, without), _more(ours, without)
    cells = _ns(without.cpu), _ns(more_gdal), _ns(more_ours), ratio_text(more_gdal, more_ours)
    return raster.name, *cells


def _writing(
    raster: Raster, path: Path, options: dict[str, Any], *, overviews: bool = False
) -> Callable[[], int]:
    height, width = raster.values.shape

    def run() -> int:
        path.unlink(missing_ok=True)
        grid = raster.grid
        profile = {**options, "crs": grid.crs, "transform": grid.transform, "nodata": raster.nodata}
        with rasterio.open(path, "w", width=width, height=height, **profile) as dataset:
            for tile in _tiles(height, width):
                place = RasterioWindow(tile.col, tile.row, tile.width, tile.height)
                dataset.write(_of(raster, tile)[None], [1], window=place)
        if overviews:
            factors = [2 ** (n + 1) for n in range(20) if max(width, height) / 2**n > 512]
            with (
                rasterio.Env(ZLEVEL_OVERVIEW=str(LAYOUT["zlevel"])),
                rasterio.open(path, "r+") as dataset,
            ):
                dataset.build_overviews(factors, raster.resampling)
        return width * height

    return run


def _on_the_way(raster: Raster, path: Path) -> Callable[[], int]:
    def run() -> int:
        path.unlink(missing_ok=True)
        writer = MapRaster(path, raster.grid, raster.nodata, raster.halve)
        for tile in _tiles(*raster.values.shape):
            writer.write(tile, _of(raster, tile))
        writer.close()
        return raster.values.size

    return run


def _reading(path: Path) -> Callable[[], int]:
    def run() -> int:
        with rasterio.open(path) as dataset:
            return int(dataset.read(1).size)

    return run


def _plain() -> dict[str, Any]:
    return {key: value for key, value in LAYOUT.items() if key not in ("compress", "zlevel")}


def _tiles(height: int, width: int) -> Iterator[Window]:
    for row in range(0, height, TILE_PX):
        for col in range(0, width, TILE_PX):
            yield Window(col, row, min(TILE_PX, width - col), min(TILE_PX, height - row))


def _of(raster: Raster, tile: Window) -> NDArray[np.uint8]:
    return raster.values[tile.row : tile.bottom, tile.col : tile.right]


def _more(timing: Timing, base: Timing) -> list[float]:
    return [one - other for one, other in zip(timing.cpu, base.cpu, strict=True)]


def _ns(seconds: list[float]) -> str:
    return f"{1e9 * statistics.median(seconds):.1f}"


if __name__ == "__main__":
    main()
