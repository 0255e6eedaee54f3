"""Opening rasters by any name, and knowing which pixels are usable."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from panloom.engine.errors import InputError
from panloom.engine.grid import Window
from panloom.engine.scene.raster import Raster

NORTH_UP = Affine(2, 0, 500_000, 0, -2, 5_900_000)


def _numbers(bands: int = 2, height: int = 4, width: int = 5, dtype: Any = "uint16") -> np.ndarray:
    return (np.arange(bands * height * width).reshape(bands, height, width) + 1).astype(dtype)


def _read(spec: str, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    with Raster.open(spec, **options) as raster:
        return raster.read(raster.grid.window)


# --- names ---


@pytest.mark.parametrize("name", ["with spaces/ü ñ 地.tif", "a,b.tif", "plain.tif"])
def test_a_path_opens_whatever_characters_it_has(write_raster: Any, name: str) -> None:
    dn, valid = _read(write_raster(name, _numbers(), NORTH_UP))
    assert np.array_equal(dn, _numbers())
    assert valid.all()


def test_paths_joined_by_commas_are_bands_in_order(write_raster: Any) -> None:
    paths = [write_raster(f"x{n}, y.tif", _numbers(1) * n, NORTH_UP) for n in (1, 2, 3)]
    with Raster.open(", ".join(paths)) as raster:
        dn, _ = raster.read(raster.grid.window)
        assert [band.name for band in raster.bands] == ["x1, y", "x2, y", "x3, y"]
        assert raster.label == "x1, y.tif and 2 more"
    assert np.array_equal(dn, np.concatenate([_numbers(1) * n for n in (1, 2, 3)]))


def test_a_name_inside_a_zip_opens(write_raster: Any, tmp_path: Path) -> None:
    path = write_raster("band.tif", _numbers(), NORTH_UP)
    with zipfile.ZipFile(tmp_path / "pair.zip", "w") as archive:
        archive.write(path, "inside/band.tif")
    dn, _ = _read(f"/vsizip/{tmp_path}/pair.zip/inside/band.tif")
    assert np.array_equal(dn, _numbers())


def test_a_vrt_opens_and_its_nodata_counts(write_raster: Any, tmp_path: Path) -> None:
    write_raster("band.tif", _numbers(1), NORTH_UP)
    vrt = tmp_path / "stack.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="4">'
        '<VRTRasterBand dataType="UInt16" band="1"><NoDataValue>7</NoDataValue><SimpleSource>'
        '<SourceFilename relativeToVRT="1">band.tif</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    dn, valid = _read(str(vrt))
    assert np.array_equal(valid, _numbers(1)[0] != 7)
    assert dn[0][~valid] == 0


# --- orientation ---


@pytest.mark.parametrize(
    ("transform", "flip"),
    [
        (Affine(2, 0, 500_000, 0, 2, 5_899_992), np.s_[:, ::-1, :]),
        (Affine(-2, 0, 500_010, 0, -2, 5_900_000), np.s_[:, :, ::-1]),
        (Affine(-2, 0, 500_010, 0, 2, 5_899_992), np.s_[:, ::-1, ::-1]),
    ],
)
def test_flipped_files_are_read_north_up(write_raster: Any, transform: Affine, flip: Any) -> None:
    path = write_raster("flipped.tif", _numbers()[flip], transform)
    with Raster.open(path) as raster:
        assert raster.grid.transform.almost_equals(NORTH_UP)
        whole, _ = raster.read(raster.grid.window)
        part, _ = raster.read(Window(1, 2, 3, 2))
    assert np.array_equal(whole, _numbers())
    assert np.array_equal(part, _numbers()[:, 2:4, 1:4])


def test_pixel_coordinates_are_not_flipped(write_raster: Any) -> None:
    dn, _ = _read(write_raster("plain.tif", _numbers(), None, None))
    assert np.array_equal(dn, _numbers())


# --- validity ---


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 3), ("int16", -9999), ("uint16", 0), ("float32", -3.4028234663852886e38),
     ("float32", 0.1), ("float64", 1e300), ("float32", float("nan")), ("int32", 2**31 - 1)],
)  # fmt: skip
def test_nodata_of_any_type_is_invalid(write_raster: Any, dtype: str, nodata: float) -> None:
    array = _numbers(dtype=dtype) + np.array(20, dtype)
    array[0, 1, 2] = nodata
    array[1, 3, 0] = nodata
    _, valid = _read(write_raster("nodata.tif", array, NORTH_UP, nodata=nodata))
    expected = np.ones((4, 5), bool)
    expected[1, 2] = expected[3, 0] = False
    assert np.array_equal(valid, expected)


def test_zero_is_valid_where_no_nodata_is_declared(write_raster: Any) -> None:
    _, valid = _read(write_raster("zeros.tif", np.zeros((2, 4, 5), np.uint16), NORTH_UP))
    assert valid.all()


def test_nan_and_infinity_are_invalid_without_a_declaration(write_raster: Any) -> None:
    array = _numbers(dtype="float32")
    array[0, 0, 0], array[1, 2, 2] = np.nan, np.inf
    dn, valid = _read(write_raster("nan.tif", array, NORTH_UP))
    assert np.argwhere(~valid).tolist() == [[0, 0], [2, 2]]
    assert np.isfinite(dn).all()


def test_a_mask_band_and_nodata_count_together(write_raster: Any) -> None:
    mask = np.ones((4, 5), bool)
    mask[0, 4] = False
    path = write_raster("masked.tif", _numbers(), NORTH_UP, mask=mask, nodata=6)
    _, valid = _read(path)
    assert np.argwhere(~valid).tolist() == [[0, 4], [1, 0]]


def test_an_alpha_band_hides_pixels_and_is_no_data_band(write_raster: Any) -> None:
    array = _numbers(3)
    array[2] = 65535
    array[2, 1, 1] = 0
    colors = (ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha)
    path = write_raster("alpha.tif", array, NORTH_UP, colors=colors)
    with Raster.open(path) as raster:
        assert (raster.count, raster.alpha_count) == (2, 1)
        dn, valid = raster.read(raster.grid.window)
    assert np.argwhere(~valid).tolist() == [[1, 1]]
    assert np.array_equal(dn[:, valid], array[:2][:, valid])
    assert _read(path, alpha_as_band=True)[0].shape == (3, 4, 5)


def test_gdal_agrees_on_validity(write_raster: Any) -> None:
    rng = np.random.default_rng(1)
    array = rng.integers(0, 4, (3, 30, 40)).astype(np.uint8)
    path = write_raster("noise.tif", array, NORTH_UP, nodata=2)
    _, valid = _read(path)
    with rasterio.open(path) as dataset:
        assert np.array_equal(valid, (dataset.read_masks() != 0).all(axis=0))


# --- what cannot be used ---


def _refused(spec: str) -> InputError:
    with pytest.raises(InputError) as caught:
        Raster.open(spec)
    return caught.value


def test_a_missing_file_is_named() -> None:
    error = _refused("/nowhere/ms.tif")
    assert error.code == "missing-file"
    assert str(error) == (
        "There is no file `/nowhere/ms.tif`. Check the path, or choose another file."
    )


def test_a_missing_file_among_bands_is_named(write_raster: Any) -> None:
    good = write_raster("good.tif", _numbers(1), NORTH_UP)
    assert _refused(f"{good},/nowhere/b2.tif").message == "There is no file `/nowhere/b2.tif`."


def test_a_file_that_is_no_raster_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a raster")
    error = _refused(str(tmp_path / "notes.txt"))
    assert error.code == "not-a-raster"
    assert str(error) == (
        "`notes.txt` is not a raster that GDAL can read. Choose a raster such as a GeoTIFF or a "
        "VRT."
    )


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "int64", "uint64"])
def test_complex_and_64_bit_integers_are_refused(write_raster: Any, dtype: str) -> None:
    error = _refused(write_raster("odd.tif", _numbers(dtype=dtype), NORTH_UP))
    assert error.code == "data-type"
    assert str(error) == (
        f"`odd.tif` holds {dtype} values; integers of up to 32 bits or real floating-point numbers "
        "are needed. Convert it first, for example with gdal_translate -ot Float32."
    )


def test_bands_on_different_grids_are_refused(write_raster: Any) -> None:
    first = write_raster("b2.tif", _numbers(1), NORTH_UP)
    other = write_raster("b8.tif", _numbers(1, 8, 10), NORTH_UP @ Affine.scale(0.5))
    error = _refused(f"{first},{other}")
    assert error.code == "band-grids"
    assert error.message == (
        "`b2.tif` (5 × 4 pixels) and `b8.tif` (10 × 8 pixels) are not on one grid; the bands of a "
        "raster need the same size, position and CRS."
    )


def test_a_truncated_file_is_called_damaged(write_raster: Any) -> None:
    array = np.random.default_rng(0).integers(0, 60000, (1, 300, 300)).astype(np.uint16)
    path = Path(write_raster("cut.tif", array, NORTH_UP, tiled=True, blockxsize=64, blockysize=64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with Raster.open(str(path)) as raster, pytest.raises(InputError) as caught:
        raster.read(raster.grid.window)
    assert caught.value.code == "unreadable"
    assert caught.value.message.startswith("`cut.tif` cannot be read: ")
    assert caught.value.hint == (
        "The file is damaged or was not copied completely; fetch it again."
    )


def test_a_window_beyond_the_raster_is_the_programmers_fault(write_raster: Any) -> None:
    path = write_raster("small.tif", _numbers(), NORTH_UP)
    with Raster.open(path) as raster, pytest.raises(ValueError, match="reaches beyond"):
        raster.read(Window(-1, 0, 2, 2))
