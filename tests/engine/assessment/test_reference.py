"""Reference samples against brute force, and the account of what cannot be compared."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from scipy.io import savemat

from panloom.engine.assessment.reference import open_reference, pairs
from panloom.engine.errors import InputError
from panloom.engine.polygons.strips import ClassMapReader

NAMES = {1: "Water", 2: "Forest", 3: "Bare ground"}
GRID = Affine(10, 0, 500_000, 0, -10, 5_000_000)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def raster(path, array, transform=GRID, crs=32630, **profile):
    array = np.asarray(array)
    array = array[None] if array.ndim == 2 else array
    with rasterio.open(
        path, "w", driver="GTiff", width=array.shape[2], height=array.shape[1],
        count=array.shape[0], dtype=array.dtype, crs=CRS.from_epsg(crs) if crs else None,
        transform=transform, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(array)
    return str(path)


def vector(path, geometry, crs=32630, **columns):
    geopandas.GeoDataFrame(columns, geometry=list(geometry), crs=crs).to_file(path)
    return str(path)


@pytest.fixture(scope="module")
def codes():
    """60 × 80 map codes with some nodata."""
    return np.random.default_rng(2).integers(0, 4, (60, 80)).astype(np.uint8)


@pytest.fixture
def land(tmp_path, codes):
    return raster(tmp_path / "map.tif", codes, nodata=0)


def compare(map_path, path, field=None, closed=True):
    """Return (row, col, reference code, map code) of all samples, and the reference."""
    found = []
    with ClassMapReader(map_path) as reader:
        reference = open_reference(path, field, reader.grid, NAMES, closed=closed)
        for pair in pairs(reader, reference):
            labels = pair.labels
            found += zip(labels.row, labels.col, labels.code, pair.map_code, strict=True)
        reference.close()
    return sorted(tuple(int(v) for v in sample) for sample in found), reference


def test_points_in_another_crs_fall_into_their_pixels(tmp_path, land, codes, monkeypatch):
    monkeypatch.setattr("panloom.engine.polygons.strips.STRIP_PIXELS", 500)
    rng = np.random.default_rng(7)
    x, y = 500_000 + rng.uniform(-50, 850, 300), 5_000_000 - rng.uniform(-50, 650, 300)
    classes = rng.integers(1, 4, 300)
    points = geopandas.GeoSeries(shapely.points(x, y), crs=32630).to_crs(4326)
    path = vector(tmp_path / "p.gpkg", points, 4326, kind=[NAMES[c].upper() for c in classes])
    found, reference = compare(land, path, "kind")
    expected = []
    for px, py, code in zip(x, y, classes, strict=True):
        col, row = int((px - 500_000) // 10), int((5_000_000 - py) // 10)
        if 0 <= col < 80 and 0 <= row < 60:
            expected.append((row, col, int(code), int(codes[row, col])))
    assert found == sorted(expected)
    assert reference.tally.features == 300
    assert reference.tally.outside == 300 - len(expected) > 0
    lost = [code for _, _, code, mapped in expected if mapped == 0]
    assert reference.tally.map_nodata == {c: lost.count(c) for c in sorted(set(lost))}


def test_polygons_take_the_pixels_whose_centers_lie_inside(tmp_path, land, codes, monkeypatch):
    monkeypatch.setattr("panloom.engine.polygons.strips.STRIP_PIXELS", 800)
    polygons = [
        shapely.Point(500_203.3, 4_999_801.7).buffer(93),
        shapely.Polygon([(500_403, 4_999_903), (500_777, 4_999_411), (500_391, 4_999_507)]),
        shapely.box(500_101.5, 4_999_601.5, 500_104, 4_999_604),  # between the centers
        shapely.box(0, 0, 10, 10),  # far away
    ]
    path = vector(tmp_path / "p.gpkg", polygons, code=["1", "3", "2", "2"])
    found, reference = compare(land, path, "code")
    rows, cols = (axis.ravel() for axis in np.indices(codes.shape))
    expected = []
    for polygon, code in zip(polygons, (1, 3, 2, 2), strict=True):
        inside = shapely.contains_xy(polygon, *(GRID @ (cols + 0.5, rows + 0.5)))
        expected += [(int(r), int(c), code, int(codes[r, c])) for r, c in
                     zip(rows[inside], cols[inside], strict=True)]  # fmt: skip
    assert found == sorted(expected)
    assert len(found) > 500
    assert reference.tally.without_pixel == 1
    assert reference.tally.outside == 1


def test_where_polygons_contradict_each_other_nothing_is_compared(tmp_path, land):
    boxes = [shapely.box(500_000, 4_999_900, 500_100, 5_000_000),
             shapely.box(500_050, 4_999_900, 500_150, 5_000_000),
             shapely.box(500_000, 4_999_950, 500_020, 5_000_000)]  # fmt: skip
    found, reference = compare(land, vector(tmp_path / "p.gpkg", boxes, c=[1, 2, 1]), "c")
    assert reference.tally.contradictory_px == 50
    assert len(found) == 100
    assert len({sample[:2] for sample in found}) == 100


def test_features_without_a_class_are_counted(tmp_path, land):
    points = [shapely.Point(500_005, 4_999_995)] * 5 + [None]
    path = vector(tmp_path / "p.gpkg", points, c=["Water", None, " ", "0", "2.0", "Water"])
    found, reference = compare(land, path, "c")
    assert [sample[2] for sample in found] == [1, 2]
    assert reference.tally.unlabelled == 4
    assert reference.tally.features == 6


def test_a_raster_in_another_crs_is_read_at_the_pixel_centers(tmp_path, land, codes):
    labels = np.random.default_rng(3).integers(0, 4, (50, 50)).astype(np.int16)
    labels[:, :4] = -9
    to_other = Transformer.from_crs(32630, 32629, always_xy=True)
    left, top = to_other.transform(499_950, 5_000_060)
    grid = Affine(20, 0, left, 0, -20, top)
    path = raster(tmp_path / "r.tif", labels, grid, 32629, nodata=-9)
    found, reference = compare(land, path)
    rows, cols = (axis.ravel() for axis in np.indices(codes.shape))
    other_cols, other_rows = ~grid @ to_other.transform(*(GRID @ (cols + 0.5, rows + 0.5)))
    expected = set()
    for r, c, i, j in zip(rows, cols, np.floor(other_rows), np.floor(other_cols), strict=True):
        if 0 <= i < 50 and 0 <= j < 50 and labels[int(i), int(j)] > 0:
            expected.add((int(r), int(c), int(labels[int(i), int(j)]), int(codes[r, c])))
    assert len(expected) > 1500
    assert found == sorted(expected)
    assert reference.pixels_per_sample == pytest.approx(4, rel=0.02)


def test_a_raster_of_the_same_grid_is_compared_pixel_by_pixel(tmp_path, land, codes):
    labels = np.random.default_rng(3).integers(0, 4, (2, *codes.shape)).astype(np.float32)
    labels[0, 5, 5] = np.nan
    found, reference = compare(land, raster(tmp_path / "r.tif", labels))
    where = [(int(r), int(c)) for r, c in np.argwhere(np.nan_to_num(labels[0]) > 0)]
    assert found == [(r, c, int(labels[0, r, c]), int(codes[r, c])) for r, c in where]
    assert reference.notes == ["`r.tif` has 2 bands; the first one holds the classes."]
    assert reference.pixels_per_sample == 1


def test_without_georeference_the_smaller_raster_covers_the_map(tmp_path, codes):
    plain = Affine.identity()
    land = raster(tmp_path / "map.tif", codes, plain, None)
    labels = np.random.default_rng(3).integers(0, 4, (30, 40)).astype(np.uint8)
    found, reference = compare(land, raster(tmp_path / "r.tif", labels, plain, None))
    fine = np.kron(labels, np.ones((2, 2), np.uint8))
    assert found == [
        (int(r), int(c), int(fine[r, c]), int(codes[r, c])) for r, c in np.argwhere(fine > 0)
    ]
    assert reference.pixels_per_sample == 4


def test_a_label_array_covers_the_map(tmp_path, land, codes):
    labels = np.random.default_rng(3).integers(0, 4, (15, 20))
    np.save(tmp_path / "l.npy", labels.astype(np.float32))
    savemat(tmp_path / "l.mat", {"test": labels.astype(np.uint8), "train": labels * 0})
    fine = np.kron(labels, np.ones((4, 4), int))
    expected = [
        (int(r), int(c), int(fine[r, c]), int(codes[r, c])) for r, c in np.argwhere(fine > 0)
    ]
    for name, field in (("l.npy", None), ("l.mat", "test")):
        found, reference = compare(land, str(tmp_path / name), field)
        assert found == expected
        assert (reference.kind, reference.pixels_per_sample) == ("raster", 16)
    np.save(tmp_path / "m.npy", labels + 1)
    sentence(
        land, str(tmp_path / "m.npy"), None,
        f"The reference `m.npy` has a class that the map does not have: `4` ({(labels == 3).sum()})"
        ". The map's classes are 1 Water, 2 Forest, 3 Bare ground. Give each sample one of these "
        "codes or names, and 0 to what shall not be compared.",
    )  # fmt: skip


def test_other_codes_may_occur_where_the_map_declares_no_classes(tmp_path, land):
    path = vector(tmp_path / "p.gpkg", [shapely.Point(500_005, 4_999_995)], class_code=[9])
    assert compare(land, path, closed=False)[0][0][2] == 9
    with pytest.raises(InputError):
        compare(land, path)


def test_a_layer_is_named_as_qgis_does(tmp_path, land):
    path = tmp_path / "two.gpkg"
    for layer, code in (("north", 1), ("south", 2)):
        geopandas.GeoDataFrame(
            {"class_code": [code]}, geometry=[shapely.Point(500_005, 4_999_995)], crs=32630
        ).to_file(path, layer=layer)
    assert compare(land, f"{path}|layername=south")[0][0][2] == 2
    sentence(
        land, str(path), None,
        "`two.gpkg` has 2 layers (north, south); one is needed. "
        'Name it, as in "two.gpkg|layername=north".',
    )  # fmt: skip
    sentence(
        land, f"{path}|layername=east", None,
        "`two.gpkg` has no layer `east`; it has north, south. Name one of these.",
    )  # fmt: skip


def sentence(map_path, path, field, expected):
    with pytest.raises(InputError) as caught:
        compare(map_path, path, field)
    assert str(caught.value) == expected


POINT = shapely.Point(500_005, 4_999_995)


def test_sentences_about_fields_and_classes(tmp_path, land):
    path = vector(tmp_path / "p.gpkg", [POINT] * 3, kind=["Marsh", "marsh", "Water"], id=[1, 2, 3])
    sentence(
        land, path, "class",
        "`p.gpkg` has no field `class`; its fields are `kind`, `id`. "
        "Name one of these with `--class-field`.",
    )  # fmt: skip
    sentence(
        land, path, None,
        "Which field of `p.gpkg` holds the class is not said; its fields are `kind`, `id`. "
        "Name one with `--class-field`.",
    )  # fmt: skip
    sentence(
        land, path, "kind",
        "The reference `p.gpkg` has classes that the map does not have: `Marsh` (1), `marsh` (1). "
        "The map's classes are 1 Water, 2 Forest, 3 Bare ground. Give each sample one of these "
        "codes or names, and 0 to what shall not be compared.",
    )  # fmt: skip
    labels = np.zeros((60, 80), np.uint8)
    labels[:2, :2] = 7
    sentence(
        land, raster(tmp_path / "r.tif", labels), None,
        "The reference `r.tif` has a class that the map does not have: `7` (4). "
        "The map's classes are 1 Water, 2 Forest, 3 Bare ground. Give each sample one of these "
        "codes or names, and 0 to what shall not be compared.",
    )  # fmt: skip


def test_sentences_about_crs(tmp_path, land, codes):
    no_crs = raster(tmp_path / "plain.tif", codes, GRID, None)
    sentence(
        land, vector(tmp_path / "p.gpkg", [POINT], None, class_code=[1]), None,
        "The reference `p.gpkg` has no CRS; the map has one. "
        "Assign the layer's CRS (in QGIS: Layer > Set CRS, then export it).",
    )  # fmt: skip
    sentence(
        no_crs, vector(tmp_path / "q.gpkg", [POINT], class_code=[1]), None,
        "The map has no CRS; the reference `q.gpkg` has WGS 84 / UTM zone 30N. "
        "Assign the map's CRS, for example with gdal_edit.py -a_srs.",
    )  # fmt: skip
    sentence(
        land, no_crs, None,
        "The reference `plain.tif` has no CRS; the map has one. "
        "Assign the raster's CRS, for example with gdal_edit.py -a_srs.",
    )  # fmt: skip
    sentence(
        no_crs, land, None,
        "The map has no CRS; the reference `map.tif` has one. "
        "Assign the map's CRS, for example with gdal_edit.py -a_srs.",
    )  # fmt: skip
    map_px = raster(tmp_path / "px.tif", codes, Affine.identity(), None)
    other = raster(tmp_path / "o.tif", codes[:, :50], Affine.identity(), None)
    sentence(
        map_px, other, None,
        "Neither the map (80 × 60 pixels) nor the reference `o.tif` (50 × 60 pixels) is "
        "georeferenced, and the shapes differ. "
        "Give a reference of the map's size, or georeference both.",
    )  # fmt: skip


def test_sentences_about_files(tmp_path, land):
    lines = vector(tmp_path / "l.gpkg", [shapely.LineString([(0, 0), (1, 1)])], class_code=[1])
    sentence(
        land, lines, None,
        "The reference `l.gpkg` holds LineString; points or polygons are needed, not both. "
        "Choose a layer of points or of polygons.",
    )  # fmt: skip
    sentence(
        land, str(tmp_path / "no.gpkg"), None,
        f"There is no file `{tmp_path / 'no.gpkg'}`. Check the path, or choose another file.",
    )  # fmt: skip
    (tmp_path / "text.txt").write_text("hello", encoding="utf-8")
    sentence(
        land, str(tmp_path / "text.txt"), None,
        "The reference `text.txt` is neither a vector layer nor a raster that can be read. "
        "Choose points, polygons or a raster of class codes.",
    )  # fmt: skip
    (tmp_path / "table.csv").write_text("class_code,x\n1,2\n", encoding="utf-8")
    sentence(
        land, str(tmp_path / "table.csv"), None,
        "`table.csv` is a table without geometry; points or polygons are needed. "
        "Make a point layer of its coordinates first.",
    )  # fmt: skip
