"""The facts about a pair before a run, as JSON-able values; nothing in it raises for a bad pair."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from shapely.geometry import Polygon, box

from ..errors import InputError
from ..grid import Grid
from ..scene.align import PlacedPair, crs_name, extent_text, place
from ..scene.needs import PairNeeds, require_bands, require_pan, require_ratio
from ..scene.pan_shift import worth_correcting
from ..scene.raster import Raster
from ..scene.registration import Registration
from ..scene.resample import PixelMap

Facts = dict[str, Any]

_SIDE_POINTS = 64


def describe_raster(raster: Raster) -> Facts:
    """Return size, position, data types and what marks invalid pixels."""
    grid = raster.grid
    return {
        "name": raster.label,
        "path": raster.spec,
        "bands": [band.name for band in raster.bands],
        "dtypes": sorted(set(raster.dtypes)),
        "size_px": [grid.width, grid.height],
        "crs": crs_name(grid),
        "pixel_m": round(grid.gsd_m, 4) if grid.crs is not None else None,
        "orientation": "north-up" if grid.is_north_up else "rotated",
        "extent": extent_text(grid),
        "invalid_pixels": _validity(raster),
    } | ({"orientation": "pixel coordinates"} if grid.crs is None else {})


def describe_pair(pair: PlacedPair) -> Facts:
    """Return ratio, offset between the grids in PAN pixels, and overlap."""
    return {"ratio": round(pair.ratio, 4), "offset_px": _offset(pair), **_overlap(pair)}


def describe_shift(found: Registration) -> Facts:
    """Return a measured shift and what to make of it."""
    return {
        "dx_px": round(found.dx, 3),
        "dy_px": round(found.dy, 3),
        "confidence": round(found.confidence, 3),
        "patches": found.patches,
        "is_sure": found.is_sure,
        "needs_correction": found.is_sure and worth_correcting(found),
        "text": _shift_text(found),
    }


def find_problems(ms: Raster, pan: Raster, needs: PairNeeds) -> list[InputError]:
    """Return everything that keeps a pair from running, not only the first."""
    problems: list[InputError] = []

    def check(action: Callable[[], object]) -> None:
        try:
            action()
        except InputError as error:
            problems.append(error)

    check(lambda: require_pan(pan))
    check(lambda: require_bands(ms, needs))
    check(lambda: require_ratio(place(ms, pan), needs))
    return problems


def _validity(raster: Raster) -> str:
    marks = []
    nodata = sorted({f"{band.nodata:g}" for band in raster.bands if band.nodata is not None})
    if nodata:
        marks.append(f"nodata {', '.join(nodata)}")
    if any(band.has_mask for band in raster.bands):
        marks.append("mask band")
    if raster.alpha_count:
        marks.append("alpha band")
    if any(dtype.startswith("float") for dtype in raster.dtypes):
        marks.append("NaN and infinity")
    return ", ".join(marks) or "none declared"


def _offset(pair: PlacedPair) -> list[float] | None:
    """Return columns and rows from the nearest PAN pixel edge to the MS grid's corner, within ±0.5.

    None where the grids are rotated against each other or differ in CRS.
    """
    t = ~pair.pan.transform @ pair.ms.transform
    if pair.transformer is not None or max(abs(t.b), abs(t.d)) > 1e-9 * abs(t.a):
        return None
    return [round(value - math.ceil(value - 0.5 - 1e-6), 4) + 0.0 for value in (t.c, t.f)]


def _overlap(pair: PlacedPair) -> Facts:
    ring = _pan_border_on_ms(pair.pan, pair)
    if not np.isfinite(ring).all():
        return {"overlap_m2": None, "overlap_ms_percent": None, "overlap_pan_percent": None}
    pan, ms = Polygon(ring).buffer(0), box(0, 0, pair.ms.width, pair.ms.height)
    common = pan.intersection(ms).area
    return {
        "overlap_m2": round(common * pair.ms.gsd_m**2) if pair.ms.crs is not None else None,
        "overlap_ms_percent": round(100 * common / ms.area, 2),
        "overlap_pan_percent": round(100 * common / pan.area, 2),
    }


def _pan_border_on_ms(pan: Grid, pair: PlacedPair) -> np.ndarray[Any, np.dtype[np.float64]]:
    side = np.arange(_SIDE_POINTS) / _SIDE_POINTS
    zero, one = np.zeros_like(side), np.ones_like(side)
    cols = np.concatenate([side, one, 1 - side, zero]) * pan.width
    rows = np.concatenate([zero, side, one, 1 - side]) * pan.height
    return np.stack(PixelMap(pan, pair.ms, pair.transformer)(cols, rows), axis=1)


def _shift_text(found: Registration) -> str:
    if not found.is_sure:
        return (
            "The shift between PAN and MS could not be measured surely: too few patches agree. "
            "Clouds, water and changes between the images do that."
        )
    if not worth_correcting(found):
        return "The PAN fits the MS to within a fifth of a PAN pixel."
    across = f"{abs(found.dx):.2f} PAN pixels to the {'right' if found.dx > 0 else 'left'}"
    down = f"{abs(found.dy):.2f} {'below' if found.dy > 0 else 'above'}"
    return f"The PAN lies {across} and {down} where the MS puts it; PAN shift `auto` corrects that."
