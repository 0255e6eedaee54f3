"""Batches in order, tiles without pixels for nothing, and what happens where memory is short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from panloom.engine import predict
from panloom.engine.device import Device
from panloom.engine.errors import DeviceError
from panloom.engine.events import Message
from panloom.engine.predict import Predictor, TilePrediction
from panloom.engine.runtimes.choice import RuntimeStart, RuntimeUse, RuntimeWish
from panloom.engine.runtimes.runtime import Pieces
from panloom.engine.runtimes.torch_runtime import TorchRuntime
from panloom.engine.scene.pair import TileData
from panloom.engine.tiling import Tile, plan_tiles
from panloom.models.bundle import ModelBundle

from .runtimes.random_networks import LOOK, card_of, network_of, tile_of

CPU = torch.device("cpu")


class Small(TorchRuntime):
    """Torch on a device that has memory for ``room`` tiles at once."""

    def __init__(self, start: RuntimeStart, room: int) -> None:
        super().__init__(start.step, LOOK, CPU)
        self.room, self.start, self.ran, self.made = room, start, 0, []

    def run(self, tiles: Any) -> Pieces:
        if len(tiles) > self.room:
            raise torch.OutOfMemoryError("no more")
        self.ran += len(tiles)
        return super().run(tiles)

    def on(self, device: torch.device) -> TorchRuntime:
        other = TorchRuntime(self.start.step, LOOK, CPU) if device == CPU else Small(self.start, 9)
        self.made.append(other)
        return other


class Run:
    """A predictor over five tiles, the third of them without pixels, on a device with ``room``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int, **device: Any) -> None:
        self.said: list[Any] = []
        network = network_of("adcdnet_patch", "")
        halo, width = network.halo_px, 5 * 8
        scene = tile_of(8 + 2 * halo, width + 2 * halo)
        self.tiles = plan_tiles(width, 8, 8, halo, 1)
        self.starts: list[Small] = []

        def read(
            pair: object, tiles: Any, batch_size: int
        ) -> Iterator[list[tuple[Tile, TileData]]]:
            read = [(tile, self.cut(scene, tile)) for tile in tiles]
            for first in range(0, len(read), batch_size):
                yield read[first : first + batch_size]

        def start(wish: RuntimeWish, start: RuntimeStart, first: TileData) -> RuntimeUse:
            self.starts.append(Small(start, room))
            return RuntimeUse(self.starts[0], Message("started"))

        monkeypatch.setattr(predict, "read_ahead", read)
        monkeypatch.setattr(predict, "start_runtime", start)
        self.predictor = Predictor(
            ModelBundle(card_of("adcdnet_patch", ""), network), LOOK,
            replace(Device(CPU, ""), **device), batch_size=4, report=self.said.append,
        )  # fmt: skip

    def cut(self, scene: TileData, tile: Tile) -> TileData:
        left, wide = tile.read.col + tile.halo_px, tile.read.width
        fine = np.s_[..., 2 * left : 2 * (left + wide)]
        valid = np.full_like(scene.valid[fine], tile.write.col != 16)
        ms, pan = scene.ms[..., left : left + wide], scene.pan[fine]
        return TileData(ms.copy(), pan.copy(), valid, valid, valid)

    def predictions(self) -> list[TilePrediction]:
        return list(self.predictor.predict(None, self.tiles))  # type: ignore[arg-type]


def assert_same(found: list[TilePrediction], wanted: list[TilePrediction]) -> None:
    assert [p.tile for p in found] == [p.tile for p in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
        np.testing.assert_array_equal(one.confidence, other.confidence)


def test_tiles_come_in_order_and_one_without_pixels_is_not_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(monkeypatch, room=9)
    found = run.predictions()
    assert [p.tile for p in found] == run.tiles
    assert [bool(p.codes.any()) for p in found] == [True, True, False, True, True]
    assert (found[2].codes.shape, set(found[2].confidence.ravel())) == ((16, 16), {255})
    assert run.starts[0].ran == 4
    assert run.said == [Message("started")]


@pytest.mark.parametrize(("batch_size", "computed"), [(1, 3), (4, 4)])
def test_what_the_comparison_computed_is_not_computed_again(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, computed: int
) -> None:
    """In a batch of several tiles the first is: all of them are one piece of work."""
    wanted = Run(monkeypatch, room=9).predictions()
    run = Run(monkeypatch, room=9)
    run.predictor.batch_size = batch_size
    start = predict.start_runtime

    def compared(wish: RuntimeWish, begin: RuntimeStart, first: TileData) -> RuntimeUse:
        use = start(wish, begin, first)
        pieces = use.runtime.run([first])
        run.starts[0].ran = 0
        return replace(use, first=pieces)

    monkeypatch.setattr(predict, "start_runtime", compared)
    assert_same(run.predictions(), wanted)
    assert run.starts[0].ran == computed


@pytest.mark.parametrize("grid", ["pan", "ms"])
def test_a_tile_with_pixels_in_its_halo_alone_is_not_computed_and_chooses_no_runtime(
    monkeypatch: pytest.MonkeyPatch, grid: str
) -> None:
    """On the MS grid a single PAN pixel of an MS pixel makes no class, either."""
    run = Run(monkeypatch, room=9)
    run.predictor.grid = grid
    firsts: list[TileData] = []
    cut, start = run.cut, predict.start_runtime

    def with_a_first_tile_that_is_empty(scene: TileData, tile: Tile) -> TileData:
        data = cut(scene, tile)
        if tile == run.tiles[0]:
            edge = 2 * tile.halo_px
            data.valid[edge:-edge, edge:-edge] = False
            data.valid[edge, edge] = grid == "ms"
        return data

    def noted(wish: RuntimeWish, begin: RuntimeStart, first: TileData) -> RuntimeUse:
        firsts.append(first)
        return start(wish, begin, first)

    run.cut = with_a_first_tile_that_is_empty  # type: ignore[method-assign]
    monkeypatch.setattr(predict, "start_runtime", noted)
    found = run.predictions()
    assert [bool(p.codes.any()) for p in found] == [False, True, False, True, True]
    assert run.starts[0].ran == 3
    assert [first.valid.all() for first in firsts] == [True]


@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_batch_that_does_not_fit_is_halved_with_the_same_map(
    monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    assert_same(Run(monkeypatch, room).predictions(), Run(monkeypatch, 9).predictions())


def test_the_cpu_computes_the_rest_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, room=0, may_fall_back=True)
    assert_same(run.predictions(), Run(monkeypatch, 9).predictions())
    side = 8 + 2 * run.tiles[0].halo_px
    assert run.said == [
        Message("started"),
        Message(
            f"One tile of {side} × {side} MS pixels does not fit the memory of cpu. The CPU "
            "computes the rest.",
            "warning",
        ),
    ]
    assert len(run.starts[0].made) == 1  # once for all tiles


def test_a_device_that_was_named_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, room=0)
    side = 8 + 2 * run.tiles[0].halo_px
    with pytest.raises(DeviceError) as caught:
        run.predictions()
    assert str(caught.value) == (
        f"One tile of {side} × {side} MS pixels does not fit the memory of cpu. Choose smaller "
        "tiles (`--tile-px`) or the CPU (`--device cpu`)."
    )


def test_several_devices_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, room=9, others=(torch.device("meta"),))
    run.predictor.batch_size = 1
    assert_same(run.predictions(), Run(monkeypatch, 9).predictions())
    assert (run.starts[0].ran, run.starts[0].made[0].ran) == (2, 2)
