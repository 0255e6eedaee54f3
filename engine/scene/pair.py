"""An MS and a PAN raster as one scene, on two grids that fit each other exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..events import Message
from ..grid import Grid, Window
from .align import Alignment, align, place
from .needs import PairNeeds, require_fit, require_pan
from .pan_shift import Shift, decide_shift, fixed_shift, shift_text
from .pixel_indices import blocks, fine_indices, hull, reflect
from .raster import Raster
from .registration import Patch, Registration, estimate_shift, registration_windows
from .resample import Resampler

__all__ = ["AlignedRaster", "PairNeeds", "ScenePair", "SceneSample", "TileData"]

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

_STRIPS = 64
_STRIP_ROWS = 4


@dataclass(frozen=True)
class TileData:
    """Pixels of one window: ``ms`` (C, h, w) and ``pan`` (1, r·h, r·w), DN as float32.

    The masks are (r·h, r·w). ``ms_valid`` and ``pan_valid`` say where the content is usable; beyond
    the scene's border both describe the reflected content. ``valid`` is True where the map has a
    class: PAN pixels of ``map_window`` where both are usable. DN of invalid pixels is 0; an MS
    pixel keeps its DN where at least one of its PAN pixels is valid.
    """

    ms: Image
    pan: Image
    ms_valid: Mask
    pan_valid: Mask
    valid: Mask


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
    the displacement corrected, in PAN pixels; ``notes`` says what was decided and why.
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
        self._resampler = Resampler(ms, alignment.pixel_map, alignment.ratio)

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
        """Return the pixels of a window on ``ms.grid``, which may reach beyond the scene.

        Beyond the border each image is reflected about the center of its outermost pixel, as often
        as it takes; what is read of a place never depends on the window.
        """
        grid = self.ms.grid
        cols = reflect(np.arange(window.col, window.right), grid.width)
        rows = reflect(np.arange(window.row, window.bottom), grid.height)
        inner = hull(cols, rows)
        ms, ms_valid = self._read_ms(inner)
        cols, rows = cols - inner.col, rows - inner.row
        ms_valid = ms_valid[np.ix_(fine_indices(rows, self.ratio), fine_indices(cols, self.ratio))]
        pan, pan_valid = self._read_pan(window.refine(self.ratio))
        valid = ms_valid & pan_valid & self._in_map(window.refine(self.ratio))
        return TileData(ms[:, rows[:, np.newaxis], cols], pan, ms_valid, pan_valid, valid)

    def sample(self, max_pixels: int = 500_000) -> SceneSample:
        """Return at most ``max_pixels`` valid MS pixels on a lattice over the whole scene.

        The lattice is the same at every call: all rows of a small scene, otherwise 64 strips of
        four rows, and every n-th column of them. Only MS pixels whose PAN pixels are all valid
        count. Raises InputError where there are none.
        """
        parts = [self._sample_strip(strip, max_pixels) for strip in _strips(self.ms.grid)]
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

    def _read_ms(self, window: Window) -> tuple[Image, Mask]:
        """Return DN (C, h, w) and valid (r·h, r·w) of a window inside the working grid."""
        origin = self._alignment.ms_origin
        if origin is None:
            dn, fine_valid = self._resampler.read(window)
        else:
            col, row = window.col + origin[0], window.row + origin[1]
            dn, valid = self.ms.raster.read(Window(col, row, window.width, window.height))
            fine_valid = valid.repeat(self.ratio, axis=0).repeat(self.ratio, axis=1)
        empty = ~blocks(fine_valid, self.ratio).any(axis=(1, 3))
        return np.where(empty, np.float32(0), dn), fine_valid

    def _read_pan(self, fine: Window) -> tuple[Image, Mask]:
        """Return DN (1, r·h, r·w) and valid of a window on the PAN grid."""
        true = self.map_window
        cols = true.col + reflect(np.arange(fine.col, fine.right) - true.col, true.width)
        rows = true.row + reflect(np.arange(fine.row, fine.bottom) - true.row, true.height)
        inner = hull(cols, rows)
        col, row = self._alignment.pan_origin
        dn, valid = self.pan.raster.read(
            Window(inner.col + col, inner.row + row, inner.width, inner.height)
        )
        at = np.ix_(rows - inner.row, cols - inner.col)
        return dn[:, at[0], at[1]], valid[at]

    def _in_map(self, fine: Window) -> Mask:
        """Return where a window on the PAN grid lies in the map."""
        true = self.map_window
        cols, rows = np.arange(fine.col, fine.right), np.arange(fine.row, fine.bottom)
        in_cols = (cols >= true.col) & (cols < true.right)
        in_rows = (rows >= true.row) & (rows < true.bottom)
        return in_rows[:, np.newaxis] & in_cols[np.newaxis]

    def _sample_strip(self, strip: Window, max_pixels: int) -> tuple[Image, Image]:
        rows = min(self.ms.grid.height, _STRIPS * _STRIP_ROWS)
        step = max(1, math.ceil(rows * self.ms.grid.width / max_pixels))
        tile = self.read(strip)
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
