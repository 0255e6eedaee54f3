"""What a run will cost: tiles, time and memory, from one timed pass of the network itself."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..models.bundle import ModelBundle
from .device import Device
from .grid import Grid
from .tiling import Tile, default_tile_px, plan_tiles

_PATCH_PX = 64
_ACTIVATIONS = 4
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
    """Time one patch of zeros and scale it to every tile of ``ms_grid``.

    Reading, writing and polygons are not in it; on a machine with other work it is too low.
    """
    network = bundle.network
    tile_px = default_tile_px(network.halo_px)
    tiles = plan_tiles(ms_grid.width, ms_grid.height, tile_px, network.halo_px, network.lattice_px)
    side = math.ceil(_PATCH_PX / network.lattice_px) * network.lattice_px
    seconds, largest = _time_patch(bundle, device, side)
    per_pixel = seconds / side**2
    pixels = sum(tile.read.width * tile.read.height for tile in tiles)
    largest_tile = max(tile.read.width * tile.read.height for tile in tiles)
    inputs = _input_bytes(tiles, bundle)
    return Estimate(
        device=str(device.torch),
        tiles=len(tiles),
        tile_px=tile_px,
        halo_px=network.halo_px,
        time_s=_rounded(per_pixel * pixels),
        memory_mb=_rounded((inputs + _ACTIVATIONS * largest / side**2 * largest_tile) / 2**20),
        basis=(
            f"one patch of {side} × {side} MS pixels took {seconds:.2g} s on {device.torch} just "
            "now; without reading, writing and polygons. Memory is that of pixels and activations, "
            "on top of the libraries'."
        ),
    )


def _time_patch(bundle: ModelBundle, device: Device, side: int) -> tuple[float, int]:
    """Return seconds of a forward pass after a first one, and bytes of the largest activation."""
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
    with torch.inference_mode():
        network(ms, pan)
        for hook in hooks:
            hook.remove()
        began = time.perf_counter()
        network(ms, pan).sum().item()  # .item() waits for an accelerator
    return time.perf_counter() - began, largest


def _input_bytes(tiles: list[Tile], bundle: ModelBundle) -> int:
    """Bytes of the tiles that are read ahead: float32 DN and three masks."""
    fine = bundle.card.ratio**2
    per_pixel = 4 * (len(bundle.card.bands) + fine) + 3 * fine
    largest = max(tile.read.width * tile.read.height for tile in tiles)
    return _TILES_IN_MEMORY * per_pixel * largest


def _rounded(value: float) -> float:
    """Return two significant digits; an estimate has no more."""
    return float(f"{value:.2g}")
