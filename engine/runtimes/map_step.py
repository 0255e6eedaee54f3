"""One patch of a map as one graph: digital numbers in, class codes and confidence out.

Torch runs it as it is; other runtimes run what ``torch.onnx.export`` records of it. So what a map
shows is written down once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...models.exact import is_exporting, trim
from ..class_map import CONFIDENCE_NODATA
from ..radiometry import Radiometry, scale_dn
from ..scene.pair import TileData

INPUTS = ("ms", "pan", "ms_valid", "pan_valid", "valid", "offset", "scale")
"""The graph's inputs in order, as ``arrays_of`` gives them."""
OUTPUTS = ("codes", "confidence")
LEAST_PROBABILITY = 1e-12
"""A mean probability on the MS grid is at least this before its logarithm is taken."""

Arrays = tuple[NDArray[np.generic], ...]


@dataclass(frozen=True)
class MapForm:
    """What of a patch becomes a map, and how: the same for all patches of a run.

    ``grid`` is the output's, ``pan`` or ``ms``; ``margin_px`` the MS pixels on every side of a
    patch that are not written; ``codes`` the class code of each logit; ``limits`` those of the
    radiometry; ``temperature`` divides logits before softmax, as in calibration.
    """

    ratio: int
    grid: str
    margin_px: int
    codes: tuple[int, ...]
    limits: tuple[float, float]
    temperature: float

    @property
    def scale(self) -> int:
        """Output pixels per MS pixel along a side."""
        return 1 if self.grid == "ms" else self.ratio


class MapStep(nn.Module):
    """Radiometry, a network, the most probable class and its probability."""

    def __init__(self, network: nn.Module, form: MapForm) -> None:
        super().__init__()
        self.network = network
        self.form = form

    def forward(
        self,
        ms: Tensor,
        pan: Tensor,
        ms_valid: Tensor,
        pan_valid: Tensor,
        valid: Tensor,
        offset: Tensor,
        scale: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return class codes and confidence in percent, uint8 (B, H, W), of the written part.

        ms (B, C, h, w) and pan (B, 1, r·h, r·w) are DN of any type; the masks are bool
        (B, 1, r·h, r·w); ``offset`` and ``scale`` are the radiometry's, float32 (C + 1), PAN last.
        Where MS or PAN is invalid, codes are 0 and confidence 255.
        """
        form = self.form
        ms, pan = scale_dn(ms, pan, ms_valid, pan_valid, offset, scale, form.limits, form.ratio)
        logits = self.network(
            ms.contiguous(memory_format=torch.channels_last),
            pan.contiguous(memory_format=torch.channels_last),
            self.form.margin_px,
        )  # (B, K, r·h', r·w')
        valid = trim(valid, self.form.margin_px * self.form.ratio)[:, 0]  # (B, r·h', r·w')
        logits = logits.float()
        if self.form.grid == "ms":
            logits, valid = self._to_ms_grid(logits, valid)
        codes, percent = self._most_probable(logits)
        no_code, no_percent = self._constant(0, codes), self._constant(CONFIDENCE_NODATA, codes)
        return codes.where(valid, no_code), percent.where(valid, no_percent)

    def _most_probable(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return code and percent (B, H, W) of the first of the highest logits (B, K, H, W).

        The maximum softmax probability is 1 / Σ exp(l − l_max). Class by class, so that no array
        has more than one of them, and every runtime does the same.
        """
        planes = logits.unbind(dim=1)
        best = planes[0]
        codes = self._constant(self.form.codes[0], best)
        for plane, code in zip(planes[1:], self.form.codes[1:], strict=True):
            codes = torch.where(plane > best, self._constant(code, best), codes)
            best = torch.maximum(best, plane)
        # Torch on a CPU in float64: its exp of float32 rounds by the position in memory, and so by
        # the tile. Other runtimes compute the last elements of an array as they do the others.
        is_torch_on_cpu = logits.device.type == "cpu" and not is_exporting()
        wide = torch.float64 if is_torch_on_cpu else torch.float32
        total: Tensor | None = None
        for plane in planes:
            power = ((plane - best).to(wide) / self.form.temperature).exp()
            total = power if total is None else total + power
        assert total is not None
        return codes, (100.0 / total).round().to(torch.uint8)

    def _constant(self, value: int, like: Tensor) -> Tensor:
        """Return a number that is broadcast; as an array the graph would hold all of it."""
        return torch.full((), value, dtype=torch.uint8, device=like.device)

    def _to_ms_grid(self, logits: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return log mean probabilities over each MS pixel's PAN pixels, valid where all are."""
        ratio, temperature = self.form.ratio, self.form.temperature
        probability = (logits / temperature).softmax(dim=1)
        mean = F.avg_pool2d(probability, ratio)  # (B, K, h', w')
        invalid = (~valid)[:, None].to(mean.dtype)
        any_invalid = F.max_pool2d(invalid, ratio)[:, 0] > 0
        return mean.clamp_min(LEAST_PROBABILITY).log() * temperature, ~any_invalid


def float_arrays_of(tile: TileData, radiometry: Radiometry) -> Arrays:
    """Return what an exported ``MapStep`` takes for one tile: DN as float32, as in its graph."""
    ms, pan, *rest = arrays_of([tile], radiometry)
    return ms.astype(np.float32, copy=False), pan.astype(np.float32, copy=False), *rest


def arrays_of(tiles: Sequence[TileData], radiometry: Radiometry) -> Arrays:
    """Return what ``MapStep`` takes, in order, for a batch of tiles of one size."""
    offset, scale = radiometry.to_arrays()
    return (
        np.stack([tile.ms for tile in tiles]),
        np.stack([tile.pan for tile in tiles]),
        *(
            np.stack([getattr(tile, mask)[None] for tile in tiles])
            for mask in ("ms_valid", "pan_valid", "valid")
        ),
        offset,
        scale,
    )
