"""``panloom classify``: from an MS and a PAN raster to a class map, and what belongs to it."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.bundle import ModelBundle
from ...models.card import ModelCard
from ...models.file import find_model, is_onnx, read_card
from ...models.shared_bundle import load_shared_bundle
from ..aoi import AreaOfInterest, load_aoi
from ..class_map import CONFIDENCE_NODATA, ClassMapWriter, MapPaths
from ..device import Device, choose_device
from ..errors import InputError
from ..events import Message, Result
from ..grid import Grid, Window
from ..manifest import describe_file, describe_grid, write_manifest
from ..outputs import Outputs
from ..own_network.run import OwnRun, own_predictions
from ..patchwise import PATCH_TILE_PX, patch_form
from ..predict import Predictor, TilePrediction
from ..progress import Meter, Report, section
from ..radiometry import Radiometry, fit_radiometry
from ..read_ahead import bytes_ahead
from ..runtimes.choice import RuntimeWish, require_runtime
from ..scene.pair import PairNeeds, ScenePair
from ..scene.raster_files import gdal_cache
from ..style import polygon_style_path, write_polygon_style, write_raster_style
from ..tiling import Tile, choose_tile_px, plan_tiles
from ..version import __version__
from ..workload import Room


@dataclass(frozen=True)
class ClassifyOptions:
    """What ``panloom classify`` takes; areas in m², tolerances in m, tiles in MS pixels."""

    ms: str
    pan: str
    output: str
    model: str
    polygons: str | None = None
    confidence: str | None = None
    areas: str | None = None
    grid: str = "pan"
    aoi: str | None = None
    mmu_m2: float = 0.0
    simplify_m: float = 0.0
    device: str = "auto"
    tile_px: int | None = None
    batch_size: int | None = None
    evaluation: str = "dense"
    runtime: str = "auto"
    precision: str = "auto"
    pan_shift: str = "none"
    overwrite: bool = False


@dataclass(frozen=True)
class _Area:
    """What is written: a window of the output grid, perhaps within an area of interest."""

    grid: Grid
    window: Window
    scale: int
    """Output pixels per MS pixel along a side: the model's ratio, or 1 on the MS grid."""
    aoi: AreaOfInterest | None

    @property
    def ms_window(self) -> Window:
        """The MS pixels that ``window`` touches."""
        col, row = self.window.col // self.scale, self.window.row // self.scale
        right = -(-self.window.right // self.scale)
        bottom = -(-self.window.bottom // self.scale)
        return Window(col, row, right - col, bottom - row)


@gdal_cache()
def run(options: ClassifyOptions, report: Report) -> Result:
    """Classify the pair and write every output asked for; raises PanloomError, leaving no file."""
    began = time.monotonic()
    inputs = tuple(v for v in (options.ms, options.pan, options.aoi) if v)
    with Outputs(overwrite=options.overwrite, inputs=inputs) as outputs:
        targets = _targets(options)
        drafts = {role: outputs.draft(path) for role, path in targets.items()}
        model_path = find_model(options.model)
        card = read_card(model_path)
        device = choose_device(options.device)
        require_runtime(_wish(options), device)
        needs = PairNeeds(model=card.name, ratio=card.ratio, band_roles=card.band_roles)
        with ScenePair.open(
            options.ms, options.pan, needs=needs, pan_shift=options.pan_shift
        ) as pair:
            for note in pair.notes:
                report(note)
            report(Message(device.reason))
            area = _area(pair, options)
            predictor = None
            radiometry = _radiometry(pair, card)
            if is_onnx(model_path):
                own = OwnRun(
                    area.ms_window, device, options.device == "auto", options.grid,
                    options.tile_px, options.evaluation, options.runtime,
                )  # fmt: skip
                card, device, tiles, predictions = own_predictions(
                    model_path, pair, radiometry, own, report
                )
            else:
                bundle = load_shared_bundle(model_path)
                if options.evaluation == "patch":
                    patch_form(bundle.network, bundle.card)
                room = Room.on(device, bytes_ahead(pair))
                plan = _tiles(area, bundle, options, room)
                workers = _workers(room, plan, bundle, options, report)
                predictor = _predictor(bundle, radiometry, area, options, room, workers, report)
                tiles, predictions = len(plan), predictor.predict(pair, plan)
            share = 0.7 if options.polygons else 0.95
            scratch = drafts.get("confidence") or outputs.scratch(drafts["map"], ".tif")
            paths = MapPaths(
                drafts["map"], scratch if options.polygons or options.confidence else None
            )
            writing = section(report, 0.02, share, "classifying")
            counts = _write_map(predictions, card, options.grid, area, paths, writing)
            notes = [n.text for n in pair.notes]
        _write_companions(options, card, paths, drafts, section(report, share, 0.99))
        summary = _summary(card, counts, area, device, began)
        body = {
            "inputs": {"ms": describe_file(options.ms), "pan": describe_file(options.pan)},
            "options": asdict(options),
            "model": {"name": card.name, "weights_sha256": card.weights_sha256},
            "radiometry": radiometry.to_json(),
            "grid": describe_grid(area.grid.crop(area.window)),
            "device": device.reason,
            "runtime": predictor.used.to_json() if predictor and predictor.used else None,
            "notes": notes,
            "tiles": tiles,
            "outputs": {role: str(path) for role, path in targets.items()},
            "summary": summary,
        }
        write_manifest(drafts["manifest"], body)
    return Result({role: str(Path(path).absolute()) for role, path in targets.items()}, summary)


def _targets(options: ClassifyOptions) -> dict[str, Path]:
    """Return every file that the run writes, by role."""
    targets = {"map": Path(options.output)}
    if targets["map"].suffix.lower() not in (".tif", ".tiff"):
        raise InputError(
            f"The class map `{targets['map'].name}` would not be a GeoTIFF.",
            "map-format",
            "Give it the extension .tif.",
        )
    for role in ("polygons", "confidence", "areas"):
        value = getattr(options, role)
        if value:
            targets[role] = Path(value)
    if options.polygons:
        from ..polygons.vector_file import require_vector_format  # as in _write_companions

        require_vector_format(options.polygons)
    targets["map_style"] = targets["map"].with_suffix(".qml")
    if options.polygons:
        targets["polygons_style"] = polygon_style_path(targets["polygons"], targets["map"])
    targets["manifest"] = targets["map"].with_suffix(".panloom.json")
    return targets


def _area(pair: ScenePair, options: ClassifyOptions) -> _Area:
    window, aoi = pair.map_window, None
    if options.aoi:
        aoi = load_aoi(options.aoi, pair.pan.grid, window)
        window = aoi.window
    if options.grid == "pan":
        return _Area(pair.pan.grid, window, pair.ratio, aoi)
    on_ms = _Area(pair.pan.grid, window, pair.ratio, aoi).ms_window
    return _Area(pair.ms.grid, on_ms, 1, aoi)


def _radiometry(pair: ScenePair, card: ModelCard) -> Radiometry:
    sample = pair.sample()
    return fit_radiometry(card.radiometry, sample.ms, sample.pan)


def _wish(options: ClassifyOptions, pixels: int = 0) -> RuntimeWish:
    return RuntimeWish(options.runtime, pixels, options.evaluation, options.precision)


def _predictor(
    bundle: ModelBundle,
    radiometry: Radiometry,
    area: _Area,
    options: ClassifyOptions,
    room: Room,
    workers: int,
    report: Report,
) -> Predictor:
    """Return what predicts with one of Panloom's own networks."""
    pixels = area.ms_window.width * area.ms_window.height * bundle.card.ratio**2  # of the PAN
    return Predictor(
        bundle,
        radiometry,
        room.device,
        batch_size=_batch_size(options, room.device),
        grid=options.grid,
        workers=workers,
        evaluation=options.evaluation,
        wish=_wish(options, pixels),
        report=report,
    )


def _batch_size(options: ClassifyOptions, device: Device) -> int:
    return options.batch_size or (1 if device.is_cpu else 8)


def _workers(
    room: Room, tiles: list[Tile], bundle: ModelBundle, options: ClassifyOptions, report: Report
) -> int:
    """Return how many batches to compute at once, and say where cores stay idle for memory."""
    if options.evaluation == "patch":  # takes little at once, whatever the tile
        return room.device.workers
    batch_size = _batch_size(options, room.device)
    workers = room.workers(
        tiles,
        batch_size,
        bundle.network.bytes_per_px,
        chosen=bool(options.tile_px or options.batch_size),
    )
    if note := room.note(workers, -(-len(tiles) // batch_size)):
        report(note)
    return workers


def _tiles(area: _Area, bundle: ModelBundle, options: ClassifyOptions, room: Room) -> list[Tile]:
    """Return the tiles over ``area`` on the scene's MS grid, aligned to the network's lattice."""
    network = bundle.network
    part = area.ms_window
    col = part.col // network.lattice_px * network.lattice_px
    row = part.row // network.lattice_px * network.lattice_px
    size = (part.right - col, part.bottom - row)
    limits = room.limits(network.bytes_per_px)
    usual = choose_tile_px(size, network.halo_px, network.lattice_px, limits)
    tile_px = options.tile_px or (PATCH_TILE_PX if options.evaluation == "patch" else usual)
    tiles = plan_tiles(*size, tile_px, network.halo_px, network.lattice_px)
    return [
        replace(t, read=_moved(t.read, col, row), write=_moved(t.write, col, row)) for t in tiles
    ]


def _moved(window: Window, cols: int, rows: int) -> Window:
    return replace(window, col=window.col + cols, row=window.row + rows)


def _write_map(
    predictions: Generator[TilePrediction],
    card: ModelCard,
    grid_name: str,
    area: _Area,
    paths: MapPaths,
    report: Report,
) -> NDArray[np.int64]:
    tags = {
        "PANLOOM_VERSION": __version__,
        "PANLOOM_MODEL": card.name,
        "PANLOOM_WEIGHTS_SHA256": card.weights_sha256,
        "PANLOOM_OPTIONS": json.dumps({"grid": grid_name, "ratio": card.ratio}),
    }
    grid = area.grid.crop(area.window)
    meter = Meter(report, area.window.width * area.window.height, "classifying")
    with ClassMapWriter(paths, grid, card.classes, tags) as writer, closing(predictions):
        for prediction in predictions:
            meter.add(_write_tile(writer, area, prediction))
    return writer.counts


def _write_tile(writer: ClassMapWriter, area: _Area, prediction: TilePrediction) -> int:
    """Write the part of a prediction that lies in the area; return how many pixels it has."""
    covered = prediction.tile.write.refine(area.scale)
    part = covered.intersect(area.window)
    if part is None:
        return 0
    rows = slice(part.row - covered.row, part.bottom - covered.row)
    cols = slice(part.col - covered.col, part.right - covered.col)
    codes, confidence = prediction.codes[rows, cols], prediction.confidence[rows, cols]
    if area.aoi is not None:
        inside = area.aoi.mask(area.grid.crop(part))
        codes = np.where(inside, codes, 0).astype(np.uint8)
        confidence = np.where(inside, confidence, CONFIDENCE_NODATA).astype(np.uint8)
    writer.write(_moved(part, -area.window.col, -area.window.row), codes, confidence)
    return part.width * part.height


def _write_companions(
    options: ClassifyOptions,
    card: ModelCard,
    paths: MapPaths,
    drafts: dict[str, Path],
    report: Report,
) -> None:
    """Write polygons, area table and styles from the finished map."""
    # What they are written with takes memory and time that a map alone does without.
    write_raster_style(drafts["map_style"], card.classes)
    if options.polygons:
        from ..polygons.layer import write_polygons

        write_polygons(
            paths.class_map,
            drafts["polygons"],
            card.classes,
            layer=Path(options.polygons).stem,
            mmu_m2=options.mmu_m2,
            simplify_m=options.simplify_m,
            confidence_path=paths.confidence,
            report=report,
        )
        write_polygon_style(drafts["polygons_style"], card.classes)
    if options.areas:
        from ..polygons.areas import write_areas

        write_areas(paths.class_map, drafts["areas"], card.classes)


def _summary(
    card: ModelCard, counts: NDArray[np.int64], area: _Area, device: Device, began: float
) -> dict[str, Any]:
    classified = int(counts[1:].sum())
    return {
        "model": card.name,
        "width": area.window.width,
        "height": area.window.height,
        "classified_px": classified,
        "nodata_px": int(counts[0]),
        "share_percent": {
            c.name: round(100 * int(counts[c.code]) / max(classified, 1), 2)
            for c in card.classes.classes
        },
        "device": str(device.torch),
        "seconds": round(time.monotonic() - began, 2),
    }
