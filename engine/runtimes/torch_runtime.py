"""Torch as a runtime: the reference on a CPU, and what runs on a GPU."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..radiometry import Radiometry
from ..scene.pair import TileData
from .map_step import MapStep, arrays_of
from .runtime import Pieces


class TorchRuntime:
    """Runs a map step on one device; ``step`` is moved there.

    ``precision`` other than float32 is that of convolutions and matrix products (autocast).

    On CUDA every thread that calls has a stream of its own, so that the pixels of one batch are
    copied while another is computed.
    """

    def __init__(
        self,
        step: MapStep,
        radiometry: Radiometry,
        device: torch.device,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self._step = step.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._radiometry = radiometry
        self._device = device
        self._precision = precision
        self._streams = threading.local()

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

    def run(self, tiles: Sequence[TileData]) -> Pieces:
        """Return what a map shows of each tile; raises torch.OutOfMemoryError."""
        arrays = arrays_of(tiles, self._radiometry)
        with torch.inference_mode(), self._stream(), self._autocast():
            codes, confidence = self._step(*map(self._tensor, arrays))
            return codes.cpu().numpy(), confidence.cpu().numpy()

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        host = torch.from_numpy(array)
        if self._device.type != "cuda":
            return host.to(self._device)
        # The copy is queued after what the stream already does, and nothing waits for it.
        return host.pin_memory().to(self._device, non_blocking=True)

    def _stream(self) -> AbstractContextManager[object]:
        if self._device.type != "cuda":
            return nullcontext()
        if not hasattr(self._streams, "own"):
            self._streams.own = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream: AbstractContextManager[object] = torch.cuda.stream(self._streams.own)
        return stream

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._precision)
