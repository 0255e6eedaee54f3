"""How an MS and a PAN raster are brought onto one pair of grids, decided once, without pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from affine import Affine
from pyproj import CRS, Transformer

from ..errors import InputError
from ..events import Message
from ..grid import Grid, Window
from .raster import Raster
from .resample import EDGE_TOLERANCE_PX, Floats, PixelMap

EXACT_TOLERANCE_PX = 0.02
"""Grids that fit this well everywhere, in PAN pixels, are read as they are."""

_BORDER_POINTS = 256


@dataclass(frozen=True)
class Alignment:
    """The grids that a pair is worked on.

    ``pan_grid == ms_grid.refine(ratio)``. ``map_window`` is the part of ``pan_grid`` that is PAN
    pixels over MS ground; the rest pads it to whole MS pixels. ``pan_origin`` is the (column, row)
    of ``pan_grid``'s first pixel on the PAN raster; ``ms_origin`` is the same for an MS that is
    read as it is, None where it is resampled through ``pixel_map``.
    """

    ratio: int
    ms_grid: Grid
    pan_grid: Grid
    map_window: Window
    pan_origin: tuple[int, int]
    ms_origin: tuple[int, int] | None
    pixel_map: PixelMap
    notes: tuple[Message, ...]


@dataclass(frozen=True)
class PlacedPair:
    """Both grids in coordinates that can be compared; ``transformer`` leads from PAN to MS."""

    ms: Grid
    pan: Grid
    transformer: Transformer | None
    notes: tuple[Message, ...]

    @property
    def ratio(self) -> float:
        """MS pixel size ÷ PAN pixel size."""
        return self.ms.gsd_m / self.pan.gsd_m


def place(ms: Raster, pan: Raster) -> PlacedPair:
    """Return where both rasters lie; raises InputError where only one of them has a CRS."""
    if (ms.grid.crs is None) != (pan.grid.crs is None):
        without, has = (ms, pan) if ms.grid.crs is None else (pan, ms)
        raise InputError(
            f"`{without.label}` has no CRS and `{has.label}` has {crs_name(has.grid)}; "
            "both need one, or neither.",
            "one-crs",
            "Assign the CRS it was made in, for example with gdal_edit.py -a_srs.",
        )
    if ms.grid.crs is None:
        return _place_without_crs(ms, pan)
    if same_crs(ms.grid, pan.grid):
        return PlacedPair(ms.grid, pan.grid, None, ())
    transformer = Transformer.from_crs(
        CRS.from_user_input(pan.grid.crs), CRS.from_user_input(ms.grid.crs), always_xy=True
    )
    note = Message(
        f"The MS is in {crs_name(ms.grid)} and the PAN in {crs_name(pan.grid)}; "
        "the map is made in the PAN's."
    )
    return PlacedPair(ms.grid, pan.grid, transformer, (note,))


def same_crs(first: Grid, second: Grid) -> bool:
    """True where coordinates of both grids mean the same places."""
    if first.crs is None or second.crs is None or first.crs == second.crs:
        return bool(first.crs == second.crs)
    one, other = (CRS.from_user_input(grid.crs) for grid in (first, second))
    return one.equals(other, ignore_axis_order=True)


def align(
    pair: PlacedPair, ratio: int, shift: tuple[float, float], names: tuple[str, str]
) -> Alignment:
    """Return the grids for a placed pair and the ``ratio`` that a model needs.

    ``shift`` is how far, in PAN pixels to the right and down, the PAN's content lies from where the
    MS puts it; ``names`` are those of MS and PAN in messages. Raises InputError without common
    ground.
    """
    pan = pair.pan.translate(-shift[0], -shift[1])
    common = _common_window(pair, pan, names)
    exact = None if pair.transformer else _exact_offset(pan, pair.ms, ratio)
    lattice = exact or (0, 0)  # PAN position of the upper-left corner of one MS pixel
    col, left = _down_to_lattice(common.col, lattice[0], ratio)
    row, top = _down_to_lattice(common.row, lattice[1], ratio)
    if exact is None:
        col, row, left, top = common.col, common.row, 0, 0
    width = math.ceil((left + common.width) / ratio) * ratio
    height = math.ceil((top + common.height) / ratio) * ratio
    ms_grid = pan.crop(Window(col, row, width, height)).coarsen(ratio)
    origin = ((col - exact[0]) // ratio, (row - exact[1]) // ratio) if exact else None
    return Alignment(
        ratio=ratio,
        ms_grid=ms_grid,
        pan_grid=ms_grid.refine(ratio),
        map_window=Window(left, top, common.width, common.height),
        pan_origin=(col, row),
        ms_origin=origin,
        pixel_map=PixelMap(ms_grid, pair.ms, pair.transformer),
        notes=_notes(pair, pan, ratio, exact is not None),
    )


def _place_without_crs(ms: Raster, pan: Raster) -> PlacedPair:
    if ms.is_georeferenced and pan.is_georeferenced:
        note = "Neither raster has a CRS: their coordinates are taken to be of one and the same."
        return PlacedPair(ms.grid, pan.grid, None, (Message(note, "warning"),))
    scale = Affine.scale(pan.grid.width / ms.grid.width, pan.grid.height / ms.grid.height)
    grid = Grid(None, pan.grid.transform @ scale, ms.grid.width, ms.grid.height)
    note = (
        "Neither raster has a CRS: both are taken to cover the same ground, corner to corner, and "
        "the map is in pixel coordinates."
    )
    if ms.has_control_points or pan.has_control_points:
        note += " Ground control points and RPCs are not used: orthorectify first to use them."
    return PlacedPair(grid, pan.grid, None, (Message(note, "warning"),))


def _common_window(pair: PlacedPair, pan: Grid, names: tuple[str, str]) -> Window:
    """Return the PAN pixels with centers in the bounding box of the MS raster on the PAN grid."""
    cols, rows = _border_on_pan(pair, pan)
    if not (np.isfinite(cols).all() and np.isfinite(rows).all()):
        # The MS reaches beyond the PAN's projection: no box, and validity decides by the pixel.
        if not _any_pan_in_ms(pair, pan):
            raise _no_overlap(pair, names)
        return pan.window
    left, top = (math.ceil(v.min() - 0.5 - EDGE_TOLERANCE_PX) for v in (cols, rows))
    right, bottom = (math.ceil(v.max() - 0.5 - EDGE_TOLERANCE_PX) for v in (cols, rows))
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, pan.width), min(bottom, pan.height)
    if right <= left or bottom <= top:
        raise _no_overlap(pair, names)
    return Window(left, top, right - left, bottom - top)


def _border_on_pan(pair: PlacedPair, pan: Grid) -> tuple[Floats, Floats]:
    """Return the MS raster's border as PAN columns and rows; infinite where that has no meaning."""
    side = np.linspace(0, 1, _BORDER_POINTS)
    zero, one = np.zeros_like(side), np.ones_like(side)
    cols = np.concatenate([side, side, zero, one]) * pair.ms.width
    rows = np.concatenate([zero, one, side, side]) * pair.ms.height
    xs, ys = _apply(pair.ms.transform, cols, rows)
    if pair.transformer is not None:
        there = pair.transformer.transform(xs, ys, direction="INVERSE")
        back = _apply(~pair.ms.transform, *pair.transformer.transform(*there))
        with np.errstate(invalid="ignore"):
            lost = ~(np.hypot(back[0] - cols, back[1] - rows) < 0.5)
        xs, ys = (np.where(lost, np.inf, values) for values in there)
    with np.errstate(invalid="ignore"):
        return _apply(~pan.transform, xs, ys)


def _any_pan_in_ms(pair: PlacedPair, pan: Grid) -> bool:
    side = np.linspace(0, 1, _BORDER_POINTS)
    to_ms = PixelMap(pan, pair.ms, pair.transformer)
    cols, rows = to_ms(*np.meshgrid(side * pan.width, side * pan.height))
    inside = (cols >= 0) & (cols < pair.ms.width) & (rows >= 0) & (rows < pair.ms.height)
    return bool(inside.any())


def _apply(transform: Affine, xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
    t = transform
    return t.a * xs + t.b * ys + t.c, t.d * xs + t.e * ys + t.f


def _exact_offset(pan: Grid, ms: Grid, ratio: int) -> tuple[int, int] | None:
    """Return the PAN position of the MS grid's corner if MS pixels are whole blocks of PAN's."""
    t = ~pan.transform @ ms.transform
    col, row = round(t.c), round(t.f)
    ideal = Affine(ratio, 0, col, 0, ratio, row)
    for corner in ((0, 0), (ms.width, 0), (0, ms.height), (ms.width, ms.height)):
        found, wanted = t @ corner, ideal @ corner
        if max(abs(found[0] - wanted[0]), abs(found[1] - wanted[1])) > EXACT_TOLERANCE_PX:
            return None
    return col, row


def _down_to_lattice(start: int, lattice: int, ratio: int) -> tuple[int, int]:
    excess = (start - lattice) % ratio
    return start - excess, excess


def _notes(pair: PlacedPair, pan: Grid, ratio: int, exact: bool) -> tuple[Message, ...]:
    if exact:
        return (*pair.notes, Message("The MS grid fits the PAN grid: both are read as they are."))
    return (
        *pair.notes,
        Message(f"The MS is resampled (cubic) onto the PAN grid: {_why(pair, pan, ratio)}."),
    )


def _why(pair: PlacedPair, pan: Grid, ratio: int) -> str:
    if pair.transformer is not None:
        return "their CRS differ"
    t = ~pan.transform @ pair.ms.transform
    if max(abs(t.b), abs(t.d)) > 1e-9 * ratio:
        return "they are rotated against each other"
    if max(abs(t.a - ratio), abs(t.e - ratio)) > 1e-4 * ratio:
        return f"the MS pixel is {t.a:.4g} × {t.e:.4g} PAN pixels and {ratio} × {ratio} is needed"
    cols, rows = ((v + 0.5) % 1 - 0.5 for v in (t.c, t.f))
    return f"its pixel edges are {abs(cols):.2g} columns and {abs(rows):.2g} rows off the PAN's"


def _no_overlap(pair: PlacedPair, names: tuple[str, str]) -> InputError:
    return InputError(
        f"`{names[0]}` and `{names[1]}` have no ground in common: the MS covers "
        f"{extent_text(pair.ms)} and the PAN {extent_text(pair.pan)}.",
        "no-overlap",
        "Choose an MS and a PAN of the same place, and check that both have the right CRS.",
    )


def extent_text(grid: Grid) -> str:
    """Return a grid's extent in words, in degrees if its CRS is geographic."""
    left, bottom, right, top = grid.bounds
    digits = 5 if grid.crs is not None and grid.crs.is_geographic else 1
    span = f"x {left:.{digits}f} to {right:.{digits}f}, y {bottom:.{digits}f} to {top:.{digits}f}"
    return f"{span} ({crs_name(grid)})"


def crs_name(grid: Grid) -> str:
    """Return what to call a grid's CRS in messages."""
    if grid.crs is None:
        return "no CRS"
    code = grid.crs.to_epsg()
    return f"EPSG:{code}" if code else CRS.from_user_input(grid.crs).name
