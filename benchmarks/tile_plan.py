"""The tiles that `panloom classify` would choose for a scene, and what their halos cost."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from panloom.engine.device import Device
from panloom.engine.tiling import Tile, choose_tile_px, plan_tiles
from panloom.engine.workload import Room
from panloom.models.contract import FusionNetwork


def plan(size: tuple[int, int], network: FusionNetwork, device: Device) -> list[Tile]:
    """Return the tiles of a scene of ``size``, (width, height) in MS pixels."""
    limits = Room.on(device).limits(network.bytes_per_px)
    tile_px = choose_tile_px(size, network.halo_px, network.lattice_px, limits)
    return plan_tiles(*size, tile_px, network.halo_px, network.lattice_px)


def read_per_written(tiles: list[Tile]) -> float:
    """Return the pixels of all patches, halos among them, by the pixels that are written."""
    read = sum(tile.read.width * tile.read.height for tile in tiles)
    return read / sum(tile.write.width * tile.write.height for tile in tiles)


def computed_per_written(network: FusionNetwork, tiles: list[Tile]) -> float:
    """Return the multiplications of all patches by those that the written pixels take.

    Those are what a pixel takes inside a patch without an end. Of a halo a network computes only
    what the written pixels see, which is less in every layer.
    """
    first = tiles[0]
    side = 64 * network.lattice_px
    # A square patch of n written pixels a side takes a · n² + b · n + c: a, from three of them.
    small, middle, large = (
        multiplications(network, k * side, k * side, first.halo_px) for k in (1, 2, 3)
    )
    for_each_px = (large - 2 * middle + small) / (2 * side**2)
    written = sum(tile.write.width * tile.write.height for tile in tiles)
    halo = 2 * first.halo_px
    patch = multiplications(
        network, first.read.width - halo, first.read.height - halo, first.halo_px
    )
    return len(tiles) * patch / (written * for_each_px)


def multiplications(network: FusionNetwork, width: int, height: int, margin_px: int) -> int:
    """Return how often a patch multiplies that writes ``width`` × ``height`` MS pixels.

    Convolutions and matrix products count, nothing is computed.
    """
    read = height + 2 * margin_px, width + 2 * margin_px
    fine = read[0] * network.ratio, read[1] * network.ratio
    counter = FlopCounterMode(display=False)
    with FakeTensorMode(allow_non_fake_inputs=True), counter:
        network(torch.zeros(1, network.bands, *read), torch.zeros(1, 1, *fine), margin_px)
    return int(counter.get_total_flops()) // 2
