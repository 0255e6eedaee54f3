"""What a run will cost: tiles, time and memory, from timed passes of the network itself."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from ...models.bundle import ModelBundle
from ...models.contract import FusionNetwork
from ...models.folding import fold_batch_norm
from ..device import Device
from ..grid import Grid
from ..runtimes.choice import TITLES, RuntimeWish, wanted_runtime
from ..runtimes.runtime import TORCH
from ..tiling import Tile, choose_tile_px, plan_tiles
from ..workload import Room

_SIDES_PX = (32, 128)
_TILES_IN_MEMORY = 4


@dataclass(frozen=True)
class Estimate:
    """Cost of classifying one scene; ``basis`` says in words where the figures come from.

    ``runtime`` is what ``panloom classify`` takes by itself, whatever the time was measured in.
    """

    device: str
    runtime: str
    tiles: int
    tile_px: int
    halo_px: int
    time_s: float
    memory_mb: float
    basis: str

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as plain JSON values."""
        return asdict(self)


def estimate(bundle: ModelBundle, device: Device, ms_grid: Grid) -> Estimate:
    """Time patches of two sizes in torch and scale the times to the tiles of ``ms_grid``.

    Another runtime would first have to export the network, which may take longer than all the rest.
    Reading, writing and polygons are not in it; on a machine with other work it is too low.
    """
    network, size = bundle.network, (ms_grid.width, ms_grid.height)
    room = Room.on(device)
    limits = room.limits(network.bytes_per_px)
    tile_px = choose_tile_px(size, network.halo_px, network.lattice_px, limits)
    tiles = plan_tiles(*size, tile_px, network.halo_px, network.lattice_px)
    per_tile, per_pixel = _measure_as_run(bundle, device)
    at_once = min(len(tiles), room.workers(tiles, 1, network.bytes_per_px, chosen=False))
    runtime, _ = wanted_runtime(RuntimeWish("auto", _pixels(bundle, ms_grid)), device)
    pixels = [tile.read.width * tile.read.height for tile in tiles]
    memory = _input_bytes(tiles, bundle) + at_once * network.bytes_per_px * max(pixels)
    return Estimate(
        device=str(device.torch),
        runtime=TITLES[runtime],
        tiles=len(tiles),
        tile_px=tile_px,
        halo_px=network.halo_px,
        time_s=_rounded((per_tile * len(tiles) + per_pixel * sum(pixels)) / at_once),
        memory_mb=_rounded(memory / 2**20),
        basis=(
            f"two passes of the network in torch on {device.torch} just now: {per_pixel * 1e6:.2g} "
            f"s for a million MS pixels, {at_once} tiles at once. {_faster(runtime)}"
            "Without reading, writing and polygons, and too low on a busy machine. Memory is that "
            "of pixels and activations, without the libraries."
        ),
    )


def _pixels(bundle: ModelBundle, ms_grid: Grid) -> int:
    """Return the pixels of the map on the PAN's grid."""
    return ms_grid.width * ms_grid.height * bundle.card.ratio**2


def _faster(runtime: str) -> str:
    """Return what to say where the run takes another runtime than the one that was timed."""
    if runtime == TORCH:
        return ""
    return f"{TITLES[runtime]}, which computes a map of this size, takes less time than torch. "


def _measure_as_run(bundle: ModelBundle, device: Device) -> tuple[float, float]:
    """Measure in a thread with as many torch threads as a worker of the run has."""
    one_thread = partial(torch.set_num_threads, 1) if device.is_cpu else None
    with ThreadPoolExecutor(1, initializer=one_thread) as pool:
        return pool.submit(_measure, bundle, device).result()


def _measure(bundle: ModelBundle, device: Device) -> tuple[float, float]:
    """Return seconds for each tile, and for each MS pixel of its patch."""
    network = deepcopy(bundle.network)
    fold_batch_norm(network)
    network = network.to(device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
    lattice = network.lattice_px
    small, large = (math.ceil(side / lattice) * lattice for side in _SIDES_PX)
    _time_patch(network, device, small)  # the first pass is slower than all others
    few_s, many_s = (_time_patch(network, device, side) for side in (small, large))
    per_pixel = (many_s - few_s) / (large**2 - small**2)
    if per_pixel <= 0:
        return 0.0, many_s / large**2
    return max(0.0, few_s - per_pixel * small**2), per_pixel


def _time_patch(network: FusionNetwork, device: Device, side: int) -> float:
    """Return the seconds of a forward pass."""
    ms = torch.zeros(1, network.bands, side, side, device=device.torch)
    pan = torch.zeros(1, 1, side * network.ratio, side * network.ratio, device=device.torch)
    began = time.perf_counter()
    with torch.inference_mode():
        network(ms, pan).sum().item()  # .item() waits for an accelerator
    return time.perf_counter() - began


def _input_bytes(tiles: list[Tile], bundle: ModelBundle) -> int:
    """Bytes of the tiles that are read ahead: float32 DN and three masks."""
    fine = bundle.card.ratio**2
    per_pixel = 4 * (len(bundle.card.bands) + fine) + 3 * fine
    largest = max(tile.read.width * tile.read.height for tile in tiles)
    return _TILES_IN_MEMORY * per_pixel * largest


def _rounded(value: float) -> float:
    """Return two significant digits; an estimate has no more."""
    return float(f"{value:.2g}")
