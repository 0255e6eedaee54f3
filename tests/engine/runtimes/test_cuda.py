"""What only a GPU can show: copies beside computing, real lack of memory, half precision."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from panloom.engine.device import choose_device
from panloom.engine.errors import DeviceError
from panloom.engine.grid import Window
from panloom.engine.predict import Predictor
from panloom.engine.runtimes import device_copies
from panloom.engine.runtimes.choice import RuntimeWish
from panloom.engine.runtimes.device_copies import copies_to
from panloom.engine.runtimes.device_strip import DeviceStrips
from panloom.engine.runtimes.frugal_runtime import FrugalRuntime
from panloom.engine.runtimes.torch_runtime import TorchRuntime
from panloom.engine.scene.pair import TileData
from panloom.engine.scene.tile_data import Pixels
from panloom.models.bundle import ModelBundle

from ..test_predict_on_device import drawn, pair, tiles_of
from .random_networks import BANDS, LOOK, RATIO, card_of, network_of, step_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
__all__ = ["pair"]  # the fixture

NETWORK = network_of("adcdnet_patch", "")
HALO = NETWORK.halo_px


@pytest.fixture(autouse=True)
def same_sums() -> Iterator[None]:
    """Let cuDNN take no algorithm that adds in a random order."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    yield
    torch.backends.cudnn.deterministic = before


def strip_of(seed: int, columns: int = 400, dtype: str = "uint16") -> Pixels:
    """Return a strip of some MB with a hole."""
    rng = np.random.default_rng(seed)
    window = Window(-HALO, 0, columns, 64)
    fine = window.refine(RATIO)
    valid = np.ones(fine.shape, np.bool_)
    valid[30:60, 100:140] = False
    ms = rng.integers(0, 250, (BANDS, *window.shape)).astype(dtype) * np.array(40, dtype)
    pan = rng.integers(0, 250, (1, *fine.shape)).astype(dtype) * np.array(40, dtype)
    return Pixels(window, ms, pan, None, valid, Window(0, 4, fine.width, fine.height))


def batch_of(pixels: Pixels, first: int, count: int = 4) -> list[TileData]:
    windows = [Window(first + 9 * n - HALO, 3, 40, 50) for n in range(count)]
    return [pixels.cut(window, with_source=True) for window in windows]


def runtime_on_cuda() -> TorchRuntime:
    return TorchRuntime(step_of(NETWORK, HALO), LOOK, torch.device("cuda", 0))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_windows_cut_on_a_gpu_are_those_cut_on_the_cpu(dtype: str) -> None:
    pixels = strip_of(1, dtype=dtype)
    tiles = batch_of(pixels, 0)
    strips = [DeviceStrips(copies_to(torch.device(name))) for name in ("cuda:0", "cpu")]
    for found, wanted in zip(*(s.batch(tiles) or () for s in strips), strict=True):
        assert (found.device.type, found.dtype) == ("cuda", wanted.dtype)
        assert torch.equal(found.cpu(), wanted)


def test_strips_that_come_and_go_in_several_threads_are_not_mixed_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Small buffers, so that all are used again and again while others are copied."""
    monkeypatch.setattr(device_copies.StagedCopies.__init__, "__defaults__", (1 << 16, 2))
    runtime = runtime_on_cuda()
    plain = runtime_on_cuda()
    assert plain.give_back_strips()

    def both(number: int) -> tuple[Any, Any]:
        tiles = batch_of(strip_of(number // 2, 2000), 9 * (number % 7))
        return runtime.run(tiles), plain.run(tiles)

    with ThreadPoolExecutor(4) as pool:
        for found, wanted in pool.map(both, range(60)):
            np.testing.assert_array_equal(found[0], wanted[0])
            np.testing.assert_array_equal(found[1], wanted[1])


def test_a_real_lack_of_memory_hardly_changes_a_pixel() -> None:
    def refuse(tile: TileData) -> Any:
        raise DeviceError("nothing else may compute", "out-of-memory")

    runtime = runtime_on_cuda()
    tiles = batch_of(strip_of(5, 2000), 0, count=64)
    wanted = runtime.run(tiles)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    runtime.run(tiles[:8])
    room = 2 * torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.mem_get_info()[1])
    try:
        with pytest.raises(torch.OutOfMemoryError):
            runtime.run(tiles)
        frugal = FrugalRuntime(runtime, 2, refuse)
        with ThreadPoolExecutor(2) as pool:
            for found in pool.map(frugal.run, [tiles] * 4):
                # Another batch size may mean another algorithm, which rounds a near tie otherwise.
                assert (found[0] == wanted[0]).mean() >= 0.99999
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("name", ["cuda", "cuda:all"])
def test_a_map_of_a_gpu_is_nearly_that_of_the_cpu(pair: Any, name: str) -> None:
    """In the precision that the engine takes by itself; and the same at every run."""
    bundle = ModelBundle(card_of("adcdnet_patch", ""), NETWORK)
    maps = []
    for device in (choose_device("cpu"), choose_device(name), choose_device(name)):
        predictor = Predictor(
            bundle, LOOK, device, batch_size=1 if device.is_cpu else 3, workers=device.workers,
            wish=RuntimeWish("torch"),
        )  # fmt: skip
        maps.append(drawn(predictor.predict(pair, tiles_of(pair)))[0])
    cpu, gpu, again = maps
    np.testing.assert_array_equal(gpu, again)
    np.testing.assert_array_equal(gpu == 0, cpu == 0)
    assert (gpu == cpu).mean() >= 0.995  # random logits lie closer together than trained ones
