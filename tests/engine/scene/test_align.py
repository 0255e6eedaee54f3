"""Where pixels lie after alignment: a pattern known on the ground must stay where it is."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject

from panloom.engine.errors import InputError
from panloom.engine.grid import Grid, Window
from panloom.engine.scene.pair import ScenePair

UTM30, UTM31, DEGREES = (CRS.from_epsg(code) for code in (32630, 32631, 4326))
LEFT, TOP = 700_000.0, 5_930_000.0
PERIOD_M = 24.0
ALLOWED_PX = 0.25


def checkerboard(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """DN at UTM zone 30 coordinates: squares of 12 m with edges of about 2 m, turned by 20°."""
    c, s = math.cos(0.35), math.sin(0.35)
    u, v = (c * x - s * y - LEFT), (s * x + c * y)
    k = 2 * math.pi / PERIOD_M
    return 600 + 400 * np.tanh(4 * np.sin(k * u) * np.sin(k * v))


@functools.lru_cache(maxsize=64)
def render(grid: Grid, shift_m: tuple[float, float] = (0.0, 0.0), split: int = 4) -> np.ndarray:
    """Return the checkerboard as pixels of ``grid`` see it: the mean over each pixel's area."""
    cols = (np.arange(grid.width * split) + 0.5) / split
    rows = (np.arange(grid.height * split) + 0.5) / split
    cols, rows = np.meshgrid(cols, rows)
    t = grid.transform
    x, y = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    if grid.crs != UTM30:
        x, y = Transformer.from_crs(grid.crs, UTM30, always_xy=True).transform(x, y)
    fine = checkerboard(x - shift_m[0], y - shift_m[1])
    blocks = fine.reshape(grid.height, split, grid.width, split)
    return blocks.mean(axis=(1, 3)).astype(np.float32)


def displacement_m(found: np.ndarray, grid: Grid, inner: Any) -> tuple[float, float]:
    """Return how far ``found`` lies from the truth: the parabola's vertex of the squared error."""
    step = 0.3
    result = []
    for axis in ((step, 0.0), (0.0, step)):
        errors = []
        for factor in (-1, 0, 1):
            truth = render(grid, (factor * axis[0], factor * axis[1]))
            errors.append(float(((found - truth)[inner] ** 2).mean()))
        low, middle, high = errors
        result.append(step * (low - high) / (2 * (low - 2 * middle + high)))
    return result[0], result[1]


def utm(pixel: float, left: float, top: float, width: int, height: int, turn: float = 0) -> Grid:
    transform = Affine.translation(left, top) @ Affine.rotation(turn) @ Affine.scale(pixel, -pixel)
    return Grid(UTM30, transform, width, height)


def over(crs: CRS, pixel: float, pan: Grid, margin: float) -> Grid:
    """Return a grid in another CRS around ``pan``; ``pixel`` in its own units."""
    left, bottom, right, top = pan.bounds
    to_there = Transformer.from_crs(UTM30, crs, always_xy=True)
    box = to_there.transform_bounds(left, bottom, right, top)
    width = int((box[2] - box[0] + 2 * margin) / pixel)
    height = int((box[3] - box[1] + 2 * margin) / pixel)
    return Grid(crs, Affine(pixel, 0, box[0] - margin, 0, -pixel, box[3] + margin), width, height)


@dataclass(frozen=True)
class Case:
    ms: Grid
    pan: Grid
    ratio: int
    ms_rows_north: bool = False
    pan_rows_north: bool = False
    exact: bool = False


PAN = utm(0.5, LEFT, TOP, 192, 160)
INSIDE = utm(1, LEFT + 9, TOP - 9, 50, 40)
CASES = {
    "exact": Case(utm(2, LEFT, TOP, 48, 40), PAN, 4, exact=True),
    "other extents, on the lattice": Case(utm(2, LEFT + 6, TOP + 10, 60, 30), PAN, 4, exact=True),
    "pan starts inside an MS pixel": Case(utm(2, LEFT - 7, TOP + 9.5, 60, 50), PAN, 4, exact=True),
    "half a PAN pixel, as Landsat": Case(utm(1, LEFT + 0.25, TOP - 0.25, 96, 80), PAN, 2),
    "0.4 PAN pixels, ratio 2": Case(utm(1, LEFT + 0.2, TOP + 0.2, 96, 80), PAN, 2),
    "ratio 3.7 for 4": Case(utm(1.85, LEFT - 3.1, TOP + 2.3, 60, 50), PAN, 4),
    "ratio 5.5 for 4": Case(utm(2.75, LEFT - 3.1, TOP + 2.3, 40, 34), PAN, 4),
    "ratio 2.7 for 4": Case(utm(1.35, LEFT - 3.1, TOP + 2.3, 80, 70), PAN, 4),
    "MS in the next UTM zone": Case(over(UTM31, 2, PAN, 20), PAN, 4),
    "MS in degrees": Case(over(DEGREES, 2 / 90_000, PAN, 2e-4), PAN, 4),
    "PAN in the next UTM zone": Case(PAN, over(UTM31, 0.25, INSIDE, 0), 2),
    "PAN in degrees": Case(PAN, over(DEGREES, 2.8e-6, INSIDE, 0), 2),
    "MS south-up": Case(utm(2, LEFT + 0.3, TOP - 0.6, 48, 40), PAN, 4, ms_rows_north=True),
    "PAN south-up": Case(utm(2, LEFT, TOP, 48, 40), PAN, 4, pan_rows_north=True, exact=True),
    "both south-up": Case(utm(1, LEFT + 0.25, TOP - 0.25, 96, 80), PAN, 2, True, True),
    "MS rotated": Case(utm(2, LEFT - 30, TOP + 20, 80, 80, turn=12), PAN, 4),
    "PAN rotated": Case(utm(2, LEFT, TOP + 20, 60, 70), utm(0.5, LEFT + 5, TOP, 192, 160, 12), 4),
    "both rotated alike": Case(
        utm(2, LEFT, TOP, 48, 40, 30), utm(0.5, LEFT, TOP, 192, 160, 30), 4, exact=True
    ),
    "both rotated": Case(
        utm(2, LEFT - 40, TOP + 20, 90, 90, -20), utm(0.5, LEFT, TOP, 192, 160, 30), 4
    ),
}


@pytest.fixture
def open_case(write_raster: Any) -> Any:
    def write(name: str, grid: Grid, array: np.ndarray, rows_north: bool) -> str:
        transform = grid.transform
        if rows_north:
            array = array[::-1]
            transform = transform @ Affine.translation(0, grid.height) @ Affine.scale(1, -1)
        return str(write_raster(name, np.ascontiguousarray(array), transform, grid.crs))

    def open_(case: Case, **options: Any) -> ScenePair:
        ms = write("ms.tif", case.ms, render(case.ms), case.ms_rows_north)
        pan = write("pan.tif", case.pan, render(case.pan), case.pan_rows_north)
        return ScenePair.open(ms, pan, **{"ratio": case.ratio, **options})

    return open_


def interior(valid: np.ndarray, ratio: int, border: int = 3) -> np.ndarray:
    """Return MS pixels whose neighborhood is valid throughout."""
    blocks = valid.reshape(valid.shape[0] // ratio, ratio, -1, ratio).all(axis=(1, 3))
    padded = np.pad(blocks, border)
    size = 2 * border + 1
    views = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    return np.asarray(views.all(axis=(2, 3)))


@pytest.mark.parametrize("name", CASES)
def test_content_stays_where_it_is(open_case: Any, name: str) -> None:
    case = CASES[name]
    with open_case(case) as pair:
        assert pair.pan.grid == pair.ms.grid.refine(case.ratio)
        tile = pair.read(pair.ms.grid.window)
        inner = interior(tile.valid, case.ratio)
        assert inner.sum() > 150
        assert any("read as they are" in note.text for note in pair.notes) == case.exact
        ms_off = displacement_m(tile.ms[0], pair.ms.grid, inner)
    assert math.hypot(*ms_off) <= ALLOWED_PX * case.pan.gsd_m


@pytest.mark.parametrize("name", CASES)
def test_pan_pixels_are_never_resampled(open_case: Any, name: str) -> None:
    case = CASES[name]
    with open_case(case) as pair:
        window, tile = pair.map_window, pair.read(pair.ms.grid.window)
        inside = tile.pan[0, window.row : window.bottom, window.col : window.right]
        corner = pair.pan.grid.transform @ (window.col, window.row)
    col, row = (round(v) for v in ~case.pan.transform @ corner)
    assert np.array_equal(inside, render(case.pan)[row:, col:][: window.height, : window.width])


@pytest.mark.parametrize("name", CASES)
def test_a_read_does_not_depend_on_its_window(open_case: Any, name: str) -> None:
    with open_case(CASES[name]) as pair:
        ratio, whole = pair.ratio, pair.read(pair.ms.grid.window.grow(9))
        for window in (Window(-9, -9, 14, 11), Window(3, 5, 17, 8), Window(20, 9, 1, 1)):
            part = pair.read(window)
            at = np.s_[window.row + 9 : window.bottom + 9, window.col + 9 : window.right + 9]
            fine = tuple(slice(s.start * ratio, s.stop * ratio) for s in at)
            assert np.array_equal(part.ms, whole.ms[(slice(None), *at)])
            assert np.array_equal(part.pan, whole.pan[(slice(None), *fine)])
            for mask in ("valid", "ms_valid", "pan_valid"):
                assert np.array_equal(getattr(part, mask), getattr(whole, mask)[fine])


def test_the_map_is_the_pan_over_ms_ground(open_case: Any) -> None:
    # MS from 6 m right of the PAN's left edge and 10 m above its top, 60 × 30 pixels of 2 m
    with open_case(CASES["other extents, on the lattice"]) as pair:
        assert pair.map_window == Window(0, 0, 180, 100)
        assert pair.pan.grid.transform.almost_equals(PAN.transform @ Affine.translation(12, 0))
    # MS edges 7 m left of and 9.5 m above the PAN's: 2 columns and 3 rows fill up its first pixels
    with open_case(CASES["pan starts inside an MS pixel"]) as pair:
        assert pair.map_window == Window(2, 3, 192, 160)
        assert pair.pan.grid.shape == (164, 196)


def test_a_resampled_ms_matches_gdals_cubic_warp(open_case: Any) -> None:
    case = CASES["MS in the next UTM zone"]
    with open_case(case) as pair:
        tile, grid = pair.read(pair.ms.grid.window), pair.ms.grid
    expected = np.zeros(grid.shape, np.float32)
    reproject(
        render(case.ms), expected, src_transform=case.ms.transform, src_crs=UTM31,
        dst_transform=grid.transform, dst_crs=UTM30, resampling=Resampling.cubic, tolerance=1e-9,
        XSCALE=1, YSCALE=1,
    )  # fmt: skip
    assert np.abs(tile.ms[0] - expected)[3:-3, 3:-3].max() < 0.1


# --- pan_shift ---


def test_a_given_shift_moves_the_pans_position_and_not_its_pixels(open_case: Any) -> None:
    case = CASES["exact"]
    with open_case(case, pan_shift=(3.0, -2.0)) as pair:
        tile, window = pair.read(pair.ms.grid.window), pair.map_window
        corner = pair.pan.grid.transform @ (window.col, window.row)
        assert corner == pytest.approx((LEFT, TOP - 2 * 0.5 + 2 * 0.5))
        assert pair.shift == (3.0, -2.0)
        inside = tile.pan[0, window.row : window.bottom, window.col : window.right]
        expected = render(case.pan)[:, 3:][: window.height, : window.width]
    assert np.array_equal(inside, expected)


@pytest.mark.parametrize("shift", [(1.0, 1.0), (-1.3, 0.6)])
def test_a_displaced_pan_fits_after_its_shift_is_given(
    write_raster: Any, shift: tuple[float, float]
) -> None:
    """The file says that the PAN starts at LEFT, TOP; its content lies dx right and dy down."""
    case = CASES["exact"]
    truth = case.pan.translate(-shift[0], -shift[1])
    ms = write_raster("ms.tif", render(case.ms), case.ms.transform)
    pan = write_raster("pan.tif", render(truth), case.pan.transform)
    with ScenePair.open(ms, pan, ratio=4, pan_shift=shift) as pair:
        tile = pair.read(pair.ms.grid.window)
        inner = interior(tile.valid, 4).repeat(4, axis=0).repeat(4, axis=1)
        off = displacement_m(tile.pan[0], pair.pan.grid, inner)
    assert math.hypot(*off) < 0.01


@pytest.mark.parametrize("shift", ["sideways", "1", (1.0, math.nan), "1,2,3"])
def test_a_shift_that_is_none_is_refused(open_case: Any, shift: Any) -> None:
    with pytest.raises(InputError) as caught:
        open_case(CASES["exact"], pan_shift=shift)
    assert caught.value.code == "pan-shift"
    assert str(caught.value) == (
        f"The PAN shift is {shift!r}; none, auto, or two numbers DX,DY are needed. Give how far "
        "the PAN lies to the right and down, in PAN pixels, such as -1,-1."
    )


# --- no CRS ---


def test_without_crs_both_cover_the_same_ground(write_raster: Any) -> None:
    fine = np.arange(800.0, dtype=np.float32).reshape(20, 40)
    ms = write_raster("ms.tif", fine.reshape(10, 2, 20, 2).mean(axis=(1, 3)), None, None)
    with ScenePair.open(ms, write_raster("pan.tif", fine, None, None)) as pair:
        tile = pair.read(pair.ms.grid.window)
        assert (pair.ratio, pair.ms.grid.crs) == (2, None)
        assert pair.pan.grid.transform == Affine.identity()
        assert pair.notes[0].level == "warning"
        assert pair.notes[0].text == (
            "Neither raster has a CRS: both are taken to cover the same ground, corner to corner, "
            "and the map is in pixel coordinates."
        )
    assert np.array_equal(tile.pan[0], fine)
    assert np.array_equal(tile.ms[0], fine.reshape(10, 2, 20, 2).mean(axis=(1, 3)))


def test_control_points_are_not_used_and_the_note_says_so(write_raster: Any) -> None:
    corners = [GroundControlPoint(r, c, 500_000 + c, 5_900_000 - r) for r in (0, 9) for c in (0, 9)]
    ms = write_raster("ms.tif", np.ones((10, 10), np.uint8), gcps=corners)
    pan = write_raster("pan.tif", np.ones((20, 20), np.uint8), None, None)
    with ScenePair.open(ms, pan) as pair:
        assert pair.map_window == Window(0, 0, 20, 20)
        assert pair.notes[0].text.endswith(
            " Ground control points and RPCs are not used: orthorectify first to use them."
        )


def test_without_crs_transforms_are_used_where_both_have_one(write_raster: Any) -> None:
    ms = write_raster("ms.tif", np.ones((10, 10), np.uint8), Affine(4, 0, 100, 0, -4, 90), None)
    pan = write_raster("pan.tif", np.ones((20, 20), np.uint8), Affine(2, 0, 104, 0, -2, 90), None)
    with ScenePair.open(ms, pan) as pair:
        assert pair.map_window == Window(0, 0, 18, 20)
        assert pair.notes[0].text == (
            "Neither raster has a CRS: their coordinates are taken to be of one and the same."
        )


def test_a_crs_on_one_raster_only_is_refused(write_raster: Any) -> None:
    ms = write_raster("ms.tif", np.ones((10, 10), np.uint8), Affine(4, 0, 100, 0, -4, 90), None)
    pan = write_raster("pan.tif", np.ones((20, 20), np.uint8), Affine(2, 0, 100, 0, -2, 90))
    with pytest.raises(InputError) as caught:
        ScenePair.open(ms, pan)
    assert caught.value.code == "one-crs"
    assert str(caught.value) == (
        "`ms.tif` has no CRS and `pan.tif` has EPSG:32630; both need one, or neither. Assign the "
        "CRS it was made in, for example with gdal_edit.py -a_srs."
    )


# --- nothing in common ---


def test_rasters_of_different_places_are_refused(write_raster: Any) -> None:
    square = np.ones((10, 10), np.uint8)
    ms = write_raster("ms.tif", square, Affine(2, 0, 500_000, 0, -2, 5_900_000))
    pan = write_raster("pan.tif", square, Affine(1, 0, 500_020, 0, -1, 5_900_000))
    with pytest.raises(InputError) as caught:
        ScenePair.open(ms, pan)
    assert caught.value.code == "no-overlap"
    assert str(caught.value) == (
        "`ms.tif` and `pan.tif` have no ground in common: the MS covers x 500000.0 to 500020.0, "
        "y 5899980.0 to 5900000.0 (EPSG:32630) and the PAN x 500020.0 to 500030.0, y 5899990.0 to "
        "5900000.0 (EPSG:32630). Choose an MS and a PAN of the same place, and check that both "
        "have the right CRS."
    )


def test_an_ms_of_the_whole_world_is_no_obstacle(write_raster: Any) -> None:
    world = np.arange(180 * 90, dtype=np.float32).reshape(90, 180)
    ms = write_raster("world.tif", world, Affine(2, 0, -180, 0, -2, 90), "EPSG:4326")
    pan = write_raster("pan.tif", np.ones((8, 8), np.uint8), Affine(5e4, 0, 3e5, 0, -5e4, 6e6))
    with ScenePair.open(ms, pan, ratio=4) as pair:
        assert pair.map_window == Window(0, 0, 8, 8)
        assert pair.read(pair.ms.grid.window).valid.all()
    far = write_raster("far.tif", world[:40, :50], Affine(2, 0, 100, 0, -2, 80), "EPSG:4326")
    with pytest.raises(InputError, match="no ground in common"):
        ScenePair.open(far, pan, ratio=4)
