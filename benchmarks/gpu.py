"""A run on a GPU beside reading alone and beside the network alone on pixels that are there.

    python benchmarks/gpu.py [--side 30000] [--rounds 5]

Needs CUDA; without it the table says "not measured". No polygons, and no confidence: the class
map with its overviews. Prints the tables and writes ``results/gpu.md``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from pathlib import Path

import torch
from end_to_end import write_map
from result_page import NOT_MEASURED, head, publish, table
from scenes import MODEL, Pair, base_pair, mosaic
from side_by_side import Contestant, ratio_text, time_in_turn
from tile_plan import computed_per_written, plan
from torch import Tensor

from panloom.engine.device import choose_device
from panloom.engine.predict import Predictor
from panloom.engine.radiometry import fit_radiometry
from panloom.engine.read_ahead import read_ahead
from panloom.engine.runtimes.map_step import MapForm, MapStep, arrays_of
from panloom.engine.scene.pair import ScenePair
from panloom.engine.tiling import Tile
from panloom.models.bundle import load_bundle
from panloom.models.file import find_model
from panloom.models.folding import fold_batch_norm

BATCH = 8
"""Tiles at once, as `panloom classify` takes on a GPU."""
COLUMNS = ("what", "Mpx/s", "wall of the whole run ÷ it")


def main() -> None:
    """Measure, print and write the tables, or say that there is nothing to measure on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=30000, help="PAN pixels")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        publish("gpu", _nothing())
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pair = mosaic(base_pair(work), options.side, options.side, work)
        publish("gpu", _lines(pair, work, options.rounds))


def _nothing() -> Iterator[str]:
    yield from head("On a GPU")
    yield from table(COLUMNS, [["whole run", NOT_MEASURED, NOT_MEASURED]])
    yield from (
        "",
        "There is no CUDA device here. `python benchmarks/gpu.py` fills this table where",
    )
    yield "there is one."


def _lines(pair: Pair, work: Path, rounds: int) -> Iterator[str]:
    yield from head("On a GPU")
    yield f"Scene: {pair.text}; {pair.width} × {pair.height} PAN pixels. Model `{MODEL}`,"
    yield f"class map and overviews, {BATCH} tiles at once. Medians of {rounds} rounds. Goals:"
    yield "at least 400 Mpx/s, and 1.10 times the longer of both limits at most."
    bundle = load_bundle(find_model(MODEL))
    device = choose_device("cuda")
    with ScenePair.open(pair.ms, pair.pan, ratio=bundle.card.ratio) as scene:
        sample = scene.sample()
        radiometry = fit_radiometry(bundle.card.radiometry, sample.ms, sample.pan)
        predictor = Predictor(bundle, radiometry, device, batch_size=BATCH, workers=device.workers)
        grid = scene.ms.grid
        tiles = plan((grid.width, grid.height), bundle.network, device)
        forward = ResidentForward(predictor, scene, tiles)
        contestants = [
            Contestant("whole run", lambda: write_map(scene, predictor, tiles, work, None)),
            Contestant("reading alone", lambda: _read(scene, tiles)),
            Contestant("network alone", forward.run),
        ]
        timings = time_in_turn(contestants, rounds)
        agreement = forward.agreement()
    whole = timings[0]
    yield from table(
        COLUMNS,
        (
            [c.name, f"{t.rate / 1e6:,.0f}", ratio_text(whole.wall, t.wall)]
            for c, t in zip(contestants, timings, strict=True)
        ),
    )
    yield from ("", "Reading alone: all strips and windows, nothing computed. Network alone: the")
    yield f"first {BATCH} windows, in the GPU's memory, again and again, as often as the scene has"
    yield "them, with radiometry, class and confidence. Computed ÷ written:"
    yield f"{computed_per_written(tiles):.2f}. bfloat16 gives float32's class on"
    yield f"{100 * agreement:.3f} % of the pixels of those windows."


def _read(scene: ScenePair, tiles: list[Tile]) -> int:
    for _ in read_ahead(scene, tiles, BATCH):
        pass
    return scene.map_window.width * scene.map_window.height


class ResidentForward:
    """The map step on the first batch of a scene, whose pixels are in the device's memory."""

    def __init__(self, predictor: Predictor, scene: ScenePair, tiles: list[Tile]) -> None:
        card, radiometry = predictor.bundle.card, predictor.radiometry
        network = deepcopy(predictor.bundle.network)
        fold_batch_norm(network)
        form = MapForm(
            card.ratio, "pan", tiles[0].halo_px, card.classes.codes, radiometry.limits,
            card.temperature,
        )  # fmt: skip
        device = predictor.device.torch
        self._step = MapStep(network, form).eval().to(device)
        self._step.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        batch = next(islice(read_ahead(scene, tiles, BATCH), 1))
        arrays = arrays_of([data for _, data in batch], radiometry)
        self._inputs = [torch.from_numpy(array).to(device) for array in arrays]
        self._times = -(-len(tiles) // len(batch))
        self._pixels = scene.map_window.width * scene.map_window.height

    def run(self) -> int:
        """Compute as many batches as the scene has; return the map's pixels."""
        for _ in range(self._times):
            self._compute(torch.float32)
        torch.cuda.synchronize()
        return self._pixels

    def agreement(self) -> float:
        """Return the share of pixels to which bfloat16 gives float32's class."""
        return float((self._compute(torch.bfloat16) == self._compute(torch.float32)).float().mean())

    def _compute(self, precision: torch.dtype) -> Tensor:
        """Return the class codes of the batch."""
        with (
            torch.inference_mode(),
            torch.autocast("cuda", precision, enabled=precision != torch.float32),
        ):
            codes: Tensor = self._step(*self._inputs)[0]
            return codes


if __name__ == "__main__":
    main()
