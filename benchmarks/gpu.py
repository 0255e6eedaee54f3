"""A run on a GPU beside reading alone and beside the network alone on pixels that are there.

    python benchmarks/gpu.py [--side 30000] [--rounds 5] [--files vrt|tiff]

Needs CUDA; without it the table says "not measured". No polygons, and no confidence: the class
map with its overviews. The scene repeats a small pair: in VRT files, whose blocks GDAL keeps after
they were decoded once, or written out as uncompressed GeoTIFFs (5 GB for the default side). Prints
the tables and writes ``results/gpu.md``.

Why the engine has neither CUDA graphs nor ``torch.compile``: docs/decisions/0014.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import rasterio.shutil
import torch
from end_to_end import write_map
from result_page import NOT_MEASURED, head, publish, table
from scenes import MODEL, Pair, base_pair, described, mosaic
from side_by_side import Contestant, Timing, ratio_text, time_in_turn
from tile_plan import computed_per_written, plan

from panloom.engine.device import Device, choose_device
from panloom.engine.predict import Predictor
from panloom.engine.radiometry import fit_radiometry
from panloom.engine.runtimes.torch_runtime import TorchRuntime
from panloom.engine.scene.pair import ScenePair
from panloom.engine.scene.raster_files import gdal_cache
from panloom.engine.tiling import Tile
from panloom.models.bundle import load_bundle
from panloom.models.file import find_model

BATCH = 8
"""Tiles at once, as `panloom classify` takes on a GPU."""
COLUMNS = ("what", "Mpx/s", "seconds", "wall of the whole run ÷ it")


def main() -> None:
    """Measure, print and write the tables, or say that there is nothing to measure on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=30000, help="PAN pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", choices=("vrt", "tiff"), default="vrt")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        publish("gpu", _nothing())
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pair = mosaic(base_pair(work), options.side, options.side, work)
        if options.files == "tiff":
            pair = written_out(pair, work)
        publish("gpu", lines(pair, work, options.rounds, choose_device("cuda")))


def _nothing() -> Iterator[str]:
    yield from head("On a GPU")
    yield from table(COLUMNS, [["whole run", *[NOT_MEASURED] * (len(COLUMNS) - 1)]])
    yield from (
        "",
        "There is no CUDA device here. `python benchmarks/gpu.py` fills this table where",
    )
    yield "there is one."


def written_out(pair: Pair, folder: Path) -> Pair:
    """Return the pair as uncompressed GeoTIFFs in tiles of 512 × 512 pixels."""
    paths = []
    for role, source in (("ms", pair.ms), ("pan", pair.pan)):
        paths.append(folder / f"written_{role}.tif")
        rasterio.shutil.copy(
            source, paths[-1], driver="GTiff", tiled=True, blockxsize=512, blockysize=512,
            bigtiff="yes", num_threads="all_cpus",
        )  # fmt: skip
    return described(*paths, f"{pair.text}, as uncompressed GeoTIFFs")


@gdal_cache()
def lines(pair: Pair, work: Path, rounds: int, device: Device) -> Iterator[str]:
    """Yield the page's lines; tests pass a device that stands in for a GPU."""
    yield from head("On a GPU", packages=("torch", "rasterio"))
    yield f"Scene: {pair.text}; {pair.width} × {pair.height} PAN pixels. Model `{MODEL}`,"
    yield f"class map and overviews, up to {BATCH} tiles at once. Medians of {rounds} rounds after"
    yield "one that does not count. Goals: at least 400 Mpx/s, 30,000 × 30,000 pixels in less than"
    yield "5 s, and 1.10 times the longer of both limits at most."
    bundle = load_bundle(find_model(MODEL))
    with ScenePair.open(pair.ms, pair.pan, ratio=bundle.card.ratio) as scene:
        sample = scene.sample()
        radiometry = fit_radiometry(bundle.card.radiometry, sample.ms, sample.pan)
        predictor = Predictor(bundle, radiometry, device, batch_size=BATCH, workers=device.workers)
        grid = scene.ms.grid
        tiles = plan((grid.width, grid.height), bundle.network, device)
        forward = ResidentForward(predictor, scene, tiles)
        contestants = [
            Contestant("whole run", lambda: write_map(scene, predictor, tiles, work, None)),
            Contestant("reading alone", lambda: _read(predictor, scene, tiles)),
            Contestant("network alone", forward.run),
        ]
        timings = time_in_turn(contestants, rounds)
        precisions = list(forward.precision_lines())
    yield from table(COLUMNS, _rows(contestants, timings, pair))
    yield from ("", "Reading alone: all strips and windows, nothing computed. Network alone: the")
    yield f"first {forward.at_once} windows, in the device's memory, again and again, as often as"
    yield "the scene has them, with radiometry, class and confidence, in the precision of the whole"
    yield f"run. Computed ÷ written: {computed_per_written(bundle.network, tiles):.2f}."
    yield from ("", *precisions)


def _rows(contestants: list[Contestant], timings: list[Timing], pair: Pair) -> Iterator[list[str]]:
    whole, reading, network = timings
    longer = [max(both) for both in zip(reading.wall, network.wall, strict=True)]
    for contestant, timing in zip(contestants, timings, strict=True):
        yield _row(contestant.name, timing.wall, whole.wall, pair.pixels)
    yield _row("the longer of both, by round", longer, whole.wall, pair.pixels)


def _row(name: str, wall: list[float], whole: list[float], pixels: int) -> list[str]:
    """Return a row from seconds for each pixel, by round."""
    middle = statistics.median(wall)
    rate = 1e-6 / middle
    digits = 3 if rate < 10 else 0
    return [name, f"{rate:,.{digits}f}", f"{pixels * middle:.3f}", ratio_text(whole, wall)]


def _read(predictor: Predictor, scene: ScenePair, tiles: list[Tile]) -> int:
    for _ in predictor.read(scene, tiles):
        pass
    return scene.map_window.width * scene.map_window.height


class ResidentForward:
    """What the engine runs, on one batch of a scene whose pixels are in the device's memory.

    The batch is the first with valid pixels, and the predictor finds its runtime on it. Raises
    RuntimeError where that is not torch's.
    """

    def __init__(self, predictor: Predictor, scene: ScenePair, tiles: list[Tile]) -> None:
        with closing(predictor.read(scene, tiles)) as batches:
            first = next(batch for batch in batches if any(data.valid.any() for _, data in batch))
        for _ in predictor.predict(scene, [tile for tile, _ in first]):
            pass
        used = predictor.used
        if used is None or not isinstance(used.runtime, TorchRuntime):
            raise RuntimeError(f"torch does not compute: {used}")
        self._runtime, self._note = used.runtime, used.note.text
        self._windows = [data for _, data in first]
        self.at_once = len(first)
        self._times = -(-len(tiles) // len(first))
        pixels = scene.map_window.width * scene.map_window.height
        self._pixels = pixels * self._times * len(first) // len(tiles)

    def run(self) -> int:
        """Compute as many batches as the scene has; return the map's pixels in them."""
        self._runtime.repeat(self._windows, self._times)
        return self._pixels

    def precision_lines(self) -> Iterator[str]:
        """Yield what half precision changes, of the first tile and of the whole batch."""
        yield f"{self._note} Of all {self.at_once} windows:"
        single = self._codes(torch.float32)
        shown = single != 0
        for precision in (torch.float16, torch.bfloat16):
            same = float((self._codes(precision) == single)[shown].mean())
            name = str(precision).removeprefix("torch.")
            yield f"{name} gives the class of single precision on {100 * same:.3f} % of the pixels."

    def _codes(self, precision: torch.dtype) -> np.ndarray:
        return self._runtime.in_precision(precision).run(self._windows)[0]


if __name__ == "__main__":
    main()
