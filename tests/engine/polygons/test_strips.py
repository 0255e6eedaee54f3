"""Class maps read in strips: nodata by value and by mask, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from panloom.engine.errors import InputError
from panloom.engine.polygons.strips import ClassMapReader

CODES = np.array([[1, 2, 0], [3, 3, 255]], dtype=np.uint8)


def _write(path, array, *, nodata=None, mask=None, left=0.0):
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", dtype=array.dtype, count=1, width=array.shape[1],
            height=array.shape[0], nodata=nodata, transform=Affine(1, 0, left, 0, -1, 0),
        ) as dataset,
    ):  # fmt: skip
        dataset.write(array, 1)
        if mask is not None:
            dataset.write_mask(mask)
    return str(path)


def _read(path, rows=None):
    with ClassMapReader(path) as reader:
        strips = list(reader.strips(rows))
        return [s.row for s in strips], np.concatenate([s.codes for s in strips]), reader.empty


def test_nodata_is_the_declared_value_or_0(tmp_path):
    assert _read(_write(tmp_path / "a.tif", CODES, nodata=255))[2] == 255
    assert _read(_write(tmp_path / "b.tif", CODES))[2] == 0
    rows, codes, _ = _read(_write(tmp_path / "c.tif", CODES), rows=1)
    assert rows == [0, 1]
    assert np.array_equal(codes, CODES)


def test_a_mask_band_hides_pixels(tmp_path):
    mask = np.array([[True, False, True], [True, True, False]])
    _, codes, empty = _read(_write(tmp_path / "a.tif", CODES, mask=mask))
    assert np.array_equal(codes == empty, ~mask)
    assert np.array_equal(codes[mask], CODES[mask])


def _sentence(*arguments):
    with pytest.raises(InputError) as caught:
        ClassMapReader(*arguments)
    return caught.value.code, str(caught.value)


def test_what_is_refused_and_how(tmp_path):
    path = _write(tmp_path / "map.tif", CODES)
    assert _sentence("/nowhere/x.tif") == (
        "no-file", "The class map `/nowhere/x.tif` does not exist. Check the path."
    )  # fmt: skip
    text = tmp_path / "notes.txt"
    text.write_text("no raster")
    assert _sentence(str(text))[0] == "not-a-raster"
    floats = _write(tmp_path / "f.tif", CODES.astype(np.float32))
    assert _sentence(floats) == (
        "not-a-class-map",
        f"The first band of `{floats}` is float32; a class map holds whole numbers of at most 32 "
        "bits with a sign. Give the class map, or convert it with `gdal_translate -ot Int32`.",
    )
    assert _sentence(path, floats)[0] == "confidence-type"
    other = _write(tmp_path / "o.tif", CODES[:, :2])
    assert _sentence(path, other) == (
        "confidence-grid",
        f"The confidence raster `{other}` has 2 × 2 pixels and the class map `{path}` 3 × 2; both "
        "need the same grid. Give the confidence raster of the same run.",
    )
    moved = _write(tmp_path / "m.tif", CODES, left=1.0)
    assert _sentence(path, moved) == (
        "confidence-grid",
        f"The confidence raster `{moved}` and the class map `{path}` lie on different ground; both "
        "need the same grid. Give the confidence raster of the same run.",
    )
