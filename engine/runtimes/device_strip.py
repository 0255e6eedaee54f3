"""Strips in a device's memory: copied there once, and windows cut from them there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..device import is_out_of_memory
from ..grid import Window
from ..scene.tile_data import Pixels, TileData, part
from .device_copies import Copies, Sent


@dataclass(frozen=True)
class DeviceStrip:
    """What ``Pixels`` holds, as tensors of one device, in the files' types.

    ``window`` and ``map_window`` are as there. The masks are (r·h, r·w), None where all is True.
    """

    window: Window
    ratio: int
    map_window: Window
    ms: Tensor
    pan: Tensor
    ms_valid: Tensor | None
    pan_valid: Tensor | None

    def batch(self, windows: Sequence[Window]) -> tuple[Tensor, ...]:
        """Return the first five inputs of ``MapStep`` for windows of one size, on the device.

        ms (B, C, h, w) and pan (B, 1, r·h, r·w); ms_valid, pan_valid and valid (B, 1, r·h, r·w).
        """
        whole = self.window.refine(self.ratio)
        fine = [window.refine(self.ratio) for window in windows]
        masks = [
            None if mask is None else _stack([mask[part(f, whole)] for f in fine])[:, None]
            for mask in (self.ms_valid, self.pan_valid)
        ]
        valid = _both(_both(*masks), self._in_map(fine))
        shape = len(fine), 1, *fine[0].shape
        return (
            _stack([self.ms[(slice(None), *part(w, self.window))] for w in windows]),
            _stack([self.pan[(slice(None), *part(f, whole))] for f in fine]),
            *(self._all_true(shape) if mask is None else mask for mask in (*masks, valid)),
        )

    def _in_map(self, fine: Sequence[Window]) -> Tensor | None:
        """Return where windows on the PAN grid lie in the map (B, 1, H, W), None where wholly."""
        inside = [window.intersect(self.map_window) for window in fine]
        if inside == list(fine):
            return None
        shape = len(fine), 1, *fine[0].shape
        mask = torch.zeros(shape, dtype=torch.bool, device=self.pan.device)
        for image, window, rest in zip(mask, fine, inside, strict=True):
            if rest is not None:
                image[(slice(None), *part(rest, window))] = True
        return mask

    def _all_true(self, shape: tuple[int, ...]) -> Tensor:
        """Return one True as if it were many."""
        return torch.ones((), dtype=torch.bool, device=self.pan.device).expand(shape)


class DeviceStrips:
    """The strips in one device's memory; several threads may ask at once.

    A strip is there from the first batch that is cut from it until its ``Pixels`` are gone: until
    the last of its tiles is.
    """

    def __init__(self, copies: Copies) -> None:
        self._copies = copies
        self._strips: WeakKeyDictionary[Pixels, tuple[DeviceStrip, Sent] | None] = (
            WeakKeyDictionary()
        )
        self._sending = Lock()
        self._is_closed = False

    def batch(self, tiles: Sequence[TileData]) -> tuple[Tensor, ...] | None:
        """Return ``DeviceStrip.batch`` of tiles, for what the calling thread queues next.

        None where they come from several strips or nobody knows from which, or where their strip
        does not fit the device's memory; raises torch.OutOfMemoryError where the batch does not.
        """
        sources = [tile.source for tile in tiles if tile.source is not None]
        if len(sources) < len(tiles) or len({source.pixels for source in sources}) != 1:
            return None
        found = self._find(sources[0].pixels)
        if found is None:
            return None
        strip, sent = found
        self._copies.require(sent)
        return strip.batch([source.window for source in sources])

    def close(self) -> bool:
        """Let go of all strips and take no more; True the first time."""
        with self._sending:
            was_open, self._is_closed = not self._is_closed, True
            self._strips.clear()
            return was_open

    def _find(self, pixels: Pixels) -> tuple[DeviceStrip, Sent] | None:
        if pixels not in self._strips:
            with self._sending:
                if pixels not in self._strips and not self._is_closed:
                    self._strips[pixels] = self._send(pixels)
        return self._strips.get(pixels)

    def _send(self, pixels: Pixels) -> tuple[DeviceStrip, Sent] | None:
        """Return the strip and its copies, perhaps only queued; None where there is no room."""
        masks = [mask for mask in (pixels.ms_valid, pixels.pan_valid) if mask is not None]
        try:
            sent = self._copies.send([pixels.ms, pixels.pan, *masks])
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None
        ms, pan, *found = sent.tensors
        ms_valid = None if pixels.ms_valid is None else found.pop(0)
        pan_valid = None if pixels.pan_valid is None else found.pop(0)
        strip = DeviceStrip(
            pixels.window, pixels.ratio, pixels.map_window, ms, pan, ms_valid, pan_valid
        )
        return strip, sent


def _stack(parts: Sequence[Tensor]) -> Tensor:
    """Return parts as one batch; not every device stacks uint16, but each copies its 16 bits."""
    if parts[0].dtype == torch.uint16:
        return torch.stack([part.view(torch.int16) for part in parts]).view(torch.uint16)
    return torch.stack(list(parts))


def _both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Return where both masks are True; None is True everywhere."""
    if first is None or second is None:
        return second if first is None else first
    return first & second
