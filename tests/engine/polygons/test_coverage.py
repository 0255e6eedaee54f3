"""Simplified polygons leave no gap and no overlap."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from scipy import ndimage

from panloom.engine.polygons.coverage import Coverage, simplify_coverage
from panloom.engine.polygons.layer import write_polygons
from panloom.models.classes import ClassScheme, LandClass

SCHEME = ClassScheme(tuple(LandClass(k, f"class {k}", f"#0000{k:02x}") for k in range(1, 6)))


def _map(tmp_path, codes, transform=None, crs="EPSG:32632"):
    path = tmp_path / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", count=1, width=codes.shape[1],
        height=codes.shape[0], nodata=0, crs=crs,
        transform=transform or Affine(10, 0, 500000, 0, -10, 5000000),
    ) as dataset:  # fmt: skip
        dataset.write(codes, 1)
    return path


def _smooth_map(seed, size=120, classes=5):
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal((size, size)), 3) for _ in range(classes)]
    codes = (np.argmax(fields, axis=0) + 1).astype(np.uint8)
    codes[ndimage.gaussian_filter(rng.standard_normal((size, size)), 4) > 0.08] = 0
    return codes


def _layer(tmp_path, codes, **options):
    path = tmp_path / "out.fgb"
    write_polygons(
        _map(tmp_path, codes), path, SCHEME, layer="out", report=lambda e: None, **options
    )
    return geopandas.read_file(path)


@pytest.mark.parametrize("simplify_m", [0, 7.5, 15, 40])
def test_no_gap_no_overlap_and_a_valid_coverage(tmp_path, simplify_m):
    codes = _smooth_map(1)
    layer = _layer(tmp_path, codes, simplify_m=simplify_m)
    shapes = layer.geometry.to_numpy()
    assert layer.is_valid.all()
    assert shapely.coverage_is_valid(shapes)
    valid_m2 = 100 * np.count_nonzero(codes)
    assert shapely.area(shapes).sum() == pytest.approx(valid_m2, rel=1e-12)
    assert shapely.coverage_union_all(shapes).area == pytest.approx(valid_m2, rel=1e-12)


def test_noisy_map_with_many_meetings_at_corners(tmp_path):
    codes = np.random.default_rng(3).integers(0, 4, (60, 60)).astype(np.uint8)
    layer = _layer(tmp_path, codes, simplify_m=8)
    shapes = layer.geometry.to_numpy()
    assert layer.is_valid.all()
    assert shapely.coverage_is_valid(shapes)
    assert shapely.area(shapes).sum() == pytest.approx(100 * np.count_nonzero(codes), rel=1e-12)


def test_classes_keep_their_area_and_outlines_lose_vertices(tmp_path):
    codes = _smooth_map(2, size=400)
    raw = _layer(tmp_path, codes)
    layer = _layer(tmp_path, codes, simplify_m=10)
    for code, part in layer.groupby("class_code"):
        assert part.area.sum() == pytest.approx(100 * np.count_nonzero(codes == code), rel=0.005)
    vertices = shapely.get_num_coordinates(layer.geometry.to_numpy()).sum()
    assert vertices < 0.75 * shapely.get_num_coordinates(raw.geometry.to_numpy()).sum()
    # area_m2 follows the simplified shape: both agree on the ground scale
    scale = raw.area_m2.sum() / raw.area.sum()
    assert np.allclose(layer.area_m2, layer.area * scale, rtol=1e-5)


def _stairs():
    """Two polygons with a staircase of unit steps between them."""
    line = [(k // 2 + k % 2, k // 2) for k in range(1, 12)]
    upper = [(0, 0), *line, (6, 9), (0, 9), (0, 0)]
    lower = [*line[::-1], (0, 0), (9, 0), (9, 9), (6, 9), line[-1]]
    rings = [np.array(ring, dtype=float) for ring in (upper, lower)]
    return Coverage(np.concatenate(rings), np.array([len(r) for r in rings]), np.array([1, 1]))


@pytest.mark.parametrize(("tolerance", "is_changed"), [(0.70, False), (0.72, True)])
def test_a_staircase_goes_once_the_tolerance_exceeds_its_depth(tolerance, is_changed):
    """A unit step has depth 1/√2 and corner area 1/2, whose root is the depth."""
    before = _stairs()
    after, _ = simplify_coverage(before, tolerance)
    assert (len(after.xy) < len(before.xy)) == is_changed


def test_tolerance_is_in_metres_with_degrees_and_feet_too(tmp_path):
    codes = _smooth_map(4)
    degree = 6371007.2 * np.pi / 180  # metres, near enough at the equator
    count = {}
    for name, crs, pixel in (
        ("metres", "EPSG:32632", 10), ("degrees", "EPSG:4326", 10 / degree),
        ("feet", "EPSG:2263", 10 / 0.3048006096),
    ):  # fmt: skip
        origin = (9.0, 0.0) if name == "degrees" else (300000.0, 60000.0)
        transform = Affine(pixel, 0, origin[0], 0, -pixel, origin[1])
        path = tmp_path / f"{name}.fgb"
        source = _map(tmp_path, codes, transform, crs)
        write_polygons(source, path, SCHEME, layer="x", simplify_m=9, report=lambda e: None)
        shapes = geopandas.read_file(path).geometry.to_numpy()
        count[name] = int(shapely.get_num_coordinates(shapes).sum())
    # Not equal: steps of one size are equal corners, of which rounding picks the first to go.
    assert count["feet"] == pytest.approx(count["metres"], rel=0.02)
    assert count["degrees"] == pytest.approx(count["metres"], rel=0.02)
