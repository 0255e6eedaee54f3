"""An MS and a PAN raster as one scene, on two grids that fit each other exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..events import Message
from ..grid import Grid, Window
from .align import Alignment, align, place
from .needs import PairNeeds, require_fit, require_pan
from .pair_images import PairImages
from .pan_shift import Shift, decide_shift, fixed_shift, shift_text
from .pixel_indices import blocks
from .raster import Raster
from .registration import Patch, Registration, estimate_shift, registration_windows
from .tile_data import TileData

__all__ = ["AlignedRaster", "PairNeeds", "ScenePair", "SceneSample", "TileData"]

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

_STRIPS = 64
_STRIP_ROWS = 4
_ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class SceneSample:
    """Valid pixels from all over a scene: ``ms`` (C, n) and each one's PAN pixels (r·r, n)."""

    ms: Image
    pan: Image


@dataclass(frozen=True)
class AlignedRaster:
    """A raster of a pair and the working grid that it is read on."""

    raster: Raster
    grid: Grid


class ScenePair:
    """MS and PAN over their common extent; use it as a context manager, in one thread.

    ``pan.grid == ms.grid.refine(ratio)``. The map to write is ``map_window`` of ``pan.grid``;
    around it lie less than ``ratio`` rows and columns that fill up whole MS pixels. ``shift`` is
    the displacement corrected, in PAN pixels; ``notes`` says what was decided and why; ``images``
    reads both images.
    """

    def __init__(
        self,
        ms: Raster,
        pan: Raster,
        alignment: Alignment,
        shift: Shift,
        notes: tuple[Message, ...] = (),
    ) -> None:
        self.ms = AlignedRaster(ms, alignment.ms_grid)
        self.pan = AlignedRaster(pan, alignment.pan_grid)
        self.ratio = alignment.ratio
        self.map_window = alignment.map_window
        self.shift = shift
        self.notes: tuple[Message, ...] = (*notes, *alignment.notes)
        self._alignment = alignment
        self.images = PairImages(ms, pan, alignment)

    @classmethod
    def open(
        cls,
        ms: str,
        pan: str,
        *,
        ratio: int | None = None,
        band_count: int | None = None,
        needs: PairNeeds | None = None,
        pan_shift: str | Shift = "none",
    ) -> ScenePair:
        """Open a pair for a model that needs ``ratio`` and ``band_count``, or all of ``needs``.

        Without a ratio the nearest whole number to the pair's own is taken. ``pan_shift`` is how
        far, in PAN pixels to the right and down, the PAN's content lies from where the MS puts it:
        a pair of numbers, "none", or "auto" to measure it. The MS is the reference for positions:
        the PAN's geotransform is moved back by that much. Raises InputError for a pair that cannot
        be used.
        """
        needs = needs or PairNeeds(ratio=ratio, band_count=band_count)
        pan_raster = Raster.open(pan)
        try:
            require_pan(pan_raster)
            ms_raster, notes = _open_ms(ms, needs)
        except BaseException:
            pan_raster.close()
            raise
        try:
            return _pair(ms_raster, pan_raster, needs, pan_shift, notes)
        except BaseException:
            pan_raster.close()
            ms_raster.close()
            raise

    @property
    def band_names(self) -> tuple[str, ...]:
        """Name of each MS band, from its description or its file."""
        return tuple(band.name for band in self.ms.raster.bands)

    def read(self, window: Window) -> TileData:
        """Return the pixels of a window on ``ms.grid`` as float32; it may reach beyond the scene.

        Beyond the border each image is reflected about the center of its outermost pixel, as often
        as it takes; what is read of a place never depends on the window.
        """
        return self.read_raw(window).as_float()

    def read_raw(self, window: Window) -> TileData:
        """Return what ``read`` does with DN in the files' types; see ``TileData``.

        The type of each image is the same at every read: that of its bands where they share one
        of 8 or 16 bits, else float32; float32 for an MS that is resampled.
        """
        return self.images.read(window).cut(window)

    def sample(self, max_pixels: int = 500_000) -> SceneSample:
        """Return at most ``max_pixels`` valid MS pixels on a lattice over the whole scene.

        The lattice is the same at every call: all rows of a small scene, otherwise 64 strips of
        four rows, and every n-th column of them. Only MS pixels whose PAN pixels are all valid
        count. Raises InputError where there are none.
        """
        parts = [self._sample_strip(tile, max_pixels) for tile in self._sample_tiles()]
        ms = np.concatenate([ms for ms, _ in parts], axis=1)
        if ms.shape[1] == 0:
            names = f"`{self.ms.raster.label}` and `{self.pan.raster.label}`"
            raise InputError(
                f"No pixel is valid in both {names}.",
                "no-valid-pixels",
                "Check the nodata values and masks of both rasters.",
            )
        return SceneSample(ms, np.concatenate([pan for _, pan in parts], axis=1))

    def ms_elements(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the pixels of a window on ``ms.grid`` lie in the MS file.

        Row and column (h, w) of the file's element that holds each pixel's center, −1 beyond it.
        """
        cols, rows = np.meshgrid(
            np.arange(window.col, window.right) + 0.5, np.arange(window.row, window.bottom) + 0.5
        )
        found_cols, found_rows = self._alignment.pixel_map(cols, rows)
        return self.ms.raster.elements(found_rows, found_cols)

    def measure_shift(self) -> Registration:
        """Measure how far the PAN's content still lies from where the MS puts it."""
        tiles = (self.read(window) for window in registration_windows(self.ms.grid))
        patches = (Patch(tile.ms, tile.pan[0], tile.valid) for tile in tiles)
        return estimate_shift(patches, self.ratio)

    def close(self) -> None:
        """Close the files."""
        self.ms.raster.close()
        self.pan.raster.close()

    def __enter__(self) -> ScenePair:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _sample_tiles(self) -> Iterator[TileData]:
        """Yield the strips of a sample; those that lie close together are read at once."""
        for strips in _neighbors(_strips(self.ms.grid)):
            top, bottom = strips[0].row, strips[-1].bottom
            pixels = self.images.read(Window(0, top, self.ms.grid.width, bottom - top))
            for strip in strips:
                yield pixels.cut(strip).as_float()

    def _sample_strip(self, tile: TileData, max_pixels: int) -> tuple[Image, Image]:
        rows = min(self.ms.grid.height, _STRIPS * _STRIP_ROWS)
        step = max(1, math.ceil(rows * self.ms.grid.width / max_pixels))
        usable = tile.ms_valid & tile.pan_valid
        whole: Mask = blocks(usable, self.ratio).all(axis=(1, 3))[:, step // 2 :: step]
        pan = blocks(tile.pan[0], self.ratio).transpose(1, 3, 0, 2)[..., step // 2 :: step]
        return (
            tile.ms[:, :, step // 2 :: step][:, whole],
            pan.reshape(self.ratio**2, *whole.shape)[:, whole],
        )


def _open_ms(spec: str, needs: PairNeeds) -> tuple[Raster, tuple[Message, ...]]:
    raster = Raster.open(spec)
    if raster.alpha_count and needs.bands == raster.count + raster.alpha_count:
        raster.close()
        raster = Raster.open(spec, alpha_as_band=True)
        note = "is marked as alpha; the model needs it as an image band, so it is taken as one"
        return raster, (Message(f"The last band of `{raster.label}` {note}.", "warning"),)
    return raster, ()


def _pair(
    ms: Raster, pan: Raster, needs: PairNeeds, pan_shift: str | Shift, notes: tuple[Message, ...]
) -> ScenePair:
    fixed = fixed_shift(pan_shift)
    placed = place(ms, pan)
    ratio, more = require_fit(ms, placed, needs)
    names = (ms.label, pan.label)
    if fixed is None:
        nominal = align(placed, ratio, (0.0, 0.0), names)
        found = ScenePair(ms, pan, nominal, (0.0, 0.0)).measure_shift()
        fixed, note = decide_shift(found, is_exact=nominal.ms_origin is not None)
        more = (*more, note)
    elif fixed != (0.0, 0.0):
        more = (
            *more,
            Message(f"The PAN is moved back by {shift_text(fixed)} PAN pixels, as asked."),
        )
    return ScenePair(ms, pan, align(placed, ratio, fixed, names), fixed, (*notes, *more))


def _strips(grid: Grid) -> list[Window]:
    starts = list(range(0, grid.height, _STRIP_ROWS))
    if len(starts) > _STRIPS:
        spacing = grid.height / _STRIPS
        starts = [int((i + 0.5) * spacing) - _STRIP_ROWS // 2 for i in range(_STRIPS)]
    return [Window(0, s, grid.width, min(_STRIP_ROWS, grid.height - s)) for s in starts]


def _neighbors(strips: list[Window]) -> Iterator[list[Window]]:
    """Yield the strips, in order, in groups without a gap larger than a strip."""
    group = strips[:1]
    for strip in strips[1:]:
        near = strip.row - group[-1].bottom <= _STRIP_ROWS
        if near and strip.bottom - group[0].row <= _ROWS_AT_ONCE:
            group.append(strip)
            continue
        yield group
        group = [strip]
    yield group
