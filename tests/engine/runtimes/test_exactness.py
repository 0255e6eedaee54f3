"""In every runtime a pixel is the same in every patch, and torch's logits are found again."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from panloom.engine.runtimes.graph_cache import GraphCache
from panloom.engine.runtimes.map_step import float_arrays_of
from panloom.engine.runtimes.onnx_graph import graph_of, sizes_of
from panloom.engine.runtimes.onnx_runtime import OnnxRuntime
from panloom.engine.runtimes.openvino_runtime import OpenVinoRuntime
from panloom.engine.runtimes.runtime import Runtime
from panloom.engine.runtimes.torch_runtime import TorchRuntime
from panloom.engine.scene.pair import TileData

from .random_networks import (
    EACH_NETWORK,
    KINDS,
    LOOK,
    RATIO,
    SELECTING,
    card_of,
    crop,
    halo_of,
    network_of,
    step_of,
    tile_of,
)

each_kind = pytest.mark.parametrize(("name", "fusion"), KINDS)


def make(runtime: str, name: str, fusion: str, tile: TileData) -> Runtime:
    network = network_of(name, fusion)
    step = step_of(network, halo_of(network))
    if runtime == "torch":
        return TorchRuntime(step, LOOK, torch.device("cpu"))
    example = float_arrays_of(tile, LOOK)
    card = card_of(name, fusion)
    graph = graph_of(step, card, example, GraphCache(None), network.lattice_px)
    if runtime == "openvino":
        return OpenVinoRuntime(graph, LOOK, example, 1)
    return OnnxRuntime(graph, LOOK, sizes_of(example))


def assert_same_in_every_patch(runtime: str, name: str, fusion: str) -> None:
    network = network_of(name, fusion)
    lattice, halo = network.lattice_px, halo_of(network)
    side = 5 * lattice if lattice > 2 else 30 * lattice
    whole_tile = tile_of(2 * halo + side, 2 * halo + side + lattice, valid=0.97)
    whole = make(runtime, name, fusion, whole_tile).run([whole_tile])
    assert len(np.unique(whole[0])) == 5  # nodata and four classes
    for row, col, height, width in ((0, 0, 1, 1), (1, 2, 2, 3)):
        top, left, high, wide = (lattice * n for n in (row, col, height, width))
        part = crop(whole_tile, top, left, high + 2 * halo, wide + 2 * halo)
        found = make(runtime, name, fusion, part).run([part, part])
        fine = np.s_[RATIO * top : RATIO * (top + high), RATIO * left : RATIO * (left + wide)]
        for one, of_whole in zip(found, whole):
            for batch in one:
                np.testing.assert_array_equal(batch, of_whole[0][fine])


@pytest.mark.parametrize(("name", "fusion"), EACH_NETWORK)
def test_a_pixel_is_the_same_in_every_patch_with_onnx_runtime(name: str, fusion: str) -> None:
    assert_same_in_every_patch("onnxruntime", name, fusion)


@pytest.mark.parametrize(("name", "fusion"), [("adcdnet", ""), ("adcdnet_patch", "")])
def test_a_pixel_is_the_same_in_every_patch_with_openvino(name: str, fusion: str) -> None:
    pytest.importorskip("openvino")
    assert_same_in_every_patch("openvino", name, fusion)


@pytest.mark.parametrize(("name", "fusion"), KINDS[:1])
def test_a_pixel_is_the_same_in_every_patch_with_torch(name: str, fusion: str) -> None:
    """The map step; what is inside every network is compared in ``tests/models``."""
    assert_same_in_every_patch("torch", name, fusion)


class Logits(torch.nn.Module):
    """A network without its margin, to be exported by itself."""

    def __init__(self, network: torch.nn.Module, margin_px: int) -> None:
        super().__init__()
        self.network, self.margin_px = network, margin_px

    def forward(self, ms: torch.Tensor, pan: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(ms, pan, self.margin_px)
        return logits


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@each_kind
def test_logits_are_those_of_torch_in_onnx_runtime(name: str, fusion: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network = network_of(name, fusion)
    halo, lattice = halo_of(network), network.lattice_px
    tile = tile_of(2 * halo + 4 * lattice, 2 * halo + 5 * lattice)
    masks = (torch.from_numpy(m)[None, None] for m in (tile.ms_valid, tile.pan_valid))
    inputs = LOOK.apply(*(torch.from_numpy(i)[None] for i in (tile.ms, tile.pan)), *masks)
    graph = io.BytesIO()
    with torch.no_grad():
        wanted = network(*inputs, halo).numpy()
        torch.onnx.export(
            Logits(network, halo), inputs, graph, dynamo=False, input_names=["ms", "pan"]
        )
    session = onnxruntime.InferenceSession(graph.getvalue(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"ms": inputs[0].numpy(), "pan": inputs[1].numpy()})
    assert wanted.std() > 1
    apart = np.abs(found - wanted)
    if (name, fusion) in SELECTING:
        assert np.quantile(apart, 0.9) <= 1e-4
        assert (found.argmax(1) == wanted.argmax(1)).mean() >= 0.999
    else:
        assert apart.max() <= 1e-4
