"""Polygon bytes and files."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from panloom.engine.errors import Cancelled, InputError, OutputError
from panloom.engine.polygons.vector_file import (
    SCHEMA,
    polygon_wkb,
    require_vector_format,
    write_vector_file,
)

SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]
HOLE = [(1, 1), (1, 2), (2, 2), (2, 1), (1, 1)]
TRIANGLE = [(9.5, 9.25), (11, 9), (9, 12), (9.5, 9.25)]


def test_bytes_are_those_of_shapely():
    rings = [SQUARE, HOLE, TRIANGLE, SQUARE]
    xy = np.array([point for ring in rings for point in ring], dtype=float)
    sizes, counts = np.array([len(ring) for ring in rings]), np.array([2, 1, 1])
    offsets, data = polygon_wkb(xy, sizes, counts)
    found = [data[a:b].tobytes() for a, b in zip(offsets[:-1], offsets[1:])]
    expected = [
        shapely.Polygon(SQUARE, [HOLE]), shapely.Polygon(TRIANGLE), shapely.Polygon(SQUARE)
    ]  # fmt: skip
    assert found == [shapely.to_wkb(polygon, byte_order=1) for polygon in expected]


def _batch(first=0, count=3):
    shapes = [shapely.box(k, k, k + 1, k + 2) for k in range(first, first + count)]
    columns = [
        pa.array(range(first, first + count), pa.int32()),
        pa.array([f"class {k}" for k in range(first, first + count)]),
        pa.array([2.5] * count),
        pa.array([None] * count, pa.float64()),
        pa.array([shapely.to_wkb(shape) for shape in shapes], pa.large_binary()),
    ]
    box = [first, first, first + count, first + count + 1]
    return pa.RecordBatch.from_arrays(
        columns, schema=SCHEMA.with_metadata({"box": json.dumps(box)})
    )


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson", ".parquet"])
def test_every_format_keeps_rows_types_and_crs(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    write_vector_file(path, "land", CRS.from_epsg(32632), iter([_batch(), _batch(3)]))
    import geopandas

    layer = geopandas.read_parquet(path) if suffix == ".parquet" else geopandas.read_file(path)
    layer = layer.sort_values("class_code", ignore_index=True)
    assert layer.class_code.tolist() == [0, 1, 2, 3, 4, 5]
    assert layer.class_name[5] == "class 5"
    assert layer.area_m2.tolist() == [2.5] * 6
    assert layer.mean_confidence.isna().all()
    assert layer.crs.to_epsg() == 32632
    assert layer.geometry[5].equals(shapely.box(5, 5, 6, 7))
    if suffix == ".gpkg":
        assert pyogrio.list_layers(path).tolist() == [["land", "Polygon"]]


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson", ".parquet"])
def test_no_rows_and_no_crs_give_an_empty_layer_with_its_columns(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    write_vector_file(path, "land", None, iter([]))
    if suffix == ".parquet":
        assert pq.read_schema(path).names == SCHEMA.names
        assert pq.read_metadata(path).num_rows == 0
        return
    info = pyogrio.read_info(path, force_feature_count=True)
    assert info["features"] == 0
    if suffix != ".geojson":  # which stores columns with the rows only
        assert info["fields"].tolist() == SCHEMA.names[:4]
        assert info["geometry_type"] == "Polygon"
        assert info["crs"] is None or "ndefined" in info["crs"]


def test_geoparquet_metadata(tmp_path):
    path = tmp_path / "map.parquet"
    write_vector_file(path, "land", CRS.from_epsg(32632), iter([_batch(), _batch(3)]))
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert geo["version"] == "1.1.0"
    assert geo["primary_column"] == "geometry"
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32632}
    assert column["bbox"] == [0, 0, 6, 7]
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Polygon"])


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
def test_what_the_batches_raise_comes_out(tmp_path, suffix):
    def batches():
        yield _batch()
        raise Cancelled

    with pytest.raises(Cancelled):
        write_vector_file(tmp_path / f"map{suffix}", "land", None, batches())


def test_a_folder_that_is_not_there(tmp_path):
    for suffix in (".gpkg", ".parquet"):
        with pytest.raises(OutputError) as caught:
            write_vector_file(tmp_path / "no" / f"map{suffix}", "land", None, iter([_batch()]))
        assert caught.value.code == "polygons-unwritable"
        assert caught.value.message.startswith(f"The polygons cannot be written to `map{suffix}`: ")


def test_formats_are_chosen_by_extension():
    require_vector_format("a.GPKG")
    with pytest.raises(InputError) as caught:
        require_vector_format("folder/map.shp")
    assert str(caught.value) == (
        "`map.shp` names no format for polygons; .gpkg (GeoPackage), .fgb (FlatGeobuf), .parquet "
        "(GeoParquet) and .geojson are possible. Give the file one of these extensions."
    )
