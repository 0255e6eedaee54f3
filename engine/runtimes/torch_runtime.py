"""Torch as a runtime: the reference on a CPU, and what runs on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..radiometry import Radiometry
from ..scene.pair import TileData
from .device_copies import copies_to
from .device_strip import DeviceStrips
from .map_step import MapStep, arrays_of
from .runtime import Pieces


class TorchRuntime:
    """Runs a map step on one device; ``step`` is moved there.

    ``precision`` other than float32 is that of convolutions and matrix products (autocast).
    ``strips`` are those in the device's memory; without any, on a CPU, tiles are copied batch by
    batch, as is everywhere what no strip is known of.

    On CUDA every call has a stream to itself, so that one batch is queued while the results of
    another are waited for.
    """

    def __init__(
        self,
        step: MapStep,
        radiometry: Radiometry,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        strips: DeviceStrips | None = None,
    ) -> None:
        self._step = step.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._radiometry = radiometry
        self._device = device
        self._precision = precision
        self._idle: list[torch.cuda.Stream] = []
        self._strips = strips
        if strips is None and device.type != "cpu":
            self._strips = DeviceStrips(copies_to(device))
        self._scaling = tuple(torch.from_numpy(a).to(device) for a in radiometry.to_arrays())
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # single precision is what it is called
            # Streams do not wait for each other, and this one has moved the weights.
            torch.cuda.current_stream(device).synchronize()

    @property
    def title(self) -> str:
        """Name and version as they are written."""
        if self._precision == torch.float32:
            return f"torch {torch.__version__}"
        return f"torch in {str(self._precision).removeprefix('torch.')} {torch.__version__}"

    def on(self, device: torch.device) -> TorchRuntime:
        """Return the same on another device, with weights of its own; single precision on a CPU."""
        precision = torch.float32 if device.type == "cpu" else self._precision
        return TorchRuntime(deepcopy(self._step), self._radiometry, device, precision)

    def in_precision(self, precision: torch.dtype) -> TorchRuntime:
        """Return the same with these weights and strips in another precision."""
        return TorchRuntime(self._step, self._radiometry, self._device, precision, self._strips)

    def run(self, tiles: Sequence[TileData]) -> Pieces:
        """Return what a map shows of each tile; raises torch.OutOfMemoryError."""
        with torch.inference_mode(), self._stream(), self._autocast():
            codes, confidence = self._step(*self._inputs(tiles))
            return self._fetched(codes, confidence)

    def repeat(self, tiles: Sequence[TileData], times: int) -> None:
        """Compute tiles whose pixels are on the device ``times`` times, and nothing else.

        How long that takes is the limit of ``run`` on the same device.
        """
        with torch.inference_mode(), self._stream(), self._autocast():
            inputs = self._inputs(tiles)
            for _ in range(times):
                results = self._step(*inputs)
            self._fetched(*results)

    def give_back_strips(self) -> bool:
        """Copy batch by batch from now on; True where strips may have taken memory until now."""
        return self._strips is not None and self._strips.close()

    def _inputs(self, tiles: Sequence[TileData]) -> tuple[Tensor, ...]:
        cut = None if self._strips is None else self._strips.batch(tiles)
        if cut is None:
            *arrays, _, _ = arrays_of(tiles, self._radiometry)
            cut = tuple(map(self._tensor, arrays))
        return *cut, *self._scaling

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        host = torch.from_numpy(array)
        if self._device.type != "cuda":
            return host.to(self._device)
        # The copy is queued after what the stream already does, and nothing waits for it.
        return host.pin_memory().to(self._device, non_blocking=True)

    def _fetched(self, codes: Tensor, confidence: Tensor) -> Pieces:
        """Return results as arrays; only the calling thread waits for them."""
        if self._device.type != "cuda":
            return codes.cpu().numpy(), confidence.cpu().numpy()
        # Torch keeps pinned memory for the next results; copies to other memory would go through
        # buffers of the driver, one after the other.
        hosts = [torch.empty(r.shape, dtype=r.dtype, pin_memory=True) for r in (codes, confidence)]
        for host, result in zip(hosts, (codes, confidence), strict=True):
            host.copy_(result, non_blocking=True)
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record()
        done.synchronize()
        return hosts[0].numpy(), hosts[1].numpy()

    @contextmanager
    def _stream(self) -> Iterator[None]:
        """Let the calling thread queue its work on a stream that no other uses meanwhile.

        Streams outlive threads: each keeps memory of its own for what comes next.
        """
        if self._device.type != "cuda":
            yield
            return
        try:
            stream = self._idle.pop()
        except IndexError:
            stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            self._idle.append(stream)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._precision)
