"""The sample pair: Landsat's grids, one landscape in all three files, the same one every time."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.warp import Resampling, reproject

from panloom.engine.recipes import sample
from panloom.engine.sample.pair import TRUTH_CLASSES, write_sample_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_sample_pair(tmp_path_factory.mktemp("sample"), size_ms_px=(150, 120))


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.profile


def test_grids_are_half_a_pan_pixel_apart_and_pan_covers_ms(pair):
    _, ms = read(pair.ms)
    _, pan = read(pair.pan)
    assert (ms["width"], ms["height"], ms["count"]) == (150, 120, 6)
    assert (pan["width"], pan["height"], pan["count"]) == (301, 241, 1)
    assert (ms["transform"].a, pan["transform"].a) == (30, 15)
    assert ms["transform"].c - pan["transform"].c == 7.5
    assert pan["transform"].f - ms["transform"].f == 7.5
    # Landsat's pixel centers lie on multiples of 30 m for MS.
    assert (ms["transform"].c + 15) % 30 == 0
    assert ms["crs"] == pan["crs"] == rasterio.crs.CRS.from_epsg(32630)
    assert (ms["dtype"], pan["dtype"], ms["nodata"], pan["nodata"]) == ("uint16", "uint16", 0, 0)


def test_bands_are_described(pair):
    with rasterio.open(pair.ms) as file:
        assert file.descriptions == ("blue", "green", "red", "nir", "swir1", "swir2")


def averaged_on_ms_grid(pair, shift_m):
    """GDAL's average of the PAN displaced by ``shift_m`` to the right, on the MS grid."""
    values, pan = read(pair.pan)
    _, ms = read(pair.ms)
    result = np.zeros((ms["height"], ms["width"]), np.float32)
    moved = rasterio.Affine.translation(shift_m, 0) @ pan["transform"]
    reproject(
        values[0].astype(np.float32), result, src_transform=moved, src_crs=pan["crs"],
        dst_transform=ms["transform"], dst_crs=ms["crs"], resampling=Resampling.average,
    )  # fmt: skip
    return result[2:-2, 2:-2]


def test_ms_and_pan_show_the_same_ground_to_a_fraction_of_a_pixel(pair):
    bands, _ = read(pair.ms)
    visible = bands[1:3].astype(np.float32).mean(axis=0)[2:-2, 2:-2]
    fits = {
        shift: np.corrcoef(averaged_on_ms_grid(pair, shift).ravel(), visible.ravel())[0, 1]
        for shift in (-7.5, -3.75, 0, 3.75, 7.5)
    }
    assert max(fits, key=fits.get) == 0
    assert fits[0] > 0.98


def test_every_class_occurs_and_looks_like_itself(pair):
    truth, profile = read(pair.truth)
    assert set(np.unique(truth)) == set(TRUTH_CLASSES.codes)
    bands, ms = read(pair.ms)
    # Level-1 counts to reflectance at the sensor, up to the sun's height: (2e-5 · DN − 0.1).
    light = bands.astype(np.float32) * 2e-5 - 0.1
    codes = np.zeros(light.shape[1:], np.uint8)
    reproject(
        truth[0], codes, src_transform=profile["transform"], src_crs=profile["crs"],
        dst_transform=ms["transform"], dst_crs=ms["crs"], resampling=Resampling.mode,
    )  # fmt: skip
    _, green, red, nir, swir1, _ = (
        {code: float(np.median(band[codes == code])) for code in (1, 2, 3, 4, 5)} for band in light
    )
    assert all(nir[1] < nir[code] for code in (2, 3, 4, 5))
    assert green[1] > nir[1]
    assert (nir[3] - red[3]) / (nir[3] + red[3]) > 0.5
    assert (nir[2] - red[2]) / (nir[2] + red[2]) > 0.5
    assert nir[3] > nir[2]
    assert swir1[4] > nir[4]
    pan, _ = read(pair.pan)
    spread = {code: float(pan[0][truth[0] == code].std()) for code in (1, 2, 3, 5)}
    assert spread[5] == max(spread.values())


def test_the_seed_decides(pair, tmp_path):
    again = write_sample_pair(tmp_path / "again", size_ms_px=(150, 120))
    other = write_sample_pair(tmp_path / "other", size_ms_px=(150, 120), seed=1)
    for role in ("ms", "pan", "truth"):
        first = read(getattr(pair, role))[0]
        assert np.array_equal(first, read(getattr(again, role))[0])
        assert not np.array_equal(first, read(getattr(other, role))[0])


def test_the_recipe_names_what_it_wrote_and_replaces_nothing_unasked(tmp_path):
    options = sample.SampleOptions(str(tmp_path / "new" / "folder"), size_px=40)
    result = sample.run(options, lambda event: None)
    assert sorted(result.outputs) == ["ms", "pan", "truth"]
    for path in result.outputs.values():
        assert rasterio.open(path).width in (40, 81)
    with pytest.raises(sample.OutputError) as caught:
        sample.run(options, lambda event: None)
    assert str(caught.value) == (
        "`sample_ms.tif` exists already. Choose another name, or allow overwriting (`--overwrite`)."
    )


def test_a_size_that_cannot_be_made_has_its_sentence(tmp_path):
    with pytest.raises(sample.InputError) as caught:
        sample.run(sample.SampleOptions(str(tmp_path / "x"), size_px=10), lambda event: None)
    assert str(caught.value) == "A sample pair of 10 MS pixels cannot be made. Choose 32 to 2000."
    assert not (tmp_path / "x").exists()
