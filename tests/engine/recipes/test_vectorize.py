"""``vectorize`` from a class map to files."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine

from panloom.engine.errors import Cancelled, InputError, OutputError
from panloom.engine.events import Message, Progress
from panloom.engine.recipes.vectorize import VectorizeOptions, run

CLASSES = [
    {"code": 1, "name": "water", "color": "#2c7fb8"},
    {"code": 2, "name": "woods", "color": "#1b7837"},
    {"code": 3, "name": "town", "color": "#d7191c"},
]
UTM = Affine(10, 0, 500000, 0, -10, 5000000)


def _write(path, array, *, transform=UTM, crs="EPSG:32632", nodata=0, tagged=True):
    with rasterio.open(
        path, "w", driver="GTiff", dtype=array.dtype, count=1, width=array.shape[1],
        height=array.shape[0], nodata=nodata, crs=crs, transform=transform,
    ) as dataset:  # fmt: skip
        dataset.write(array, 1)
        if tagged:
            dataset.update_tags(PANLOOM_CLASSES=json.dumps(CLASSES))
    return str(path)


def _vectorize(path, output, **options):
    events = []
    result = run(VectorizeOptions(path, str(output), **options), events.append)
    return result, events


@pytest.fixture
def codes():
    blocks = np.random.default_rng(1).integers(0, 4, (12, 15))
    return np.kron(blocks, np.ones((4, 4))).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson", ".parquet"])
def test_polygons_with_their_attributes_and_style(tmp_path, codes, suffix):
    path = _write(tmp_path / "map.tif", codes)
    percent = np.where(codes == 2, 255, codes * 20).astype(np.uint8)
    confidence = _write(tmp_path / "confidence.tif", percent, nodata=255)
    output = tmp_path / f"Land Ä{suffix}"
    result, events = _vectorize(path, output, confidence=confidence)
    read = geopandas.read_parquet if suffix == ".parquet" else geopandas.read_file
    layer = read(output)
    assert result.summary == {"polygons": len(layer)}
    assert result.outputs == {
        "polygons": str(output), "polygons_style": str(output.with_suffix(".qml"))
    }  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["map.tif", "confidence.tif", output.name, "Land Ä.qml"]
    )
    assert layer.crs.to_epsg() == 32632
    names = {c["code"]: c["name"] for c in CLASSES}
    assert layer.class_name.tolist() == [names[c] for c in layer.class_code]
    for code in (1, 2, 3):
        part = layer[layer.class_code == code]
        assert part.area.sum() == 100 * np.count_nonzero(codes == code)
        expected = {20 * code} if code != 2 else {None}
        assert {None if np.isnan(v) else v for v in part.mean_confidence.astype(float)} == expected
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert all(p.exterior.is_ccw for p in layer.geometry)


def test_too_small_regions_join_and_the_map_is_left_alone(tmp_path, codes):
    path = _write(tmp_path / "map.tif", codes)
    before = (tmp_path / "map.tif").read_bytes()
    _vectorize(path, tmp_path / "raw.fgb")
    _vectorize(path, tmp_path / "merged.fgb", mmu_m2=5000, simplify_m=10)
    raw, merged = (geopandas.read_file(tmp_path / f"{n}.fgb") for n in ("raw", "merged"))
    assert len(merged) < len(raw)
    assert merged.area.sum() == pytest.approx(raw.area.sum(), rel=1e-12)
    assert (tmp_path / "map.tif").read_bytes() == before


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32632", Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(10, -10)),
        ("EPSG:32632", Affine(10, 0, 500000, 0, 10, 5000000)),
        ("EPSG:4326", Affine(1e-4, 0, 8, 0, -1e-4, 50)),
        (None, Affine(1, 0, 0, 0, -1, 0)),
    ],
)
def test_rotated_south_up_geographic_and_maps_without_a_crs(tmp_path, codes, crs, transform):
    path = _write(tmp_path / "map.tif", codes, crs=crs, transform=transform)
    _, events = _vectorize(path, tmp_path / "out.gpkg", mmu_m2=1e-9, simplify_m=1e-9)
    layer = geopandas.read_file(tmp_path / "out.gpkg")
    with rasterio.open(path) as dataset:
        for code, point in zip(layer.class_code, layer.representative_point()):
            assert next(dataset.sample([(point.x, point.y)]))[0] == code
    assert all(polygon.exterior.is_ccw for polygon in layer.geometry)
    warnings = [e.text for e in events if isinstance(e, Message) and e.level == "warning"]
    assert warnings == (
        []
        if crs
        else [
            "The class map has no CRS: area_m2 is in squared units of its own coordinates "
            "(pixels²)."
        ]
    )
    if crs is None:
        assert layer.area_m2.sum() == pytest.approx(np.count_nonzero(codes))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
@pytest.mark.parametrize("code", [0, 2])
@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_one_pixel_strips_and_nothing_but_nodata(tmp_path, shape, code, suffix):
    path = _write(tmp_path / "map.tif", np.full(shape, code, dtype=np.uint8))
    output = tmp_path / f"out{suffix}"
    result, _ = _vectorize(path, output, mmu_m2=500, simplify_m=20)
    assert result.summary == {"polygons": int(code > 0)}
    layer = (geopandas.read_parquet if suffix == ".parquet" else geopandas.read_file)(output)
    columns = {"class_code", "class_name", "area_m2", "mean_confidence", "geometry"}
    assert set(layer.columns) == columns
    assert layer.area.sum() == (100 * shape[0] * shape[1] if code else 0)


def test_a_map_from_elsewhere_gets_names_from_its_codes(tmp_path):
    path = _write(
        tmp_path / "map.tif", np.array([[4, 9, 200]], dtype=np.int16), nodata=-1, tagged=False
    )
    _vectorize(path, tmp_path / "out.fgb")
    layer = geopandas.read_file(tmp_path / "out.fgb").sort_values("class_code")
    assert layer.class_name.tolist() == ["Class 4", "Class 9", "Class 200"]


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
def test_cancel_leaves_nothing_behind(tmp_path, codes, suffix):
    path = _write(tmp_path / "map.tif", codes)

    def cancel(event):
        raise Cancelled

    with pytest.raises(Cancelled):
        run(VectorizeOptions(path, str(tmp_path / f"out{suffix}")), cancel)
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]


def test_what_is_refused_leaves_nothing_behind(tmp_path, codes):
    path = _write(tmp_path / "map.tif", codes)
    floats = _write(tmp_path / "float.tif", codes.astype(np.float32))
    (tmp_path / "there.gpkg").write_text("keep")
    before = sorted(p.name for p in tmp_path.iterdir())
    for source, name, options, error, code in (
        (path, "out.shp", {}, InputError, "polygon-format"),
        (path, "there.gpkg", {}, OutputError, "output-exists"),
        (path, "out.gpkg", {"mmu_m2": -1.0}, InputError, "bad-amount"),
        (path, "out.gpkg", {"simplify_m": float("nan")}, InputError, "bad-amount"),
        (floats, "out.gpkg", {}, InputError, "not-a-class-map"),
        (path, "out.gpkg", {"confidence": floats}, InputError, "confidence-type"),
        (str(tmp_path / "no.tif"), "out.gpkg", {}, InputError, "no-file"),
    ):
        with pytest.raises(error) as caught:
            _vectorize(source, tmp_path / name, **options)
        assert caught.value.code == code
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert (tmp_path / "there.gpkg").read_text() == "keep"
    _vectorize(path, tmp_path / "there.gpkg", overwrite=True)
    assert len(geopandas.read_file(tmp_path / "there.gpkg"))


def test_amounts_are_refused_with_a_sentence(tmp_path, codes):
    path = _write(tmp_path / "map.tif", codes)
    with pytest.raises(InputError) as caught:
        _vectorize(path, tmp_path / "out.gpkg", mmu_m2=-1.0)
    assert str(caught.value) == (
        "mmu_m2 is -1.0; a number of m², 0 or more, is needed. Give 0 to leave it out."
    )


def test_a_real_scene(tmp_path, data_dir):
    """The interpreted labels of a Landsat scene: polygons cover exactly what is labelled."""
    source = data_dir / "landsat8_liverpool" / "labels.tif"
    with rasterio.open(source) as dataset:
        labels, area = dataset.read(1), abs(dataset.transform.determinant)
    _vectorize(str(source), tmp_path / "out.gpkg", simplify_m=20)
    layer = geopandas.read_file(tmp_path / "out.gpkg")
    assert layer.is_valid.all()
    assert layer.area.sum() == pytest.approx(area * np.count_nonzero(labels), rel=1e-9)
