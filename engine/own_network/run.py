"""A user's network over one scene: loaded, planned and predicted, for ``panloom classify``."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from ...models.card import ModelCard
from ..device import Device
from ..errors import InputError
from ..events import Message
from ..grid import Window
from ..predict import TilePrediction
from ..progress import Report
from ..radiometry import Radiometry
from ..read_ahead import bytes_ahead
from ..scene.pair import ScenePair
from ..workload import Room
from .network import load_own_network
from .plan import plan_blend
from .predict import BlendedPredictor
from .session import runtime_device


@dataclass(frozen=True)
class OwnRun:
    """A run's choices: the map's area (MS pixels), the device and whether the CPU may replace it.

    ``grid`` is the map's. ``tile_px``, ``evaluation`` and ``runtime`` are what the user asked for;
    the card decides on the first, and the others have no choice.
    """

    area: Window
    device: Device
    may_replace_device: bool
    grid: str = "pan"
    tile_px: int | None = None
    evaluation: str = "dense"
    runtime: str = "auto"


def own_predictions(
    path: Path, pair: ScenePair, radiometry: Radiometry, run: OwnRun, report: Report
) -> tuple[ModelCard, Device, int, Generator[TilePrediction]]:
    """Return the network's card, where it runs, how many tiles, and predictions for ``run.area``.

    The network is loaded and tried before this returns. Raises InputError for a choice that such
    networks do not have, and what ``load_own_network`` does.
    """
    _require_choices(path, run)
    device = runtime_device(run.device, may_replace=run.may_replace_device)
    if device is not run.device:
        report(Message(device.reason))
    network = load_own_network(path, device)
    plan = plan_blend(pair.ms.grid.width, pair.ms.grid.height, run.area, network.settings)
    settings = network.settings
    report(
        Message(
            f"`{path.name}` may look at whole tiles, so tiles of {settings.tile_px} MS pixels are "
            f"blended over {settings.overlap_px}: another tile size gives a slightly other map."
        )
    )
    room = Room.on(device, bytes_ahead(pair))
    workers = room.at_once(len(plan.tiles), network.worker_bytes, held=1)
    if note := room.note(workers, len(plan.tiles)):
        report(note)
    predictor = BlendedPredictor(network, radiometry, run.grid, workers)
    return network.card, device, len(plan.tiles), predictor.predict(pair, plan)


def _require_choices(path: Path, run: OwnRun) -> None:
    if run.evaluation != "dense":
        raise InputError(
            f"`{path.name}` cannot be evaluated patch by patch; that needs a network of Panloom's "
            "own.",
            "no-patch-form",
            "Leave out `--evaluation`.",
        )
    if run.runtime not in ("auto", "onnxruntime"):
        raise InputError(
            f"`{path.name}` runs through ONNX Runtime; `--runtime {run.runtime}` cannot run it.",
            "runtime",
            "Leave out `--runtime`.",
        )
    if run.tile_px is not None:
        raise InputError(
            f"The map of `{path.name}` depends on the tile, so its card sets the size; "
            f"`--tile-px {run.tile_px}` cannot.",
            "tile-size",
            f"Leave it out, or set `tile_px` in the arguments of `{path.stem}.json`.",
        )
