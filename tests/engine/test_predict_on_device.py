"""Maps of a scene whose strips go to a device, for which the CPU stands in here."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine

from panloom.engine import predict
from panloom.engine.device import Device
from panloom.engine.errors import DeviceError
from panloom.engine.events import Message
from panloom.engine.predict import Predictor, TilePrediction
from panloom.engine.runtimes.choice import RuntimeStart, RuntimeUse, RuntimeWish
from panloom.engine.runtimes.device_copies import PlainCopies, Sent
from panloom.engine.runtimes.device_strip import DeviceStrips
from panloom.engine.runtimes.map_step import MapStep
from panloom.engine.runtimes.runtime import Pieces
from panloom.engine.runtimes.torch_runtime import TorchRuntime
from panloom.engine.scene.pair import ScenePair, TileData
from panloom.engine.scene.pair_images import PairImages
from panloom.engine.scene.strips import Strip, StripReader
from panloom.engine.scene.tile_data import Pixels
from panloom.engine.tiling import Tile, plan_tiles
from panloom.models.bundle import ModelBundle

from .accelerator import Accelerator
from .conftest import LEFT, TOP, WriteRaster
from .runtimes.random_networks import LOOK, card_of, network_of

CPU = torch.device("cpu")
WIDTH, HEIGHT, TILE_PX = 61, 50, 9  # 7 × 6 tiles
NETWORK = network_of("adcdnet_patch", "")
HALO = NETWORK.halo_px


@dataclass
class Memory:
    """What fits a device: from the ``after``-th batch on so many tiles, and strips or none."""

    tiles: int = 99
    after: int = 0
    strips: bool = True
    strips_after: int = 0
    sent: list[weakref.ref[Any]] = field(default_factory=list)
    most_alive: int = 0
    batches: list[tuple[bool, int]] = field(default_factory=list)
    """Of each batch whether it was cut on the device, and how many tiles it has."""


class Copies(PlainCopies):
    def __init__(self, memory: Memory) -> None:
        super().__init__(CPU)
        self.memory = memory

    def send(self, arrays: Any) -> Sent:
        memory = self.memory
        if not memory.strips and len(memory.sent) >= memory.strips_after:
            raise torch.OutOfMemoryError("no more")
        sent = Sent([tensor.clone() for tensor in super().send(arrays).tensors], None)
        memory.sent.append(weakref.ref(sent.tensors[1]))
        alive = sum(pan() is not None for pan in memory.sent)
        memory.most_alive = max(memory.most_alive, alive)
        return sent


class Standin(TorchRuntime):
    """Torch on the CPU, where pixels get as they get to a device with this memory."""

    def __init__(self, step: MapStep, memories: list[Memory]) -> None:
        self.memories, self.step, self.made = memories, step, 0
        self.strips = DeviceStrips(Copies(memories[0]))
        self.lock = threading.Lock()
        self.cpu: list[TorchRuntime] = []
        super().__init__(step, LOOK, CPU, strips=self.strips)

    def run(self, tiles: Sequence[TileData]) -> Pieces:
        memory = self.memories[0]
        with self.lock:  # the tests count
            if len(tiles) > memory.tiles and len(memory.batches) >= memory.after:
                raise torch.OutOfMemoryError("no more")
            pieces = super().run(tiles)
            memory.batches.append((self.strips.batch(tiles) is not None, len(tiles)))
            return pieces

    def on(self, device: torch.device) -> TorchRuntime:
        if device == CPU:
            self.cpu.append(TorchRuntime(self.step, LOOK, CPU))
            return self.cpu[-1]
        self.made += 1
        return Standin(self.step, self.memories[self.made :])


@pytest.fixture
def pair(write_raster: WriteRaster, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A scene with a hole, read in strips of at most four tiles."""
    rng = np.random.default_rng(3)
    ms = rng.integers(400, 9000, (4, HEIGHT, WIDTH)).astype(np.uint16)
    pan = rng.integers(300, 9000, (2 * HEIGHT - 1, 2 * WIDTH)).astype(np.uint16)
    ms[:, 20:33, 30:55] = 0
    place = Affine(0.5, 0, LEFT, 0, -0.5, TOP)
    paths = (
        write_raster("ms.tif", ms, place @ Affine.scale(2), nodata=0),
        write_raster("pan.tif", pan, place),
    )
    with ScenePair.open(*paths, ratio=2) as opened:
        read = TILE_PX + 2 * HALO
        sections = read * (3 * TILE_PX + read) * opened.images.bytes_per_ms_px
        monkeypatch.setattr(PairImages, "strip_bytes", lambda *_: sections)
        yield opened


def tiles_of(pair: ScenePair) -> list[Tile]:
    tiles = plan_tiles(pair.ms.grid.width, pair.ms.grid.height, TILE_PX, HALO, 1)
    assert len(tiles) == 42
    return tiles


class Run:
    """A run on devices with these memories."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *memories: Memory, batch_size: int = 4,
        may_fall_back: bool = False,
    ) -> None:  # fmt: skip
        self.said: list[Any] = []
        self.runtime: Standin | None = None

        def start(wish: RuntimeWish, start: RuntimeStart, first: TileData) -> RuntimeUse:
            self.runtime = Standin(start.step, list(memories))
            TorchRuntime.run(self.runtime, [first])  # as the comparison with single precision
            return RuntimeUse(self.runtime, Message("started"))

        monkeypatch.setattr(predict, "start_runtime", start)
        others = (torch.device("meta"),) * (len(memories) - 1)
        device = Accelerator(CPU, "", may_fall_back, others)
        self.predictor = Predictor(
            ModelBundle(card_of("adcdnet_patch", ""), NETWORK), LOOK, device,
            batch_size=batch_size, workers=device.workers, report=self.said.append,
        )  # fmt: skip

    def map(self, pair: ScenePair) -> tuple[np.ndarray, np.ndarray]:
        return drawn(self.predictor.predict(pair, tiles_of(pair)))


def drawn(predictions: Any) -> tuple[np.ndarray, np.ndarray]:
    codes, confidence = np.zeros((2, 2 * HEIGHT, 2 * WIDTH), np.uint8)
    found: list[TilePrediction] = list(predictions)
    for one in found:
        fine = one.tile.write.refine(2)
        part = np.s_[fine.row : fine.bottom, fine.col : fine.right]
        codes[part], confidence[part] = one.codes, one.confidence
    order = [(one.tile.write.row, one.tile.write.col) for one in found]
    assert order == sorted(order)
    return codes, confidence


@pytest.fixture
def wanted(pair: ScenePair) -> tuple[np.ndarray, np.ndarray]:
    """The map as the CPU makes it, tile by tile."""
    cpu = Device(CPU, "")
    bundle = ModelBundle(card_of("adcdnet_patch", ""), NETWORK)
    found = drawn(Predictor(bundle, LOOK, cpu).predict(pair, tiles_of(pair)))
    assert set(np.unique(found[0])) == {0, *card_of("adcdnet_patch", "").classes.codes}
    return found


def assert_same(found: tuple[np.ndarray, ...], wanted: tuple[np.ndarray, ...]) -> None:
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize(("batch_size", "most", "strips"), [(1, 1, 2), (3, 3, 2), (8, 7, 1)])
def test_the_map_is_that_of_the_cpu_and_all_windows_are_cut_on_the_device(
    pair: ScenePair, wanted: Any, monkeypatch: pytest.MonkeyPatch,
    batch_size: int, most: int, strips: int,
) -> None:  # fmt: skip
    """A row has seven tiles; a strip four, or as many as a batch."""
    memory = Memory()
    run = Run(monkeypatch, memory, batch_size=batch_size)
    assert_same(run.map(pair), wanted)
    assert all(cut for cut, _ in memory.batches)
    assert max(count for _, count in memory.batches) == most
    assert run.said == [Message("started")]
    assert len(memory.sent) == 6 * strips  # of each row of tiles


def test_several_devices_get_strips_in_turn_and_make_the_same_map(
    pair: ScenePair, wanted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memories = [Memory() for _ in range(3)]
    run = Run(monkeypatch, *memories, batch_size=2)
    assert_same(run.map(pair), wanted)
    assert [len(memory.sent) for memory in memories] == [4, 4, 4]
    assert all(cut for memory in memories for cut, _ in memory.batches)


def test_strips_are_released_while_the_run_goes_on(
    pair: ScenePair, wanted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the device as on the CPU: no more than what is on its way."""
    memory, pixels, most = Memory(), [], 0
    read = StripReader.read

    def seen(self: StripReader, strip: Strip) -> Pixels:
        nonlocal most
        found = read(self, strip)
        pixels.append(weakref.ref(found))
        most = max(most, sum(known() is not None for known in pixels))
        return found

    monkeypatch.setattr(StripReader, "read", seen)
    run = Run(monkeypatch, memory)
    assert_same(run.map(pair), wanted)
    assert len(pixels) == len(memory.sent) == 12
    assert most <= run.predictor.workers + 3  # one more where nothing was left to do without it
    assert 1 <= memory.most_alive <= run.predictor.workers + 2
    assert [known() for known in (*pixels, *memory.sent)] == [None] * 24


# --- too little memory ---


@pytest.mark.parametrize("after", [0, 1, 7])
@pytest.mark.parametrize("room", [1, 3])
def test_batches_that_do_not_fit_make_the_same_map(
    pair: ScenePair, wanted: Any, monkeypatch: pytest.MonkeyPatch, room: int, after: int
) -> None:
    memory = Memory(tiles=room, after=after)
    assert_same(Run(monkeypatch, memory).map(pair), wanted)
    assert all(cut for cut, _ in memory.batches)
    assert max(count for _, count in memory.batches[after + 1 :]) <= room


@pytest.mark.parametrize("after", [0, 1, 5])
def test_strips_that_do_not_fit_are_copied_in_batches_to_the_same_map(
    pair: ScenePair, wanted: Any, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    memory = Memory(strips=False, strips_after=after)
    run = Run(monkeypatch, memory)
    assert_same(run.map(pair), wanted)
    assert len(memory.sent) == after
    assert sum(not cut for cut, _ in memory.batches) == 12 - after
    assert run.said == [Message("started")]


@pytest.mark.parametrize("after", [0, 1, 5])
def test_the_cpu_makes_the_rest_of_the_same_map_where_it_may(
    pair: ScenePair, wanted: Any, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    memory = Memory(tiles=0, after=after)
    run = Run(monkeypatch, memory, may_fall_back=True)
    assert_same(run.map(pair), wanted)
    assert run.runtime is not None
    assert len(run.runtime.cpu) == 1
    side = TILE_PX + 2 * HALO
    text = f"One tile of {side} × {side} MS pixels does not fit the memory of cpu."
    assert run.said == [
        Message("started"), Message(f"{text} The CPU computes the rest.", "warning"),
    ]  # fmt: skip


def test_a_device_that_was_named_ends_the_run(
    pair: ScenePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(monkeypatch, Memory(tiles=0, after=3))
    with pytest.raises(DeviceError, match="does not fit the memory"):
        run.map(pair)


def test_a_device_among_several_may_have_less_memory(
    pair: ScenePair, wanted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memories = [Memory(), Memory(tiles=1), Memory(strips=False)]
    assert_same(Run(monkeypatch, *memories).map(pair), wanted)
    assert {count for _, count in memories[1].batches} == {1}
    assert not any(cut for cut, _ in memories[2].batches)
    assert all(cut for cut, _ in memories[0].batches)
