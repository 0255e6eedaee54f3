"""Which pixels of a pair are valid, what lies beyond its border, and which pairs are refused."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.enums import ColorInterp

from panloom.engine.errors import InputError
from panloom.engine.grid import Window
from panloom.engine.scene.needs import PairNeeds
from panloom.engine.scene.pair import ScenePair, TileData

LEFT, TOP = 700_000.0, 5_930_000.0
PAN_TRANSFORM = Affine(0.5, 0, LEFT, 0, -0.5, TOP)


def _whole(ms: str, pan: str, **options: Any) -> tuple[TileData, Window, Affine]:
    with ScenePair.open(ms, pan, **options) as pair:
        return pair.read(pair.ms.grid.window), pair.map_window, pair.pan.grid.transform


# --- validity, exact to the pixel ---

GRIDS = {
    "exact": (Affine(2, 0, LEFT, 0, -2, TOP), 32630, 4),
    "half a pixel": (Affine(1, 0, LEFT + 0.25, 0, -1, TOP - 0.25), 32630, 2),
    "ratio 3.7": (Affine(1.85, 0, LEFT - 3.1, 0, -1.85, TOP + 2.2), 32630, 4),
    "rotated": (
        Affine.translation(LEFT - 4, TOP + 7) @ Affine.rotation(9) @ Affine.scale(2, -2), 32630, 4,
    ),
    "next zone": (None, 32631, 4),
    "degrees": (None, 4326, 4),
}  # fmt: skip
KINDS = ("nodata", "nan", "nan as nodata", "mask", "alpha", "nothing")


def _ms_place(name: str) -> tuple[Affine, int, int]:
    transform, epsg, ratio = GRIDS[name]
    if transform is None:
        x, y = Transformer.from_crs(32630, epsg, always_xy=True).transform(LEFT, TOP)
        pixel = 2.0 if epsg == 32631 else 2 / 90_000
        transform = Affine(pixel, 0, x - 3.3 * pixel, 0, -pixel, y + 2.7 * pixel)
    return transform, epsg, ratio


def _ms_file(write: Any, kind: str, transform: Affine, epsg: int) -> tuple[str, np.ndarray]:
    """Write an MS with holes marked in one way; return its path and the valid pixels (h, w)."""
    rng = np.random.default_rng(7)
    array = rng.integers(1, 200, (2, 45, 52)).astype(np.float32)
    holes = rng.random((2, 45, 52)) < 0.04
    options: dict[str, Any] = {}
    if kind == "nodata":
        array[holes], options = -9999, {"nodata": -9999}
    elif kind.startswith("nan"):
        array[holes], options = np.nan, {"nodata": math.nan} if kind == "nan as nodata" else {}
    elif kind == "mask":
        options = {"mask": ~holes.any(axis=0)}
    elif kind == "alpha":
        array = np.concatenate([array, np.where(holes.any(axis=0), 0, 255)[np.newaxis]])
        array = array.astype(np.uint8)
        options = {"colors": (ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha)}
    else:
        holes[...] = False
    path = write("ms.tif", array, transform, f"EPSG:{epsg}", **options)
    return path, ~holes.any(axis=0)


def _pan_file(write: Any) -> tuple[str, np.ndarray]:
    rng = np.random.default_rng(8)
    array = rng.integers(1, 200, (150, 170)).astype(np.uint16)
    array[rng.random(array.shape) < 0.02] = 0
    return write("pan.tif", array, PAN_TRANSFORM, nodata=0), array != 0


def _rule(valid: np.ndarray, transform: Affine, epsg: int, xs: np.ndarray, ys: np.ndarray) -> Any:
    """The rule, written out: the pixel that contains the point exists and is valid."""
    if epsg != 32630:
        xs, ys = Transformer.from_crs(32630, epsg, always_xy=True).transform(xs, ys)
    inverse = ~transform
    cols = np.floor(inverse.a * xs + inverse.b * ys + inverse.c + 1e-6).astype(int)
    rows = np.floor(inverse.d * xs + inverse.e * ys + inverse.f + 1e-6).astype(int)
    inside = (cols >= 0) & (cols < valid.shape[1]) & (rows >= 0) & (rows < valid.shape[0])
    return inside & valid[rows.clip(0, valid.shape[0] - 1), cols.clip(0, valid.shape[1] - 1)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", GRIDS)
def test_validity_is_the_rule_over_both_inputs(write_raster: Any, grid: str, kind: str) -> None:
    transform, epsg, ratio = _ms_place(grid)
    ms, ms_usable = _ms_file(write_raster, kind, transform, epsg)
    pan, pan_usable = _pan_file(write_raster)
    tile, window, fine = _whole(ms, pan, ratio=ratio)

    cols, rows = np.meshgrid(np.arange(170) + 0.5, np.arange(150) + 0.5)
    expected = _rule(ms_usable, transform, epsg, LEFT + cols * 0.5, TOP - rows * 0.5) & pan_usable

    found = np.zeros_like(expected)  # the map, laid onto the PAN file
    col, row = (round(v) for v in ~PAN_TRANSFORM @ (fine @ (window.col, window.row)))
    inside = np.s_[window.row : window.bottom, window.col : window.right]
    found[row : row + window.height, col : col + window.width] = tile.valid[inside]
    assert np.count_nonzero(found != expected) == 0
    assert 0 < expected.sum() < expected.size
    outside = tile.valid.copy()
    outside[inside] = False
    assert not outside.any()


@pytest.mark.parametrize("grid", GRIDS)
def test_invalid_pixels_do_not_bleed_into_valid_ones(write_raster: Any, grid: str) -> None:
    """A constant field stays constant beside nodata of -9999, and invalid pixels read as 0."""
    transform, epsg, ratio = _ms_place(grid)
    array = np.full((1, 45, 52), 500, np.int16)
    array[:, 10:14, 20:30] = array[:, 30, 30] = -9999
    ms = write_raster("ms.tif", array, transform, f"EPSG:{epsg}", nodata=-9999)
    pan = write_raster("pan.tif", np.full((150, 170), 90, np.uint8), PAN_TRANSFORM)
    tile, _, _ = _whole(ms, pan, ratio=ratio)
    height, width = tile.ms.shape[1:]
    blocks = tile.ms_valid.reshape(height, ratio, width, ratio).any(axis=(1, 3))
    assert tile.ms[0][blocks] == pytest.approx(500, abs=1e-3)
    assert (tile.ms[0][~blocks] == 0).all()
    assert 0 < blocks.sum() < blocks.size
    assert (tile.pan[0][tile.pan_valid] == 90).all()


@pytest.mark.parametrize("grid", [name for name in GRIDS if name != "exact"])
def test_pixels_beside_holes_stay_near_what_is_around_them(write_raster: Any, grid: str) -> None:
    """Few valid pixels under a kernel with negative weights must not be blown up."""
    transform, epsg, ratio = _ms_place(grid)
    rng = np.random.default_rng(5)
    array = np.where(rng.random((1, 45, 52)) < 0.5, 1000, 1100).astype(np.int16)
    array[rng.random(array.shape) < 0.6] = -9999
    ms = write_raster("ms.tif", array, transform, f"EPSG:{epsg}", nodata=-9999)
    pan = write_raster("pan.tif", np.ones((150, 170), np.uint8), PAN_TRANSFORM)
    tile, _, _ = _whole(ms, pan, ratio=ratio)
    height, width = tile.ms.shape[1:]
    blocks = tile.ms_valid.reshape(height, ratio, width, ratio).any(axis=(1, 3))
    assert tile.ms[0][blocks].min() > 1000 - 100
    assert tile.ms[0][blocks].max() < 1100 + 100


@pytest.mark.parametrize("offset", [1.1, 1.3])
def test_pixels_that_reach_beyond_the_ms_do_not_depend_on_holes_elsewhere(
    write_raster: Any, offset: float
) -> None:
    """The centers of the last MS pixels lie beyond the MS: there, too, few pixels are known."""
    array = np.random.default_rng(6).integers(100, 9000, (1, 44, 52)).astype(np.uint16)
    holed = array.copy()
    holed[0, 20, 25] = 0
    start = Affine.translation(LEFT + offset / 2, TOP - offset / 2) @ Affine.scale(0.5, -0.5)
    pan = write_raster("pan.tif", np.ones((120, 120), np.uint8), start)
    tiles = []
    for name, content in (("whole.tif", array), ("holed.tif", holed)):
        ms = write_raster(name, content, PAN_TRANSFORM @ Affine.scale(2), nodata=0)
        tiles.append(_whole(ms, pan, ratio=2)[0])
    changed = (tiles[0].ms != tiles[1].ms)[0]
    assert changed[16:25, 21:30].any()
    changed[16:25, 21:30] = False
    assert tiles[0].valid[-2:, :-2].any(axis=0).all()  # the border has a map
    assert not changed.any()


# --- borders and small rasters ---


def _pair_of(write: Any, ms: np.ndarray, pan: np.ndarray, ratio: int) -> ScenePair:
    ms_path = write("ms.tif", ms, PAN_TRANSFORM @ Affine.scale(ratio))
    return ScenePair.open(ms_path, write("pan.tif", pan, PAN_TRANSFORM), ratio=ratio)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 3), (5, 6)])
@pytest.mark.parametrize("ratio", [1, 2, 4])
def test_beyond_the_border_pixels_are_reflected(
    write_raster: Any, size: tuple[int, int], ratio: int
) -> None:
    rng = np.random.default_rng(3)
    ms = rng.random((2, *size)).astype(np.float32)
    pan = rng.random((size[0] * ratio, size[1] * ratio)).astype(np.float32)
    with _pair_of(write_raster, ms, pan, ratio) as pair:
        tile = pair.read(pair.ms.grid.window.grow(9))
        lone = pair.read(Window(-9, -9, 1, 1))
    halo = 9 * ratio
    # numpy's "reflect" repeats as often as it takes; it leaves a single row as it is
    assert np.array_equal(tile.ms, np.pad(ms, ((0, 0), (9, 9), (9, 9)), mode="reflect"))
    assert np.array_equal(tile.pan[0], np.pad(pan, halo, mode="reflect"))
    assert np.array_equal(tile.valid, np.pad(np.ones(pan.shape, bool), halo))
    assert tile.ms_valid.all()
    assert tile.pan_valid.all()
    assert np.array_equal(lone.ms, tile.ms[:, :1, :1])


def test_a_pan_that_ends_inside_an_ms_pixel_is_padded(write_raster: Any) -> None:
    pan = np.arange(1, 50, dtype=np.uint16).reshape(7, 7)
    with _pair_of(write_raster, np.ones((1, 4, 4), np.uint8), pan, 2) as pair:
        assert pair.pan.grid.shape == (8, 8)
        assert pair.map_window == Window(0, 0, 7, 7)
        tile = pair.read(pair.ms.grid.window)
        assert np.array_equal(tile.pan[0], np.pad(pan, ((0, 1), (0, 1)), mode="reflect"))
        assert np.array_equal(tile.valid, np.pad(np.ones((7, 7), bool), ((0, 1), (0, 1))))
        assert pair.sample().pan.shape == (4, 16)


def test_one_ms_pixel_over_four_pan_pixels_has_a_sample(write_raster: Any) -> None:
    pan = np.array([[1, 2], [3, 4]], np.uint8)
    with _pair_of(write_raster, np.full((3, 1, 1), 9, np.uint8), pan, 2) as pair:
        sample = pair.sample()
    assert sample.ms.tolist() == [[9], [9], [9]]
    assert sample.pan.tolist() == [[1], [2], [3], [4]]


# --- sample ---


def test_a_sample_is_colocated_and_bounded(write_raster: Any) -> None:
    rows, cols = np.mgrid[0:600, 0:300]
    ms = np.stack([rows, cols]).astype(np.uint16)
    pan = (rows * 1000 + cols).repeat(2, axis=0).repeat(2, axis=1).astype(np.uint32)
    with _pair_of(write_raster, ms, pan, 2) as pair:
        sample, again = pair.sample(5000), pair.sample(5000)
    assert np.array_equal(sample.ms, again.ms)
    assert 2500 < sample.ms.shape[1] <= 5000
    assert sample.pan.shape == (4, sample.ms.shape[1])
    assert np.array_equal(
        sample.pan, np.broadcast_to(sample.ms[0] * 1000 + sample.ms[1], (4, sample.ms.shape[1]))
    )
    for axis, size in ((0, 600), (1, 300)):  # spread over the whole scene
        assert sample.ms[axis].min() < 0.05 * size
        assert sample.ms[axis].max() > 0.95 * size


def test_a_sample_leaves_invalid_pixels_out(write_raster: Any) -> None:
    ms = np.full((1, 20, 20), 5, np.float32)
    ms[0, :10] = np.nan
    with _pair_of(write_raster, ms, np.ones((40, 40), np.uint8), 2) as pair:
        assert pair.sample().ms.tolist() == [[5.0] * 200]
    ms[...] = np.nan
    pair = _pair_of(write_raster, ms, np.ones((40, 40), np.uint8), 2)
    with pair, pytest.raises(InputError) as caught:
        pair.sample()
    assert caught.value.code == "no-valid-pixels"
    assert str(caught.value) == (
        "No pixel is valid in both `ms.tif` and `pan.tif`. Check the nodata values and masks of "
        "both rasters."
    )


# --- what does not fit ---

NEEDS = PairNeeds("field-4", 4, band_roles=("blue", "green", "red", "nir"))


def _refused(
    write: Any, ms: np.ndarray, pan: np.ndarray, scale: float, **options: Any
) -> InputError:
    profile = {key: options.pop(key) for key in ("descriptions", "colors") if key in options}
    ms_path = write("field.tif", ms, PAN_TRANSFORM @ Affine.scale(scale), **profile)
    pan_path = write("pan.tif", pan, PAN_TRANSFORM)
    with pytest.raises(InputError) as caught:
        ScenePair.open(ms_path, pan_path, **{"needs": NEEDS, **options})
    return caught.value


def _ones(bands: int, size: int) -> np.ndarray:
    return np.ones((bands, size, size), np.uint16)


def test_a_wrong_number_of_bands_is_refused(write_raster: Any) -> None:
    error = _refused(write_raster, _ones(3, 10), _ones(1, 40), 4)
    assert error.code == "band-count"
    assert str(error) == (
        "`field.tif` has 3 bands; model `field-4` needs 4 (blue, green, red, nir). Give exactly "
        "these bands in this order, as one raster, a VRT, or one file per band joined by commas."
    )
    error = _refused(write_raster, _ones(1, 10), _ones(1, 40), 4, needs=None, ratio=4, band_count=6)
    assert error.message == "`field.tif` has 1 band; this run needs 6."


@pytest.mark.parametrize(
    "marks",
    [
        {"descriptions": ("B4 red", "B3 green", "B2 blue", "B5 NIR")},
        {"colors": (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)},
    ],
)
def test_a_wrong_order_of_bands_is_refused(write_raster: Any, marks: dict[str, Any]) -> None:
    error = _refused(write_raster, _ones(4, 10), _ones(1, 40), 4, **marks)
    last = "nir" if "descriptions" in marks else "?"
    assert error.code == "band-order"
    assert str(error) == (
        f"The bands of `field.tif` are in the order red, green, blue, {last}; model `field-4` "
        "needs blue, green, red, nir. Put them in that order, for example with gdal_translate -b, "
        "or correct the band descriptions if they are wrong."
    )


def test_a_right_order_under_other_names_is_taken(write_raster: Any) -> None:
    names = ("SR_B2", "Green (560 nm)", "B4 - Red", "near infrared")
    transform = PAN_TRANSFORM @ Affine.scale(4)
    ms = write_raster("ms.tif", _ones(4, 10), transform, descriptions=names)
    with ScenePair.open(ms, write_raster("p.tif", _ones(1, 40), PAN_TRANSFORM), needs=NEEDS) as p:
        assert p.band_names == names


def test_a_fourth_band_marked_alpha_by_default_is_a_band_if_needed(write_raster: Any) -> None:
    """GDAL writes any four-band 8-bit GeoTIFF as RGBA."""
    array = np.ones((4, 10, 10), np.uint8)
    array[3] = 0
    ms = write_raster("field.tif", array, PAN_TRANSFORM @ Affine.scale(4))
    with rasterio.open(ms) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
    pan = write_raster("pan.tif", _ones(1, 40), PAN_TRANSFORM)
    with ScenePair.open(ms, pan, needs=NEEDS) as pair:
        assert pair.notes[0].text == (
            "The last band of `field.tif` is marked as alpha; the model needs it as an image band, "
            "so it is taken as one."
        )
        assert pair.read(pair.ms.grid.window).valid.all()


def test_a_ratio_too_far_off_is_refused(write_raster: Any) -> None:
    error = _refused(write_raster, _ones(4, 10), _ones(1, 80), 8)
    assert error.code == "ratio"
    assert str(error) == (
        "The MS pixel is 4.00 m and the PAN pixel 0.50 m, a ratio of 8.00; model `field-4` needs "
        "4. Choose a model for a ratio near 8.0, or resample one of the rasters: ratios from 2.67 "
        "to 6.00 run."
    )


def test_a_ratio_nearby_runs_and_is_noted(write_raster: Any) -> None:
    ms = write_raster("ms.tif", _ones(4, 20), PAN_TRANSFORM @ Affine.scale(3.8))
    with ScenePair.open(ms, write_raster("p.tif", _ones(1, 60), PAN_TRANSFORM), needs=NEEDS) as p:
        assert [note.text for note in p.notes] == [
            "The MS pixel is 1.90 m and the PAN pixel 0.50 m, a ratio of 3.80; model `field-4` "
            "works at 4.",
            "The MS is resampled (cubic) onto the PAN grid: the MS pixel is 3.8 × 3.8 PAN pixels "
            "and 4 × 4 is needed.",
        ]


def test_swapped_inputs_are_recognized(write_raster: Any) -> None:
    error = _refused(write_raster, _ones(1, 40), _ones(1, 10), 0.25, needs=None, ratio=4)
    assert error.code == "swapped"
    assert str(error) == (
        "The MS pixel is 0.12 m and the PAN pixel 0.50 m: the MS is finer than the PAN. MS and PAN "
        "are probably swapped: give the multispectral raster first."
    )
    error = _refused(write_raster, _ones(1, 40), _ones(4, 10), 0.25)
    assert error.code == "pan-bands"
    assert str(error) == (
        "`pan.tif` has 4 bands; the PAN needs 1. Choose the panchromatic raster as PAN; perhaps MS "
        "and PAN are swapped."
    )


# --- several threads, real data ---


def test_a_pair_per_thread_reads_the_same(data_dir: Path) -> None:
    folder = data_dir / "landsat8_liverpool"

    def read(_: int) -> np.ndarray:
        with ScenePair.open(str(folder / "ms.tif"), str(folder / "pan.tif"), ratio=2) as pair:
            return pair.read(Window(40, 60, 100, 90)).ms

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(read, range(8))
    assert all(np.array_equal(first, other) for other in others)


def test_a_real_landsat_pair_is_half_a_pixel_off_and_says_so(data_dir: Path) -> None:
    folder = data_dir / "landsat8_liverpool"
    needs = PairNeeds("m", 2, band_roles=("blue", "green", "red", "nir", "swir1", "swir2"))
    with ScenePair.open(str(folder / "ms.tif"), str(folder / "pan.tif"), needs=needs) as pair:
        assert pair.notes[-1].text == (
            "The MS is resampled (cubic) onto the PAN grid: its pixel edges are 0.5 columns and "
            "0.5 rows off the PAN's."
        )
        # the PAN's last column has its centers on the MS's right edge, where no MS pixel is
        assert pair.map_window == Window(0, 0, 866, 534)
        assert pair.pan.grid.transform.c == 486_997.5
