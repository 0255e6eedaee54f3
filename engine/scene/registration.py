"""How far a PAN lies from where its MS puts it, measured from the images themselves.

In every patch the PAN is averaged to MS pixels at each candidate displacement, and fitted as a
linear combination of the MS bands, both without their local mean. The displacement with the largest
multiple correlation is the patch's, to a fraction of a PAN pixel by a parabola through its
neighbors. Bands are weighted by the fit, so a PAN that looks like no single band is no problem.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..grid import Grid, Window

Floats = NDArray[np.float64]

PATCH_PX = 128
MARGIN_PX = 8
"""MS pixels around a patch that the search and the local mean reach into."""

SURE = 0.6
"""Least confidence to act on. Under clouds patches disagree: clouds move between the bands."""

_PATCHES_PER_SIDE = 4
_SEARCH_PX = 3
_MEAN_PX = 9
_LEAST_PIXELS = 100
_LEAST_CORRELATION = 0.4
_AGREEMENT_PX = 0.35


@dataclass(frozen=True)
class Registration:
    """A measured displacement in PAN pixels: ``dx`` to the right, ``dy`` down.

    The PAN's content lies that far from where the MS puts it. ``confidence`` in [0, 1] is the share
    of patches that agree within a third of a PAN pixel, times their correlation; ``patches`` counts
    those that had enough valid pixels.
    """

    dx: float
    dy: float
    confidence: float
    patches: int

    @property
    def is_sure(self) -> bool:
        """True where the displacement can be corrected without asking."""
        return self.confidence >= SURE

    @property
    def distance_px(self) -> float:
        """Length of the displacement in PAN pixels."""
        return math.hypot(self.dx, self.dy)


@dataclass(frozen=True)
class Patch:
    """Pixels to measure on: ``ms`` (C, h, w), ``pan`` (r·h, r·w), ``valid`` (r·h, r·w)."""

    ms: NDArray[np.float32]
    pan: NDArray[np.float32]
    valid: NDArray[np.bool_]


def registration_windows(grid: Grid) -> list[Window]:
    """Return at most 16 windows on an MS grid, spread over it, each with its margin."""
    cols, rows = _starts(grid.width), _starts(grid.height)
    width, height = min(PATCH_PX, grid.width), min(PATCH_PX, grid.height)
    return [Window(col, row, width, height).grow(MARGIN_PX) for row in rows for col in cols]


def estimate_shift(patches: Iterable[Patch], ratio: int) -> Registration:
    """Return the median displacement over patches of a pair, and how far it can be trusted."""
    found = [match for match in (_match(patch, ratio) for patch in patches) if match is not None]
    good = [m for m in found if m.is_inside and m.correlation >= _LEAST_CORRELATION]
    if not good:
        return Registration(0.0, 0.0, 0.0, len(found))
    dx, dy = float(np.median([m.dx for m in good])), float(np.median([m.dy for m in good]))
    agreeing = [m for m in good if math.hypot(m.dx - dx, m.dy - dy) <= _AGREEMENT_PX]
    if not agreeing:
        return Registration(dx, dy, 0.0, len(found))
    correlation = float(np.median([m.correlation for m in agreeing]))
    return Registration(dx, dy, correlation * len(agreeing) / len(found), len(found))


@dataclass(frozen=True)
class _Match:
    dx: float
    dy: float
    correlation: float
    is_inside: bool


def _match(patch: Patch, ratio: int) -> _Match | None:
    """Return the best displacement of one patch, None where too few pixels are valid."""
    search = _Search.prepare(patch, ratio)
    if search is None:
        return None
    coarse = [(x * ratio, y * ratio) for y in _around(0) for x in _around(0)]
    best = max(coarse, key=lambda d: search.correlation(*d))
    near = [(best[0] + x, best[1] + y) for y in _pixels(ratio) for x in _pixels(ratio)]
    best = max(near, key=lambda d: search.correlation(*d))
    peak = search.correlation(*best)
    limit = _SEARCH_PX * ratio
    if max(abs(best[0]), abs(best[1])) >= limit:
        return _Match(*best, peak, is_inside=False)
    surface = np.array(
        [[search.correlation(best[0] + x, best[1] + y) for x in (-1, 0, 1)] for y in (-1, 0, 1)]
    )
    x, y = _vertex(surface)
    return _Match(best[0] + x, best[1] + y, peak, is_inside=True)


class _Search:
    """Multiple correlations between the MS bands and the PAN at whole PAN-pixel displacements."""

    def __init__(self, bands: Floats, pan: Floats, used: NDArray[np.bool_], ratio: int) -> None:
        self._bands = bands - bands.mean(axis=1, keepdims=True)  # (C, n)
        # einsum and not @: BLAS threads cost more than they save here, and round by their number
        gram = np.einsum("in,jn->ij", self._bands, self._bands)
        self._gram = gram + np.eye(len(gram)) * (1e-9 * np.trace(gram) + 1e-12)
        self._pan, self._used, self._ratio = pan, used, ratio
        self._known: dict[tuple[int, int], float] = {}

    @classmethod
    def prepare(cls, patch: Patch, ratio: int) -> _Search | None:
        """Remove local means and find the pixels that every displacement can use."""
        height, width = patch.ms.shape[1:]
        blocks = patch.valid.reshape(height, ratio, width, ratio).all(axis=(1, 3))
        if min(height, width) <= 2 * MARGIN_PX:
            return None
        invalid: Floats = np.where(blocks, 0.0, 1.0)
        invalid_near = _box(invalid, 2 * MARGIN_PX + 1)
        used = invalid_near < 0.5 / (2 * MARGIN_PX + 1) ** 2
        if used.sum() < _LEAST_PIXELS:
            return None
        half = _MEAN_PX // 2
        inner = slice(MARGIN_PX - half, -(MARGIN_PX - half))
        ms: Floats = patch.ms.astype(np.float64)
        core = ms[:, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
        bands = core - np.stack([_box(band, _MEAN_PX) for band in list(ms[:, inner, inner])])
        pan = patch.pan.astype(np.float64)
        around = _box(pan, _MEAN_PX * ratio)
        block = _box(pan, ratio)[half * ratio :, half * ratio :]
        detail = block[: around.shape[0], : around.shape[1]] - around
        return cls(bands[:, used], detail, used, ratio)

    def correlation(self, dx: int, dy: int) -> float:
        """Return the multiple correlation, 0…1, at one displacement."""
        if (dx, dy) not in self._known:
            self._known[dx, dy] = self._correlation(dx, dy)
        return self._known[dx, dy]

    def _correlation(self, dx: int, dy: int) -> float:
        first = (MARGIN_PX - _MEAN_PX // 2) * self._ratio
        height, width = self._used.shape
        rows = slice(first + dy, first + dy + height * self._ratio, self._ratio)
        cols = slice(first + dx, first + dx + width * self._ratio, self._ratio)
        pan = self._pan[rows, cols][self._used]
        pan = pan - pan.mean()
        power = float(np.einsum("n,n->", pan, pan))
        if power <= 1e-12 * pan.size:
            return 0.0
        product = np.einsum("in,n->i", self._bands, pan)
        explained = float((product * np.linalg.solve(self._gram, product)).sum()) / power
        spare = (pan.size - 1) / max(1, pan.size - 1 - len(product))
        return math.sqrt(min(1.0, max(0.0, 1 - (1 - explained) * spare)))


def _starts(size: int) -> list[int]:
    count = min(_PATCHES_PER_SIDE, max(1, size // PATCH_PX))
    spare = size - min(PATCH_PX, size)
    return sorted({round(spare * (i + 0.5) / count) for i in range(count)})


def _around(center: int) -> range:
    return range(center - _SEARCH_PX, center + _SEARCH_PX + 1)


def _pixels(ratio: int) -> range:
    return range(-ratio + 1, ratio)


def _box(image: Floats, size: int) -> Floats:
    """Return means over all ``size`` × ``size`` windows inside the image."""
    sums = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    sums[1:, 1:] = image.cumsum(axis=0).cumsum(axis=1)
    total = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    return total / size**2


def _vertex(surface: Floats) -> tuple[float, float]:
    """Return where the parabola through a 3 × 3 surface is largest, (x, y) within ±1."""
    y, x = (grid.ravel() - 1.0 for grid in np.indices((3, 3)))
    terms = np.stack([np.ones(9), x, y, x * x, x * y, y * y], axis=1)
    _, bx, by, cxx, cxy, cyy = np.linalg.lstsq(terms, surface.ravel(), rcond=None)[0]
    determinant = 4 * cxx * cyy - cxy * cxy
    if determinant <= 0 or cxx >= 0:
        return 0.0, 0.0
    peak_x = (cxy * by - 2 * cyy * bx) / determinant
    peak_y = (cxy * bx - 2 * cxx * by) / determinant
    return float(np.clip(peak_x, -1, 1)), float(np.clip(peak_y, -1, 1))
