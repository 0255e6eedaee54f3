"""Panloom beside tools that slide a window over one raster, with the same weights and scene.

    python benchmarks/peers.py --peers-python VENV/bin/python [--sides 2048 4096] [--rounds 3 2]

Those tools run in a Python environment of their own (``peers-requirements.txt``); without it their
rows say "not measured". Scenes after the first are for the tools as their users have them. Every
contestant is a process of its own; they run in turn, round by round. Prints the tables and writes
``results/peers.md``. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio
from engine_run import installed_runtimes
from peers_child import SW_BATCH, TILE_PX
from result_page import NOT_MEASURED, head, publish, table
from scenes import MODEL, ROOT, Pair, base_pair, mosaic
from side_by_side import Timing, ratio_text
from stacked_raster import write_stacked

from panloom.engine.radiometry import fit_radiometry
from panloom.engine.scene.pair import ScenePair
from panloom.models.file import find_model, read_card

PEERS = {
    "geoai": "geoai `predict_geotiff`",
    "geoai-prepared": "the same, network prepared",
    "monai": "MONAI `sliding_window_inference`",
    "monai-prepared": "the same, network prepared",
}
PREPARED = "-prepared"
COLUMNS = ("what", "wall s", "CPU s", "Mpx/s", "peak RSS", "B/px", "same class")
EXPLANATION = """
Wall and CPU time are those of the call, imports apart; B/px is what it adds to the memory of a
process that has the network loaded, for each PAN pixel. Panloom reads the pair, fits the
radiometry, and writes map, overviews, styles and manifest.

The peers take one raster. Theirs has the MS bands where the engine puts them, each pixel repeated
to the PAN grid, and PAN; making it took them no time here. Around the network stands a module that
takes block means of the MS bands, which gives them back as they were, and applies the same
radiometry (`stacked_network.py`). “Prepared” means that it was also given what the engine gives its
own network: batch normalization folded into the convolutions, channels-last memory. So the first
rows say what those tools' users get, and these what the loop around the network costs.

`predict_geotiff` runs at its defaults: 256 px, 64 of them shared, 4 in a batch, spline weights;
argmax is its `postprocess_fn`. MONAI has no default for window and batch: {side} px and {batch}
here; by default a quarter is shared and all windows weigh the same. Threads are PyTorch's default,
and wait without spinning (`OMP_WAIT_POLICY=PASSIVE`), which spares them most on a busy machine.
`geoai/inference.py` is unchanged; where its package cannot be imported for want of torchvision and
others, only the function that names the device is a stand-in. “Same class” compares with Panloom's
map by torch: windows that end within the scene lack what lies beside them, and shared pixels are
means.
"""
Measured = dict[str, float]


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers-python", metavar="PATH", help="Python with geoai and MONAI")
    parser.add_argument("--sides", type=int, nargs="+", default=[2048, 4096], help="PAN pixels")
    parser.add_argument(
        "--rounds",
        type=int,
        nargs="+",
        default=[3, 2],
        help="for each scene; the last for the rest",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        publish("peers", _lines(Path(folder), options))


def _lines(work: Path, options: argparse.Namespace) -> Iterator[str]:
    base = base_pair(work)
    yield from head("Beside tools for one raster", packages=("torch", "onnxruntime", "openvino"))
    yield f"Peers: {_versions(options.peers_python)}."
    yield f"Scenes: {base.text}, a part of it repeated. Model `{MODEL}`. Medians over"
    yield "the rounds, ratios with their range."
    (work / "panloom").symlink_to(ROOT, target_is_directory=True)
    for number, side in enumerate(options.sides):
        pair = mosaic(base, side, side, work)
        rounds = options.rounds[min(number, len(options.rounds) - 1)]
        yield from ("", f"## {pair.width:,} × {pair.height:,} PAN pixels, rounds: {rounds}")
        peers = [name for name in PEERS if number == 0 or not name.endswith(PREPARED)]
        yield from _of_scene(pair, peers, work, rounds, options.peers_python)
    yield from _explanation()


def _of_scene(
    pair: Pair, peers: list[str], work: Path, rounds: int, peers_python: str | None
) -> Iterator[str]:
    """Yield the tables of one scene: what each contestant takes, and the ratios."""
    job = _job(pair, work)
    pythons = dict.fromkeys(peers, peers_python) | dict.fromkeys(
        installed_runtimes(), sys.executable
    )
    found: dict[str, list[Measured]] = {name: [] for name, python in pythons.items() if python}
    for _ in range(rounds):
        for name, results in found.items():
            results.append(_run(str(pythons[name]), name, job, work))
    maps = {name: _map(name, work, job) for name in found}
    same = {name: float((codes == maps["torch"]).mean()) for name, codes in maps.items()}
    yield from table(COLUMNS, (_cells(n, found.get(n), pair.pixels, same.get(n)) for n in pythons))
    yield from _ratios(found)


def _job(pair: Pair, work: Path) -> dict[str, Any]:
    """Write the raster that the peers take, and return what every contestant needs to know."""
    model = find_model(MODEL)
    card = read_card(model)
    with ScenePair.open(pair.ms, pair.pan, ratio=card.ratio) as scene:
        sample = scene.sample()
        radiometry = fit_radiometry(card.radiometry, sample.ms, sample.pan)
        write_stacked(scene, work / "stacked.tif")
        inside = scene.map_window
    return {
        "ms": pair.ms,
        "pan": pair.pan,
        "stacked": str(work / "stacked.tif"),
        "model": str(model),
        "import_from": str(work),
        "classes": len(card.classes.codes),
        "codes": card.classes.codes,
        "offset": [*radiometry.ms_offset, radiometry.pan_offset],
        "scale": [*radiometry.ms_scale, radiometry.pan_scale],
        "limits": radiometry.limits,
        "map": [inside.col, inside.row, inside.width, inside.height],
    }


def _run(python: str, name: str, job: dict[str, Any], work: Path) -> Measured:
    """Return what one run took; raises RuntimeError where it fails."""
    file = work / f"{name}.json"
    job = job | {"output": str(work / f"{name}.tif")}
    file.write_text(json.dumps(job), encoding="utf-8")
    child = Path(__file__).with_name("peers_child.py")
    # Waiting threads that spin multiply a peer's time where cores are shared; the engine's do not.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    command = [python, str(child), name, str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def _map(name: str, work: Path, job: dict[str, Any]) -> Any:
    """Return the class codes of a contestant's map within the scene's map."""
    with rasterio.open(work / f"{name}.tif") as source:
        found = source.read(1)
    if name not in PEERS:
        return found
    col, row, width, height = job["map"]
    return np.asarray(job["codes"])[found[row : row + height, col : col + width]]


def _cells(
    name: str, found: list[Measured] | None, pixels: int, same: float | None
) -> Iterator[str]:
    yield PEERS.get(name, f"`panloom classify`, {name}")
    if not found:
        yield from [NOT_MEASURED] * (len(COLUMNS) - 1)
        return
    wall, cpu, peak = (median(m[key] for m in found) for key in ("wall", "cpu", "peak"))
    held = median(m["peak"] - m["before"] for m in found)
    yield from (f"{wall:.1f}", f"{cpu:.1f}", f"{pixels / wall / 1e6:.2f}")
    yield from (f"{peak / 2**20:,.0f} MiB", f"{held / pixels:,.0f}")
    yield "" if same is None else f"{100 * same:.2f} %"


def _ratios(found: dict[str, list[Measured]]) -> Iterator[str]:
    """Yield the table of how many times as long the peers take, round by round."""
    engines = [name for name in found if name not in PEERS]
    timings = {
        name: Timing([m["wall"] for m in results], [m["cpu"] for m in results])
        for name, results in found.items()
    }
    columns = ["÷"] + [f"panloom, {name}: {kind}" for name in engines for kind in ("wall", "CPU")]
    rows = []
    for peer in (name for name in PEERS if name in found):
        cells = [PEERS[peer]]
        for name in engines:
            cells.append(ratio_text(timings[peer].wall, timings[name].wall))
            cells.append(ratio_text(timings[peer].cpu, timings[name].cpu))
        rows.append(cells)
    if rows:
        yield from table(columns, rows)


def _explanation() -> Iterator[str]:
    yield "\n" + EXPLANATION.format(side=TILE_PX, batch=SW_BATCH).strip()


def _versions(python: str | None) -> str:
    if python is None:
        return f"{NOT_MEASURED}, `--peers-python` was not given"
    code = "from importlib.metadata import version as v;"
    code += "print(f\"geoai-py {v('geoai-py')}, monai {v('monai')}, torch {v('torch')}\")"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
