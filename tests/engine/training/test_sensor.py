"""Which bands are known, which radiometry follows, and pairs that a base cannot take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from affine import Affine

from panloom.engine.errors import InputError
from panloom.engine.training.scene_list import SceneSource
from panloom.engine.training.sensor import (
    Sensor,
    choose_radiometry,
    gsd_range,
    read_sensor,
    require_pairs_fit,
)
from panloom.models.card import Band
from panloom.models.file import find_model, read_card

from .test_crops import make_scene

WriteRaster = Callable[..., str]
MS_GRID, PAN_GRID = Affine(30, 0, 0, 0, -30, 0), Affine(15, 0, 0, 0, -15, 0)


@pytest.fixture
def write_pair(write_raster: WriteRaster) -> Callable[[tuple[str, ...]], SceneSource]:
    def write(names: tuple[str, ...]) -> SceneSource:
        rng = np.random.default_rng(0)
        ms = rng.integers(1, 200, (len(names), 20, 20)).astype(np.uint16)
        pan = rng.integers(1, 200, (40, 40)).astype(np.uint16)
        return SceneSource(
            write_raster("ms.tif", ms, MS_GRID, descriptions=names),
            write_raster("pan.tif", pan, PAN_GRID),
            "samples.gpkg",
        )

    return write


def test_named_bands_are_known(write_pair: Callable[[tuple[str, ...]], SceneSource]) -> None:
    names = ("Band 1 (blue)", "green", "Red", "NIR")
    sensor = read_sensor(write_pair(names), names)
    assert [b.role for b in sensor.bands] == ["blue", "green", "red", "nir"]
    assert sensor.is_known
    assert sensor.infrared == [3]


def test_a_band_without_a_name_makes_the_sensor_unknown(
    write_pair: Callable[[tuple[str, ...]], SceneSource],
) -> None:
    names = ("blue", "green", "red", "b8")
    sensor = read_sensor(write_pair(names), names)
    assert sensor.bands == (Band("blue", 0), Band("green", 0), Band("red", 0), Band("b8", 0))
    assert not sensor.is_known


def test_dark_objects_need_infrared_bands_that_are_known() -> None:
    scene = make_scene("a", "a", 0, (0, 1))
    bands = (Band("nir", 0.84), Band("green", 0.56), Band("swir1", 1.61))
    found = choose_radiometry(Sensor(bands, is_known=True), [scene])
    assert found == {"kind": "dark-object", "infrared": [0, 2], "zero_from": 2}
    visible = (Band("blue", 0.48), Band("green", 0.56), Band("red", 0.66))
    for sensor in (Sensor(visible, is_known=True), Sensor(bands, is_known=False)):
        assert choose_radiometry(sensor, [scene])["kind"] == "fixed"


def test_constants_come_from_all_scenes() -> None:
    dark, bright = make_scene("a", "a", 0, (0, 1)), make_scene("b", "b", 1, (0, 1))
    bright.sample_ms[:] += 1000
    found = choose_radiometry(Sensor((Band("x", 0),) * 3, is_known=False), [dark, bright])
    assert found["ms_offset"][0] < 100
    assert 1 / found["ms_scale"][0] > 900


def test_pixel_sizes_are_for_the_same_kind_of_sensor() -> None:
    assert gsd_range(30.0) == (20.0, 45.0)
    low, high = gsd_range(None)
    assert low <= 0.3
    assert high >= 1000


def test_a_base_takes_only_its_own_bands_in_its_own_order(
    write_pair: Callable[[tuple[str, ...]], SceneSource],
) -> None:
    base = read_card(find_model("landsat-5class"))
    require_pairs_fit([write_pair(base.band_roles)], base)
    with pytest.raises(InputError) as caught:
        require_pairs_fit([write_pair(("green", "blue", "red", "nir", "swir1", "swir2"))], base)
    assert str(caught.value).startswith(
        "The bands of `ms.tif` are in the order green, blue, red, nir, swir1, swir2; model "
        "`landsat-5class` needs blue, green, red, nir, swir1, swir2."
    )
