"""The tiles that `panloom classify` would choose for a scene."""

from __future__ import annotations

from panloom.engine.device import Device
from panloom.engine.tiling import ON_GPU, Tile, TileLimits, choose_tile_px, plan_tiles
from panloom.models.contract import FusionNetwork


def plan(size: tuple[int, int], network: FusionNetwork, device: Device) -> list[Tile]:
    """Return the tiles of a scene of ``size``, (width, height) in MS pixels."""
    limits = TileLimits(device.workers) if device.is_cpu else ON_GPU
    tile_px = choose_tile_px(size, network.halo_px, network.lattice_px, limits)
    return plan_tiles(*size, tile_px, network.halo_px, network.lattice_px)


def computed_per_written(tiles: list[Tile]) -> float:
    """Return the pixels of all windows, halos among them, by the pixels that are written."""
    read = sum(tile.read.width * tile.read.height for tile in tiles)
    return read / sum(tile.write.width * tile.write.height for tile in tiles)
