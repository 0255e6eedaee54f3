"""What a run with a user's network will cost: tiles, time and memory, from timed tiles."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ..device import Device
from ..grid import Grid
from ..inspection.estimate import Estimate
from ..runtimes.choice import TITLES
from ..runtimes.runtime import ONNXRUNTIME
from ..workload import Room
from .network import OwnNetwork, load_own_network
from .plan import BlendPlan, plan_blend
from .session import runtime_device

_TIMED = 2
_TILES_IN_MEMORY = 4


def estimate_own(path: Path, device: Device, ms_grid: Grid) -> Estimate:
    """Time tiles of the network in ``path`` and scale the time to the tiles of ``ms_grid``.

    Reading, writing and polygons are not in it. Raises what ``load_own_network`` does.
    """
    device = runtime_device(device, may_replace=True)
    network = load_own_network(path, device)
    plan = plan_blend(ms_grid.width, ms_grid.height, ms_grid.window, network.settings)
    at_once = Room.on(device).at_once(len(plan.tiles), network.worker_bytes, held=1)
    per_tile_s = _time_tile(network)
    step = network.settings.step_px
    return Estimate(
        device=str(device.torch),
        runtime=TITLES[ONNXRUNTIME],
        tiles=len(plan.tiles),
        tile_px=network.settings.tile_px,
        halo_px=network.settings.overlap_px,
        time_s=float(f"{per_tile_s * len(plan.tiles) / at_once:.2g}"),
        memory_mb=float(f"{_bytes(network, plan, at_once) / 2**20:.2g}"),
        basis=(
            f"tiles of the network on {device.torch} just now: {per_tile_s:.2g} s each, "
            f"{at_once} at once. Neighbors overlap by {network.settings.overlap_px} MS pixels, so "
            f"every pixel is computed {(network.settings.tile_px / step) ** 2:.2f} times. Without "
            "reading, writing and polygons, and too low on a busy machine. Memory is that of "
            "pixels, probabilities and what the network took for one of these tiles, without the "
            "libraries."
        ),
    )


def _time_tile(network: OwnNetwork) -> float:
    side, ratio = network.settings.tile_px, network.card.ratio
    ms = np.zeros((len(network.card.bands), side, side), np.float32)
    pan = np.zeros((1, side * ratio, side * ratio), np.float32)
    began = time.perf_counter()
    for _ in range(_TIMED):
        network.probabilities(ms, pan)
    return (time.perf_counter() - began) / _TIMED


def _bytes(network: OwnNetwork, plan: BlendPlan, at_once: int) -> int:
    """Bytes of tiles read ahead and computed, and of the strip that is kept for blending."""
    settings, card = network.settings, network.card
    fine = card.ratio**2
    tile = settings.tile_px**2
    inputs = _TILES_IN_MEMORY * tile * (4 * (len(card.bands) + fine) + 3 * fine)
    computed = at_once * network.worker_bytes + network.probabilities_bytes
    strip = settings.overlap_px * plan.columns * settings.step_px * fine * 4 * len(card.classes)
    return inputs + computed + strip
