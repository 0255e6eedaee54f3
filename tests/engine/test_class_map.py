"""Class maps as GDAL and other readers see them."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from panloom.engine.class_map import ClassMapWriter, MapPaths, read_scheme
from panloom.engine.errors import InputError, OutputError
from panloom.engine.grid import Grid, Window
from panloom.engine.halving import majority, mean
from panloom.models.classes import ClassScheme, LandClass

SCHEME = ClassScheme(
    (
        LandClass(3, "Grünland", "#80c040"),
        LandClass(1, "Water", "#2060c0"),
        LandClass(7, "Town", "#c02020"),
    )
)


def grid(width, height):
    return Grid(CRS.from_epsg(32630), Affine(15, 0, 486997.5, 0, -15, 5948002.5), width, height)


def write(path, codes, confidence=None, step=100, confidence_path=None):
    height, width = codes.shape
    if confidence is None:
        confidence = np.full(codes.shape, 50, np.uint8)
    with ClassMapWriter(
        MapPaths(path, confidence_path), grid(width, height), SCHEME, {"A": "b"}
    ) as writer:
        for row in range(0, height, step):
            for col in range(0, width, step):
                window = Window(col, row, min(step, width - col), min(step, height - row))
                part = (slice(row, window.bottom), slice(col, window.right))
                writer.write(window, codes[part], confidence[part])
    return writer


@pytest.fixture
def codes():
    return np.random.default_rng(1).choice(np.array([0, 1, 3, 7], np.uint8), (611, 533))


def test_pixels_come_back_whatever_the_tile_size(tmp_path, codes):
    for step in (64, 100, 256, 700):
        path = tmp_path / f"{step}.tif"
        writer = write(path, codes, step=step)
        with rasterio.open(path) as dataset:
            np.testing.assert_array_equal(dataset.read(1), codes)
            assert dataset.nodata == 0
            assert dataset.dtypes == ("uint8",)
            assert dataset.profile["tiled"]
            assert dataset.tags()["A"] == "b"
        np.testing.assert_array_equal(writer.counts, np.bincount(codes.ravel(), minlength=256))


def test_confidence_has_its_own_nodata(tmp_path, codes):
    confidence = np.where(codes == 0, 255, 90).astype(np.uint8)
    write(tmp_path / "m.tif", codes, confidence, confidence_path=tmp_path / "c.tif")
    with rasterio.open(tmp_path / "c.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), confidence)
        np.testing.assert_array_equal(dataset.read_masks(1) > 0, codes > 0)


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="needs gdalinfo (package gdal-bin)")
def test_gdalinfo_shows_names_colors_and_attribute_table(tmp_path, codes):
    write(tmp_path / "m.tif", codes)
    done = subprocess.run(
        ["gdalinfo", "-json", str(tmp_path / "m.tif")], capture_output=True, text=True, check=True
    )
    info = json.loads(done.stdout)
    band = info["bands"][0]
    assert band["categories"][1] == "Water"
    assert band["categories"][3] == "Grünland"
    assert band["colorTable"]["entries"][7][:3] == [0xC0, 0x20, 0x20]
    assert len(band["overviews"]) >= 1
    rows = info["rat"]["row"]
    assert [r["f"][0] for r in rows] == [1, 3, 7]
    assert [r["f"][1] for r in rows] == ["Water", "Grünland", "Town"]
    assert [r["f"][5] for r in rows] == [int((codes == c).sum()) for c in (1, 3, 7)]


def test_missing_rows_are_noticed(tmp_path, codes):
    writer = ClassMapWriter(MapPaths(tmp_path / "m.tif"), grid(10, 10), SCHEME, {})
    writer.write(Window(0, 0, 10, 4), codes[:4, :10], codes[:4, :10])
    with pytest.raises(ValueError, match="4 of 10 rows"):
        writer.close()


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (Window(0, 3, 10, 4), "row 3 was written already"),
        (Window(4, 4, 6, 4), "64 pixels lie above row 8; 80 are needed"),
        (Window(8, 4, 4, 4), "reaches beyond 10 × 10 pixels"),
        (Window(0, 8, 10, 4), "reaches beyond 10 × 10 pixels"),
    ],
)
def test_windows_that_do_not_follow_are_refused(tmp_path, window, message):
    with ClassMapWriter(MapPaths(tmp_path / "m.tif"), grid(10, 10), SCHEME, {}) as writer:
        first, second = np.ones((4, 10), np.uint8), np.ones(window.shape, np.uint8)
        writer.write(Window(0, 0, 10, 4), first, first)
        with pytest.raises(ValueError, match=message):
            writer.write(window, second, second)
        with pytest.raises(ValueError, match="values for a window"):
            writer.write(Window(0, 4, 10, 6), first, first)
        writer.write(Window(0, 4, 10, 6), *[np.ones((6, 10), np.uint8)] * 2)


def test_an_error_leaves_no_scratch_files(tmp_path, codes):
    paths = MapPaths(tmp_path / "m.tif", tmp_path / "c.tif")

    def fail_halfway():
        with ClassMapWriter(paths, grid(533, 611), SCHEME, {}) as writer:
            writer.write(Window(0, 0, 533, 300), codes[:300], codes[:300])
            raise RuntimeError("full disk")

    with pytest.raises(RuntimeError, match="full disk"):
        fail_halfway()
    assert not list(tmp_path.glob("*.ovr"))
    with pytest.raises(ValueError, match="300 of 611 rows"):  # noqa: SIM117
        with ClassMapWriter(paths, grid(533, 611), SCHEME, {}) as writer:
            writer.write(Window(0, 0, 533, 300), codes[:300], codes[:300])
    assert not list(tmp_path.glob("*.ovr"))


def test_both_files_have_overviews(tmp_path, codes):
    confidence = np.where(codes == 0, 255, 10 * codes).astype(np.uint8)
    write(tmp_path / "m.tif", codes, confidence, confidence_path=tmp_path / "c.tif")
    for name, expected in (("m", majority(codes, 0)), ("c", mean(confidence, 255))):
        with rasterio.open(tmp_path / f"{name}.tif", overview_level=0) as dataset:
            np.testing.assert_array_equal(dataset.read(1), expected)


def test_many_classes_are_counted_too(tmp_path):
    scheme = ClassScheme(tuple(LandClass(c, f"c{c}", "#102030") for c in range(1, 201)))
    codes = np.random.default_rng(3).integers(0, 201, (300, 260), dtype=np.uint8)
    with ClassMapWriter(MapPaths(tmp_path / "m.tif"), grid(260, 300), scheme, {}) as writer:
        writer.write(Window(0, 0, 260, 300), codes, codes)
    np.testing.assert_array_equal(writer.counts, np.bincount(codes.ravel(), minlength=256))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (256, 256), (257, 257)])
def test_small_and_odd_sizes(tmp_path, shape):
    codes = np.random.default_rng(2).choice(np.array([1, 3], np.uint8), shape)
    write(tmp_path / "m.tif", codes)
    with rasterio.open(tmp_path / "m.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), codes)


def test_the_scheme_is_read_back(tmp_path, codes):
    write(tmp_path / "m.tif", codes)
    assert read_scheme(tmp_path / "m.tif") == SCHEME


def foreign(path, values, **profile):
    with rasterio.open(
        path, "w", driver="GTiff", width=values.shape[1], height=values.shape[0], count=1,
        dtype=values.dtype, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_foreign_map_gets_the_classes_that_occur(tmp_path):
    path = foreign(tmp_path / "f.tif", np.array([[2, 5], [9, 0]], np.int16), nodata=0)
    assert read_scheme(path).codes == (2, 5, 9)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_values_that_are_no_class_codes_are_refused(tmp_path):
    path = foreign(tmp_path / "f.tif", np.array([[2, 500]], np.int16), nodata=0)
    with pytest.raises(InputError) as caught:
        read_scheme(path)
    assert str(caught.value) == (
        "`f.tif` holds the value 500; class codes lie in 1…254. "
        "Choose a class map, or reclassify the raster first."
    )
    path = foreign(tmp_path / "g.tif", np.array([[0.5]], np.float32))
    with pytest.raises(InputError, match="float32 values; a class map holds whole numbers"):
        read_scheme(path)


@pytest.mark.parametrize("most_kb", [1, 2, 8])
def test_a_disk_that_does_not_take_all_is_an_error(tmp_path, codes, most_kb):
    """GDAL writes blocks when a file is closed, and says nothing where that fails."""
    resource = pytest.importorskip("resource")
    rng = np.random.default_rng(0)
    noise = rng.integers(1, 3, (300, 400)).astype(np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * most_kb, hard))
    try:
        with (
            pytest.raises(OutputError) as caught,
            ClassMapWriter(MapPaths(tmp_path / "m.tif"), grid(400, 300), SCHEME, {}) as writer,
        ):
            writer.write(Window(0, 0, 400, 300), noise, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == (
        "The map could not be written completely: the disk is full, or takes no file as large. "
        "Make room on the disk, or choose another folder."
    )
