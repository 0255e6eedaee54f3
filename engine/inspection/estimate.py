"""What a run will cost: tiles, time and memory, from timed passes of the network itself."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from ...models.bundle import ModelBundle
from ..device import Device
from ..grid import Grid
from ..tiling import Tile, default_tile_px, plan_tiles

_SIDES_PX = (32, 128)
_ACTIVATIONS = 10
"""Activations of the largest size that fill as much memory as a pass does, as measured on a CPU."""

_TILES_IN_MEMORY = 4


@dataclass(frozen=True)
class Estimate:
    """Cost of classifying one scene; ``basis`` says in words where the figures come from."""

    device: str
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
    """Time patches of two sizes and scale the times to the tiles of ``ms_grid``.

    Reading, writing and polygons are not in it; on a machine with other work it is too low.
    """
    network = bundle.network
    tile_px = default_tile_px(network.halo_px, is_cpu=device.is_cpu)
    tiles = plan_tiles(ms_grid.width, ms_grid.height, tile_px, network.halo_px, network.lattice_px)
    per_tile, per_pixel, largest = _measure_as_run(bundle, device)
    at_once = min(device.workers, len(tiles))
    pixels = [tile.read.width * tile.read.height for tile in tiles]
    inputs = _input_bytes(tiles, bundle)
    return Estimate(
        device=str(device.torch),
        tiles=len(tiles),
        tile_px=tile_px,
        halo_px=network.halo_px,
        time_s=_rounded((per_tile * len(tiles) + per_pixel * sum(pixels)) / at_once),
        memory_mb=_rounded((inputs + at_once * _ACTIVATIONS * largest * max(pixels)) / 2**20),
        basis=(
            f"two passes of the network on {device.torch} just now: {per_pixel * 1e6:.2g} s for a "
            f"million MS pixels, {at_once} tiles at once. Without reading, writing and polygons, "
            "and too low on a busy machine. Memory is that of pixels and activations, without the "
            "libraries."
        ),
    )


def _measure_as_run(bundle: ModelBundle, device: Device) -> tuple[float, float, float]:
    """Measure in a thread with as many torch threads as a worker of the run has."""
    one_thread = partial(torch.set_num_threads, 1) if device.is_cpu else None
    with ThreadPoolExecutor(1, initializer=one_thread) as pool:
        return pool.submit(_measure, bundle, device).result()


def _measure(bundle: ModelBundle, device: Device) -> tuple[float, float, float]:
    """Return seconds for each tile, seconds and largest activation in bytes for each MS pixel."""
    lattice = bundle.network.lattice_px
    small, large = (math.ceil(side / lattice) * lattice for side in _SIDES_PX)
    _time_patch(bundle, device, small)  # the first pass is slower than all others
    few_s, _ = _time_patch(bundle, device, small)
    many_s, largest = _time_patch(bundle, device, large)
    per_pixel = (many_s - few_s) / (large**2 - small**2)
    if per_pixel <= 0:
        return 0.0, many_s / large**2, largest / large**2
    return max(0.0, few_s - per_pixel * small**2), per_pixel, largest / large**2


def _time_patch(bundle: ModelBundle, device: Device, side: int) -> tuple[float, int]:
    """Return seconds of a forward pass and bytes of the largest activation in it."""
    network = bundle.network.to(device.torch)
    card = bundle.card
    ms = torch.zeros(1, len(card.bands), side, side, device=device.torch)
    pan = torch.zeros(1, 1, side * card.ratio, side * card.ratio, device=device.torch)
    largest = 0

    def measure(module: Any, inputs: Any, output: Any) -> None:
        nonlocal largest
        if isinstance(output, torch.Tensor):
            largest = max(largest, output.numel() * output.element_size())

    hooks = [module.register_forward_hook(measure) for module in network.modules()]
    began = time.perf_counter()
    with torch.inference_mode():
        network(ms, pan).sum().item()  # .item() waits for an accelerator
    seconds = time.perf_counter() - began
    for hook in hooks:
        hook.remove()
    return seconds, largest


def _input_bytes(tiles: list[Tile], bundle: ModelBundle) -> int:
    """Bytes of the tiles that are read ahead: float32 DN and three masks."""
    fine = bundle.card.ratio**2
    per_pixel = 4 * (len(bundle.card.bands) + fine) + 3 * fine
    largest = max(tile.read.width * tile.read.height for tile in tiles)
    return _TILES_IN_MEMORY * per_pixel * largest


def _rounded(value: float) -> float:
    """Return two significant digits; an estimate has no more."""
    return float(f"{value:.2g}")
