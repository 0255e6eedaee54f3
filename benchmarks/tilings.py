"""How many pixels of a map change with the tiling: none, for any network on any pair.

    python benchmarks/tilings.py                       # every network, every pair
    python benchmarks/tilings.py danet --tilings 64x1 200x3 512x2
    python benchmarks/tilings.py landsat-5class --tilings 128x1x4 512x4x2 2048x64x1

Every real pair is classified with one tiling after the other, tile side × batch size × workers
(all cores unless given), by networks of random weights whose batch normalization has seen a scene,
which scatters classes finer than a trained network does, or by a shipped model, which takes the
pairs with its bands. Class map and confidence are compared with those of the first tiling, on the
CPU. The table goes to ``benchmarks/results/tilings.md``, that of another runtime to
``tilings_RUNTIME.md``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
import torch

from panloom.engine.radiometry import fit_radiometry
from panloom.engine.recipes.classify import ClassifyOptions, run
from panloom.engine.runtimes.runtime import RUNTIMES
from panloom.engine.scene.pair import ScenePair
from panloom.models.bundle import save_model
from panloom.models.card import Band, ModelCard
from panloom.models.classes import ClassScheme, LandClass
from panloom.models.file import find_model, read_card
from panloom.models.networks import NETWORKS, build_network

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DATA = ROOT.parent / "shared" / "data"
ROLES = ("blue", "green", "red", "nir", "swir1", "swir2")
RATIO, CLASSES = 2, 5
TILINGS = ("64x1", "512x1", "104x4")
Pair = tuple[str, str]


def main() -> None:
    """Run every network on every pair and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--tilings", nargs="+", default=TILINGS, metavar="TILExBATCH[xWORKERS]")
    parser.add_argument("--runtime", choices=RUNTIMES[1:], default="torch")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of real imagery")
    options = parser.parse_args()
    pairs, rows = _pairs(options.data), _earlier(options)
    for name in options.networks:
        changed = pixels = 0
        with tempfile.TemporaryDirectory() as folder:
            models = _models(Path(folder), name, pairs)
            fitting = [pair for pair in pairs if _band_count(pair[0]) in models]
            for ms, pan in fitting:
                model = models[_band_count(ms)]
                maps = [
                    _map(Path(folder), ms, pan, model, tiling, options.runtime)
                    for tiling in options.tilings
                ]
                changed += sum(int((m != maps[0]).any(axis=0).sum()) for m in maps[1:])
                pixels += sum(m[0].size for m in maps[1:])
        print(name, f"{changed} of {pixels:,} pixels", flush=True)
        tilings = ", ".join(options.tilings)
        rows[name] = f"| {name} | {tilings} | {len(fitting)} | {pixels:,} | {changed} |"
        _write(rows, options)


def _pairs(data: Path) -> list[Pair]:
    landsat7 = sorted(data.glob("landsat7_pairs/??_ms.tif"))
    found = [(str(p), str(p.with_name(p.name.replace("_ms", "_pan")))) for p in landsat7]
    landsat8 = sorted(data.glob("landsat8_*"))
    found += [(str(part / "ms.tif"), str(part / "pan.tif")) for part in landsat8]
    redclover = data / "sentinel2_redclover"
    found.append(
        (str(redclover / "lr20_b05_b06_b07_b8a_b11_b12.tif"), str(redclover / "pseudo_pan10.tif"))
    )
    chips = sorted((data / "spacenet6_rotterdam").glob("ms?.tif"))
    found += [(str(p), str(p.with_name(p.name.replace("ms", "pan")))) for p in chips]
    tiny = data / "landsat_tiny"
    for stem, numbers in (
        ("LC08_L1TP_195025_20130707_20170503_01_T1", (2, 3, 4, 5, 6, 7)),
        ("LE07_L1TP_195025_20010730_20170204_01_T1", (1, 2, 3, 4, 5, 7)),
    ):
        bands = [str(tiny / f"{stem}_B{number}.TIF") for number in numbers]
        found.append((",".join(bands), str(tiny / f"{stem}_B8.TIF")))
    return found


def _band_count(ms: str) -> int:
    if "," in ms:
        return ms.count(",") + 1
    with rasterio.open(ms) as source:
        return int(source.count)


def _models(folder: Path, name: str, pairs: list[Pair]) -> dict[int, str]:
    """Return what stands for the name, a network's or a shipped model's, by the bands it takes."""
    if name in NETWORKS:
        return {bands: _model(folder, name, bands, pairs) for bands in (4, 6)}
    return {len(read_card(find_model(name)).bands): name}


def _model(folder: Path, name: str, bands: int, pairs: list[Pair]) -> str:
    """Return the file of a network with random weights that has been given a scene in training."""
    torch.manual_seed(0)
    card = ModelCard(
        name=f"{name.replace('_', '-')}-{bands}",
        title="",
        network=name,
        arguments={},
        bands=tuple(Band(role, 0.5 + 0.1 * i) for i, role in enumerate(ROLES[:bands])),
        ratio=RATIO,
        gsd_range_m=(0.1, 100.0),
        radiometry={"kind": "dark-object"},
        classes=ClassScheme(
            tuple(LandClass(k, f"Class {k}", f"#{k * 30:02x}8080") for k in range(1, CLASSES + 1))
        ),
    )
    network = build_network(name, {}, bands=bands, ratio=RATIO, classes=CLASSES).train()
    ms, pan = next(p for p in pairs if _band_count(p[0]) == bands)
    with ScenePair.open(ms, pan, ratio=RATIO) as pair, torch.no_grad():
        sample, tile = pair.sample(), pair.read(pair.ms.grid.window)
        radiometry = fit_radiometry(card.radiometry, sample.ms, sample.pan)
        side = 128
        cut = np.s_[..., :side, :side], np.s_[..., : RATIO * side, : RATIO * side]
        masks = (torch.from_numpy(m[cut[1]])[None, None] for m in (tile.ms_valid, tile.pan_valid))
        images = (torch.from_numpy(x[c])[None] for x, c in zip((tile.ms, tile.pan), cut))
        both = radiometry.apply(*images, *masks)
        for _ in range(40):
            network(*both)
    path = folder / f"{name}-{bands}.safetensors"
    save_model(path, network.eval(), card)
    return str(path)


def _map(folder: Path, ms: str, pan: str, model: str, tiling: str, runtime: str) -> np.ndarray:
    """Return class codes and confidence (2, h, w) of one tiling."""
    tile_px, batch_size, *workers = (int(n) for n in tiling.split("x"))
    files = folder / "map.tif", folder / "confidence.tif"
    options = ClassifyOptions(
        ms,
        pan,
        str(files[0]),
        model,
        confidence=str(files[1]),
        device="cpu",
        tile_px=tile_px,
        batch_size=batch_size,
        runtime=runtime,
        overwrite=True,
    )
    with _cores(*workers):
        run(options, lambda event: None)
    read = []
    for file in files:
        with rasterio.open(file) as source:
            read.append(source.read(1))
    return np.stack(read)


@contextmanager
def _cores(count: int | None = None) -> Iterator[None]:
    """Let this process use ``count`` cores, of which the engine takes one for each worker."""
    allowed = os.sched_getaffinity(0)
    if count is not None and count > len(allowed):
        raise ValueError(f"{count} workers need as many cores; there are {len(allowed)}")
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _page(options: argparse.Namespace) -> Path:
    name = "tilings.md" if options.runtime == "torch" else f"tilings_{options.runtime}.md"
    return RESULTS / name


def _earlier(options: argparse.Namespace) -> dict[str, str]:
    """Return the rows of the page, by network, that are there already."""
    path = _page(options)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {
        line.split(" | ")[0][2:]: line
        for line in lines
        if line.startswith("| ") and not line.startswith("| network")
    }


def _write(rows: dict[str, str], options: argparse.Namespace) -> None:
    lines = [
        "# Pixels that change with the tiling",
        "",
        f"`python benchmarks/tilings.py --runtime {options.runtime}`, {date.today().isoformat()},",
        f"PyTorch {torch.__version__}, CPU. Tilings are tile side in MS pixels x batch size, some",
        "x workers, each compared with the first. A pixel has changed where its class or",
        "confidence differs. Networks have random weights; `landsat-5class` is the shipped model",
        "and takes the pairs with six bands. A run replaces the rows of its networks.",
        "",
        "| network or model | tilings | pairs | pixels compared | changed |",
        "|---|---|---|---|---|",
        *(rows[name] for name in sorted(rows)),
    ]
    _page(options).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
