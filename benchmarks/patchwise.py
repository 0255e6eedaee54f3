"""How fast one pass over a tile is, beside the papers' evaluation: one pass for every MS pixel.

    python benchmarks/patchwise.py [--threads 1] [--rounds 7]

Prints the tables and writes `benchmarks/results/patchwise.md`. What is compared runs in turn,
round by round; ratios are medians over the rounds. Weights are random. It takes some three minutes
and 2 GB.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from patch_run import whole_run
from published_adcdnet import BANDS, PATCH_PX, RATIO, PublishedAdcdNet
from result_page import head, publish
from side_by_side import Contestant, duration_text, ratio_text, time_in_turn
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from panloom.engine.patchwise import PATCH_TILE_PX, Patchwise
from panloom.engine.tiling import default_tile_px
from panloom.models.contract import FusionNetwork
from panloom.models.folding import fold_batch_norm
from panloom.models.networks import build_network
from panloom.models.patchnet import PatchAdcdNet

CLASSES = 7
Size = tuple[int, ...]
TILE_PX = 512
PUBLISHED_BATCH = 64
PUBLISHED_TRUNK = {
    "widths": [128, 256, 128], "kernels": [3, 3, 3], "strides": [1, 2, 1], "hidden": 64
}  # fmt: skip
XIAN_PX = 800 * 830


def main() -> None:
    """Measure, print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        parts = (
            _head(options.threads, options.rounds),
            _same_network(options.rounds, Path(folder)),
            _published(options.rounds),
        )
        publish("patchwise", itertools.chain(*parts))


def _head(threads: int, rounds: int) -> Iterator[str]:
    yield from head("One pass over a tile beside one pass for every pixel")
    yield f"Threads: {threads}. MS of {BANDS} bands, ratio {RATIO}: patches of"
    yield f"{PATCH_PX} × {PATCH_PX} MS and {RATIO * PATCH_PX} × {RATIO * PATCH_PX} PAN pixels."
    yield f"What a ratio compares runs in turn, {rounds} rounds: medians, range in brackets."
    yield "Random weights, float32; batch normalization is folded except in the published network."
    yield "px are MS pixels; what is computed for a tile's halo takes time and is not counted."


def _same_network(rounds: int, folder: Path) -> Iterator[str]:
    yield from ("", "## The same network and weights, the same map", "")
    yield "| what | patch px/s | dense px/s | wall ratio | CPU ratio | MMAC/px, patch | dense |"
    yield "|---|---|---|---|---|---|---|"
    default, published = _patch_network({}), _patch_network(PUBLISHED_TRUNK)
    usual = default_tile_px(default.halo_px, is_cpu=True)
    for name, patch, dense in (
        (f"network, tiles of {TILE_PX} px", _patch_by_patch(default), _dense(default, TILE_PX)),
        (f"network, tiles of {usual} px", _patch_by_patch(default), _dense(default, usual)),
        (
            f"trunk as published, {TILE_PX} px",
            _patch_by_patch(published),
            _dense(published, TILE_PX),
        ),
        (
            f"whole run of the engine, {usual} px",
            Contestant("patch", whole_run(folder, "patch")),
            Contestant("dense", whole_run(folder, "dense")),
        ),
    ):
        slow, fast = time_in_turn([patch, dense], rounds)
        yield (
            f"| {name} | {slow.rate:,.0f} | {fast.rate:,.0f} | {ratio_text(slow.wall, fast.wall)} "
            f"| {ratio_text(slow.cpu, fast.cpu)} | {_cell(patch)} | {_cell(dense)} |"
        )
    error = max(_error(network) for network in (default, published))
    yield from ("", f"The largest difference of a logit between both forms is {error:.0e}.")
    yield "`adcdnet_patch` in its default form, whose stride comes last, and with the published MS"
    yield "trunk, whose stride stands in the middle. The default form was chosen among several that"
    yield "were timed, with this ratio in view: it is the gain of this network, not of any network."
    yield "A patch has 256 pixels, so a ratio of multiplications cannot be higher, and a stride"
    yield "lowers it: the dense form computes what follows at every pixel, the strided form at"
    yield f"fewer. Tiles of {usual} px, the engine's own choice, compute more halo for each"
    yield "pixel. The engine's run also reads, scales, and gives every PAN pixel a class and a"
    yield "confidence."


def _published(rounds: int) -> Iterator[str]:
    yield from ("", "## Beside the published ADCD-Net and its evaluation", "")
    yield "| what | parameters | MMAC/px | px/s | times the published | 800 × 830 px (Xi'an) |"
    yield "|---|---|---|---|---|---|"
    published = PublishedAdcdNet(CLASSES).eval()
    patch_network, whole = _patch_network({}), _network("adcdnet", {})
    networks = (published, patch_network, whole)
    contestants = [
        _pixel_by_pixel(published),
        _dense(patch_network, TILE_PX, "`adcdnet_patch`, dense"),
        _dense(whole, default_tile_px(whole.halo_px, is_cpu=True), "`adcdnet`, dense"),
    ]
    timings = time_in_turn(contestants, rounds)
    for contestant, network, timing in zip(contestants, networks, timings, strict=True):
        yield (
            f"| {contestant.name} | {_millions(network)} M | {_cell(contestant)} "
            f"| {timing.rate:,.0f} | {ratio_text(timings[0].wall, timing.wall)} "
            f"| {duration_text(XIAN_PX / timing.rate)} |"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield from ("", "The published networks are re-implemented with their layer sizes in")
    yield f"`published_adcdnet.py`: stage I {_millions(published.prior)} M and stage II"
    yield f"{_millions(published.main)} M parameters. In each, convolutions to 128, 256 and 128"
    yield "channels for MS and PAN, and layers from 32,768, 16,384, 8,192 and 8,192 features of MS"
    yield "to 256, from 131,072, 65,536, 8,192 and 8,192 of PAN to 512. Both run for every pixel,"
    yield f"as published, in batches of {PUBLISHED_BATCH}. The other two are other networks with"
    yield f"other maps: those rows say what a map costs. `adcdnet` classifies all {RATIO**2} PAN"
    yield f"pixels of an MS pixel. Peak memory of the whole benchmark: {peak:.1f} GB."


def _patch_by_patch(network: PatchAdcdNet) -> Contestant:
    patch = Patchwise(network)
    inputs = _inputs(PATCH_TILE_PX + 2 * network.halo_px)

    def run() -> int:
        patch(*inputs)
        return PATCH_TILE_PX**2

    return Contestant("patch", run, _mmac(patch, inputs, PATCH_TILE_PX**2))


def _dense(network: FusionNetwork, tile_px: int, name: str = "dense") -> Contestant:
    edge = -(-network.halo_px // network.lattice_px) * network.lattice_px
    inputs = _inputs(tile_px + 2 * edge)

    def run() -> int:
        network(*inputs)
        return tile_px**2

    return Contestant(name, run, _mmac(network, inputs, tile_px**2))


def _pixel_by_pixel(network: PublishedAdcdNet) -> Contestant:
    """Return the published evaluation: cut patches one by one, stack them, run, take the class."""
    size, fine = PATCH_PX, RATIO * PATCH_PX
    ms, pan = _inputs(PUBLISHED_BATCH + size - 1)

    def run() -> int:
        ms_patches = [ms[0, :, :size, y : y + size] for y in range(PUBLISHED_BATCH)]
        pan_patches = [
            pan[0, :, :fine, RATIO * y : RATIO * y + fine] for y in range(PUBLISHED_BATCH)
        ]
        network(torch.stack(ms_patches), torch.stack(pan_patches)).argmax(dim=1)
        return PUBLISHED_BATCH

    return Contestant("published, pixel by pixel", run, _mmac(network, _inputs(size), 1))


def _patch_network(arguments: dict[str, Any]) -> PatchAdcdNet:
    network = _network("adcdnet_patch", arguments)
    assert isinstance(network, PatchAdcdNet)
    return network


def _network(name: str, arguments: dict[str, Any]) -> FusionNetwork:
    network = build_network(name, arguments, bands=BANDS, ratio=RATIO, classes=CLASSES).eval()
    fold_batch_norm(network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _inputs(size: int) -> tuple[Tensor, Tensor]:
    """Return MS (1, 4, size, size), channels-last, and PAN on the same ground."""
    ms, pan = torch.rand(1, BANDS, size, size), torch.rand(1, 1, RATIO * size, RATIO * size)
    return ms.contiguous(memory_format=torch.channels_last), pan


def _error(network: PatchAdcdNet) -> float:
    """Return the largest difference of a logit between dense and patch form."""
    edge = network.halo_px * RATIO
    inputs = _inputs(32 + 2 * network.halo_px)
    difference = network(*inputs) - Patchwise(network)(*inputs)
    return float(difference[..., edge:-edge, edge:-edge].abs().max())


def _mmac(network: nn.Module, inputs: tuple[Tensor, Tensor], pixels: int) -> float:
    mapping = {torch.ops.aten.mkldnn_convolution: _onednn_flops}  # which the counter lacks
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        network(*inputs)
    return float(counter.get_total_flops() / 2e6 / pixels)


def _onednn_flops(x: Size, weight: Size, *_: object, out_shape: Size) -> int:
    return conv_flop_count(list(x), list(weight), list(out_shape))


def _cell(contestant: Contestant) -> str:
    return "" if contestant.mmac is None else f"{contestant.mmac:,.2f}"


def _millions(network: nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:,.2f}"


if __name__ == "__main__":
    main()
