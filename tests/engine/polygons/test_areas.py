"""The area table, against geodesic polygons."""

from __future__ import annotations

import csv

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Geod

from panloom.engine.polygons.areas import class_areas, write_areas
from panloom.engine.polygons.layer import write_polygons
from panloom.models.classes import ClassScheme, LandClass

SCHEME = ClassScheme(
    tuple(LandClass(code, name, "#00ff00") for code, name in ((3, "water"), (1, "woods"), (7, "x")))
)


@pytest.fixture
def codes():
    return np.kron(np.random.default_rng(0).integers(0, 4, (30, 40)), np.ones((5, 5))).astype("u1")


def _write(tmp_path, codes, transform, crs, nodata=0):
    path = tmp_path / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", dtype=codes.dtype, count=1, width=codes.shape[1],
        height=codes.shape[0], nodata=nodata, crs=crs, transform=transform,
    ) as dataset:  # fmt: skip
        dataset.write(codes, 1)
    return path


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32632", Affine(10, 0, 300000, 0, -10, 5000000)),
        ("EPSG:4326", Affine(1e-4, 0, 9, 0, -1e-4, 60)),
        ("EPSG:3857", Affine(10, 3, 1000000, 4, -12, 7000000)),
    ],
)
def test_table_polygons_and_geodesic_areas_agree(tmp_path, codes, crs, transform):
    path = _write(tmp_path, codes, transform, crs)
    write_polygons(path, tmp_path / "p.gpkg", SCHEME, layer="p", report=lambda e: None)
    layer = geopandas.read_file(tmp_path / "p.gpkg")
    geod = Geod(ellps="WGS84")
    geodesic = layer.geometry.to_crs(4326).map(lambda g: abs(geod.geometry_area_perimeter(g)[0]))
    for row in class_areas(path, SCHEME):
        mine = layer.class_code == row.class_code
        assert row.pixels == np.count_nonzero(codes == row.class_code)
        assert row.area_m2 == pytest.approx(layer.area_m2[mine].sum(), rel=1e-9)
        assert row.area_m2 == pytest.approx(geodesic[mine].sum(), rel=1e-4)


def test_the_csv_has_every_class_and_shares_of_what_is_classified(tmp_path):
    codes = np.array([[1, 1, 1, 3], [0, 0, 9, 9]], dtype=np.uint8)
    path = _write(tmp_path, codes, Affine(2, 0, 0, 0, -2, 0), None)
    write_areas(path, tmp_path / "areas.csv", SCHEME)
    with (tmp_path / "areas.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["class_code", "class_name", "pixels", "area_m2", "share_percent"],
        ["1", "woods", "3", "12.00", "50.0000"],
        ["3", "water", "1", "4.00", "16.6667"],
        ["7", "x", "0", "0.00", "0.0000"],
        ["9", "Class 9", "2", "8.00", "33.3333"],
    ]


def test_a_map_of_nodata_has_no_area(tmp_path):
    path = _write(tmp_path, np.zeros((3, 3), dtype=np.uint8), Affine(2, 0, 0, 0, -2, 0), None)
    assert {(row.pixels, row.area_m2, row.share_percent) for row in class_areas(path, SCHEME)} == {
        (0, 0.0, 0.0)
    }
