"""Samples of every kind on the MS grid against brute force, and a sentence for each bad one."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.enums import ColorInterp
from rasterio.features import rasterize
from scipy.io import savemat

from panloom.engine.errors import InputError
from panloom.engine.events import Progress
from panloom.engine.scene.pair import ScenePair
from panloom.engine.training.scene_list import SceneSource
from panloom.engine.training.training_set import load_training_set
from panloom.models.classes import ClassScheme, LandClass

MS = Affine(8, 0, 500_000, 0, -8, 5_000_000)
PAN = MS @ Affine.scale(1 / 4)
SHAPE = (40, 50)
PLAIN = Affine.identity()
pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:'crs' was not provided"),
]


def images(bands=4, ratio=4, shape=SHAPE, dtype=np.uint16, seed=0):
    """Return ms (C, h, w) and pan (r·h, r·w) without zeros."""
    rng = np.random.default_rng(seed)
    ms = rng.integers(1, 200, (bands, *shape)).astype(dtype)
    return ms, rng.integers(1, 200, (shape[0] * ratio, shape[1] * ratio)).astype(dtype)


@pytest.fixture
def pair(write_raster):
    """Paths of a georeferenced pair at ratio 4; the MS has nodata in its first three rows."""
    ms, pan = images()
    ms[:, :3] = 0
    return write_raster("ms.tif", ms, MS, nodata=0), write_raster("pan.tif", pan, PAN)


def vector(path, geometry, crs=32630, **columns):
    geopandas.GeoDataFrame(columns, geometry=list(geometry), crs=crs).to_file(path)
    return str(path)


def load(ms, pan, samples, field=None, scheme=None, ratio=None):
    source = SceneSource(ms, pan, samples, field)
    return load_training_set([source], scheme=scheme, ratio=ratio, report=lambda event: None)


def sentence(expected, *arguments, **options):
    with pytest.raises(InputError) as caught:
        load(*arguments, **options)
    assert str(caught.value) == expected


def expected_labels(shapes, invalid_rows=3):
    """Return class indices (h, w) as rasterio burns them."""
    labels = rasterize(shapes, SHAPE, transform=MS, fill=-1, dtype=np.int16)
    labels[:invalid_rows] = -1
    return labels


# --- every kind of samples ---


def test_polygons_in_another_crs_label_the_centers_they_hold(tmp_path, pair):
    polygons = [
        shapely.Point(500_103.3, 4_999_861.7).buffer(53),
        shapely.Polygon([(500_203, 4_999_903), (500_377, 4_999_711), (500_191, 4_999_807)]),
        shapely.Point(500_303.3, 4_999_981.7).buffer(30),  # reaches into nodata
        shapely.box(500_005, 4_999_905, 500_007, 4_999_907),  # between the centers
        shapely.box(0, 0, 10, 10),  # far away
    ]
    dense = [p.segmentize(2) for p in polygons]
    path = vector(
        tmp_path / "p.gpkg", geopandas.GeoSeries(dense, crs=32630).to_crs(4326), 4326,
        kind=["water", " Forest", "Water", "forest ", "Water"],
    )  # fmt: skip
    found = load(*pair, path, "kind")
    assert [(c.code, c.name) for c in found.scheme.classes] == [(1, "Forest"), (2, "Water")]
    wanted = expected_labels([(polygons[0], 1), (polygons[1], 0), (polygons[2], 1)])
    scene = found.scenes[0]
    assert np.array_equal(scene.labels, wanted)
    owner = expected_labels([(polygons[i], i) for i in range(3)])
    assert np.array_equal(scene.features, owner)
    burned = rasterize([(polygons[2], 1)], SHAPE, transform=MS, fill=0)
    lost = int(burned[:3].sum())
    assert lost > 3
    assert found.notes[-1] == (
        "Not used of `p.gpkg`: 1 polygon outside of the scene, 1 polygon around the center of no "
        f"pixel, {lost} samples on the scene's nodata."
    )
    assert (found.ratio, found.gsd_m, found.band_names) == (
        4, pytest.approx(8), ("band 1", "band 2", "band 3", "band 4"),
    )  # fmt: skip


def test_where_polygons_of_two_classes_meet_nothing_is_labelled(tmp_path, pair):
    boxes = [shapely.box(500_000, 4_999_800, 500_160, 4_999_880),
             shapely.box(500_080, 4_999_800, 500_240, 4_999_880)]  # fmt: skip
    found = load(*pair, vector(tmp_path / "p.gpkg", boxes, code=[1, 2]), "code")
    both = expected_labels([(boxes[0] & boxes[1], 1)]) == 1
    wanted = expected_labels([(boxes[0], 0), (boxes[1], 1)])
    wanted[both] = -1
    assert np.array_equal(found.scenes[0].labels, wanted)
    assert found.notes[-1] == (
        f"Not used of `p.gpkg`: {int(both.sum())} pixels in polygons of different classes."
    )


def test_points_label_the_pixel_they_lie_in(tmp_path, pair):
    rng = np.random.default_rng(7)
    x, y = 500_000 + rng.uniform(-40, 440, 300), 5_000_000 - rng.uniform(-40, 360, 300)
    classes = rng.integers(1, 4, 300)
    points = geopandas.GeoSeries(shapely.points(x, y), crs=32630).to_crs(32629)
    path = vector(tmp_path / "p.gpkg", points, 32629, code=classes.astype(float))
    found = load(*pair, path, "code")
    held: dict[tuple[int, int], set[int]] = {}
    outside = 0
    for px, py, code in zip(x, y, classes, strict=True):
        col, row = int(np.floor((px - 500_000) / 8)), int(np.floor((5_000_000 - py) / 8))
        if 0 <= col < 50 and 0 <= row < 40:
            held.setdefault((row, col), set()).add(int(code))
        else:
            outside += 1
    wanted = np.full(SHAPE, -1)
    for (row, col), codes in held.items():
        if len(codes) == 1 and row >= 3:
            wanted[row, col] = codes.pop() - 1
    assert np.array_equal(found.scenes[0].labels, wanted)
    assert f"{outside} points outside of the scene" in found.notes[-1]
    assert "pixels in points of different classes" in found.notes[-1]


def test_a_raster_in_another_crs_is_taken_at_the_pixel_centers(pair, write_raster):
    codes = np.random.default_rng(3).integers(0, 4, (30, 30)).astype(np.int16)
    codes[:, :4] = -9
    to_other = Transformer.from_crs(32630, 32629, always_xy=True)
    left, top = to_other.transform(499_950, 5_000_060)
    grid = Affine(20, 0, left, 0, -20, top)
    found = load(*pair, write_raster("r.tif", codes, grid, 32629, nodata=-9))
    rows, cols = np.indices(SHAPE)
    there_cols, there_rows = ~grid @ to_other.transform(*(MS @ (cols + 0.5, rows + 0.5)))
    i, j = np.floor(there_rows).astype(int), np.floor(there_cols).astype(int)
    inside = (i >= 0) & (j >= 0) & (i < 30) & (j < 30)
    wanted = np.where(inside, codes[np.clip(i, 0, 29), np.clip(j, 0, 29)], 0)
    wanted = np.where((wanted > 0) & (rows >= 3), wanted - 1, -1)
    assert (wanted >= 0).sum() > 500
    assert np.array_equal(found.scenes[0].labels, wanted)
    assert found.scenes[0].features is None
    assert [c.name for c in found.scheme.classes] == ["Class 1", "Class 2", "Class 3"]


def test_an_array_lies_on_the_ms_file_even_where_the_scene_is_a_part_of_it(tmp_path, write_raster):
    ms, pan = images()
    south_up = Affine(8, 0, 500_000, 0, 8, 5_000_000 - 40 * 8)
    paths = (
        write_raster("ms.tif", ms, south_up),
        write_raster("pan.tif", pan[40:120, 20:100], PAN @ Affine.translation(20, 40)),
    )
    codes = np.random.default_rng(1).integers(0, 3, SHAPE).astype(np.uint8)
    np.save(tmp_path / "l.npy", codes)
    found = load(*paths, f"{tmp_path}/l.npy")
    with ScenePair.open(*paths) as opened:
        assert opened.ms.grid.shape == (20, 20)
    wanted = codes[::-1][10:30, 5:25].astype(int) - 1  # the file's first row is the southernmost
    assert np.array_equal(found.scenes[0].labels, wanted)
    assert np.array_equal(found.scenes[0].ms, ms[:, ::-1][:, 10:30, 5:25])


# --- the field's data sets: ms4.tif, pan.tif, label.npy, without georeference ---


def field_folder(write_raster, ms, pan, **profile):
    """Write a pair as tifffile writes arrays of four bands: the last one is marked as alpha."""
    colors = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    return (
        write_raster("ms4.tif", ms, PLAIN, None, colors=colors, photometric="RGB", **profile),
        write_raster("pan.tif", pan, PLAIN, None),
    )


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_field_s_data_sets_run_unchanged(tmp_path, write_raster, interleave, dtype):
    ms, pan = images(dtype=dtype)
    paths = field_folder(write_raster, ms, pan, interleave=interleave)
    codes = np.random.default_rng(1).integers(0, 8, SHAPE)
    for name, values in {
        "label.npy": codes.astype(np.uint8), "train.npy": codes.astype(np.float64),
    }.items():  # fmt: skip
        np.save(tmp_path / name, values)
    savemat(tmp_path / "label.mat", {"label": codes.astype(np.uint16)})
    plain = write_raster("label.tif", codes.astype(np.uint8), PLAIN, None)
    for samples in (f"{tmp_path}/label.npy", f"{tmp_path}/train.npy", f"{tmp_path}/label.mat",
                    plain):  # fmt: skip
        found = load(*paths, samples)
        scene = found.scenes[0]
        assert (found.ratio, found.gsd_m, len(found.band_names)) == (4, None, 4)
        assert found.scheme.codes == (1, 2, 3, 4, 5, 6, 7)
        assert np.array_equal(scene.labels, codes - 1)
        assert np.array_equal(scene.ms, ms)
        assert np.array_equal(scene.pan[0], pan)
        assert scene.ms_valid.all()
        assert scene.pan_valid.all()
    assert found.notes[0] == (
        "The last band of `ms4.tif` is marked as alpha; the model needs it as an image band, so it "
        "is taken as one."
    )


def test_an_alpha_band_that_is_a_mask_stays_one(tmp_path, write_raster):
    ms, pan = images(dtype=np.uint8)
    ms[3] = 255
    ms[3, :5] = 0
    paths = field_folder(write_raster, ms, pan)
    np.save(tmp_path / "l.npy", np.random.default_rng(1).integers(1, 3, SHAPE))
    found = load(*paths, f"{tmp_path}/l.npy")
    assert len(found.band_names) == 3
    assert (found.scenes[0].labels[:5] == -1).all()
    assert (found.scenes[0].labels[5:] >= 0).all()


def test_landsat_pairs_without_crs_load_with_their_labels(data_dir):
    folder = data_dir / "landsat7_pairs"
    files = [str(folder / f"07_{kind}.tif") for kind in ("ms", "pan", "labels")]
    found = load(*files)
    with rasterio.open(files[2]) as dataset:
        codes = dataset.read(1)
    assert found.ratio == 2
    assert (np.array(found.scheme.codes)[found.scenes[0].labels] == codes)[codes > 0].all()
    assert np.array_equal(found.scenes[0].labels >= 0, codes > 0)


# --- several scenes ---


def test_scenes_share_scheme_ratio_and_bands(tmp_path, write_raster):
    sources = []
    for number, (kinds, gsd) in enumerate(((["Water", "Forest"], 8), (["forest", "Bare"], 10))):
        at = Affine(gsd, 0, 500_000, 0, -gsd, 5_000_000)
        ms, pan = images(seed=number)
        boxes = [shapely.box(500_000, 4_999_800, 500_050, 4_999_880),
                 shapely.box(500_080, 4_999_800, 500_240, 4_999_880)]  # fmt: skip
        sources.append(
            SceneSource(
                write_raster(f"{number}/ms.tif", ms, at),
                write_raster(f"{number}/pan.tif", pan, at @ Affine.scale(1 / 4)),
                vector(tmp_path / f"{number}.gpkg", boxes, kind=kinds), "kind", f"group {number}",
            )
        )  # fmt: skip
    seen = []
    found = load_training_set(sources, scheme=None, ratio=None, report=seen.append)
    assert [c.name for c in found.scheme.classes] == ["Bare", "Forest", "Water"]
    assert [set(np.unique(s.labels)) for s in found.scenes] == [{-1, 1, 2}, {-1, 0, 1}]
    assert [(s.name, s.group) for s in found.scenes] == [
        ("ms (1)", "group 0"),
        ("ms (2)", "group 1"),
    ]
    assert found.gsd_m == pytest.approx(9)
    assert [e.fraction for e in seen if isinstance(e, Progress)] == [0, 0.5, 1]
    ms, pan = images(3)
    three = SceneSource(write_raster("3.tif", ms, MS), write_raster("p3.tif", pan, PAN),
                        sources[0].samples, "kind")  # fmt: skip
    with pytest.raises(InputError) as caught:
        load_training_set([*sources, three], scheme=None, ratio=None, report=seen.append)
    assert str(caught.value) == (
        "`3.tif` has 3 bands; this run needs 4. Give exactly these bands in this order, as one "
        "raster, a VRT, or one file per band joined by commas."
    )


BASE = ClassScheme(
    (LandClass(1, "Water", "#0000ff"), LandClass(3, "Forest", "#00ff00"),
     LandClass(4, "Bare", "#aaaaaa"))
)  # fmt: skip


def test_a_scheme_is_kept_where_it_has_all_classes_and_replaced_otherwise(tmp_path, pair):
    boxes = [shapely.box(500_000, 4_999_800, 500_050, 4_999_880),
             shapely.box(500_080, 4_999_800, 500_240, 4_999_880)]  # fmt: skip
    path = vector(
        tmp_path / "p.gpkg", boxes, code=[4, 1], name=["BARE", "water"], own=["Water", "Road"]
    )
    for field in ("code", "name"):
        found = load(*pair, path, field, scheme=BASE)
        assert found.scheme == BASE
        assert np.array_equal(
            found.scenes[0].labels, expected_labels([(boxes[0], 2), (boxes[1], 0)])
        )
    found = load(*pair, path, "own", scheme=BASE)
    assert [(c.code, c.name) for c in found.scheme.classes] == [(1, "Road"), (2, "Water")]
    assert found.notes[-1] == (
        "The samples' classes (1 Road, 2 Water) are not all among the base model's (1 Water, "
        "3 Forest, 4 Bare): they replace them. With other classes, compare it with a training "
        "without a base: that has been the better one."
    )


# --- sentences ---


POINT = shapely.Point(500_100, 4_999_900)
OTHER = shapely.Point(500_200, 4_999_850)


def test_sentences_about_classes(tmp_path, pair, write_raster):
    path = vector(
        tmp_path / "p.gpkg", [POINT, OTHER], code=[1, 300], part=[1.5, 2], one=[2, 2],
        nothing=[0, 0], name=["Water", "water"],
    )  # fmt: skip
    sentence(
        "The sample file `p.gpkg` holds 300 (1) as class; whole numbers 1…254 are needed, and 0 is "
        "unlabelled. Give these another code, or 0 (in a raster: declare them as nodata) if they "
        "are no class.",
        *pair, path, "code",
    )  # fmt: skip
    sentence(
        "The sample file `p.gpkg` holds 1.5 (1) as class; whole numbers 1…254 are needed, and 0 is "
        "unlabelled. Give these another code, or 0 (in a raster: declare them as nodata) if they "
        "are no class.",
        *pair, path, "part",
    )  # fmt: skip
    for field, name in (("one", "Class 2"), ("name", "Water")):
        sentence(
            f"The samples have one class, `{name}`; two or more are needed. Add samples of another "
            "class, or choose the field that holds the class with `--class-field`.",
            *pair, path, field,
        )  # fmt: skip
    sentence(
        "No sample of `p.gpkg` lies on a valid pixel of `ms.tif`: 2 points without a class. "
        "Choose samples of the same place, and check the CRS of both.",
        *pair, path, "nothing",
    )  # fmt: skip
    sentence(
        "`p.gpkg` has no field `class`; its fields are `code`, `part`, `one`, `nothing`, `name`. "
        "Name one of these with `--class-field`.",
        *pair, path, "class",
    )  # fmt: skip
    sentence(
        "Which field of `p.gpkg` holds the class is not said; its fields are `code`, `part`, "
        "`one`, `nothing`, `name`. Name one with `--class-field`.",
        *pair, path,
    )  # fmt: skip
    codes = np.zeros(SHAPE, np.uint8)
    codes[5], codes[6] = 1, 255
    sentence(
        "The sample file `r.tif` holds 255 (50) as class; whole numbers 1…254 are needed, and 0 is "
        "unlabelled. Give these another code, or 0 (in a raster: declare them as nodata) if they "
        "are no class.",
        *pair, write_raster("r.tif", codes, MS),
    )  # fmt: skip


def test_sentences_about_places(tmp_path, pair, write_raster):
    far = vector(tmp_path / "far.gpkg", [shapely.Point(0, 0), POINT], class_code=[1, 2])
    geopandas.read_file(far).iloc[:1].to_file(tmp_path / "away.gpkg")
    sentence(
        "No sample of `away.gpkg` lies on a valid pixel of `ms.tif`: 1 point outside of the scene. "
        "Choose samples of the same place, and check the CRS of both.",
        *pair, f"{tmp_path}/away.gpkg",
    )  # fmt: skip
    on_nodata = vector(tmp_path / "n.gpkg", [shapely.box(500_000, 4_999_981, 500_050, 5_000_000)],
                       class_code=[1])  # fmt: skip
    sentence(
        "No sample of `n.gpkg` lies on a valid pixel of `ms.tif`: 12 samples on the scene's "
        "nodata. Choose samples of the same place, and check the CRS of both.",
        *pair, on_nodata,
    )  # fmt: skip
    sentence(
        "The sample file `q.gpkg` has no CRS; the scene has one. "
        "Assign the layer's CRS (in QGIS: Layer > Set CRS, then export it).",
        *pair, vector(tmp_path / "q.gpkg", [POINT], None, class_code=[1]),
    )  # fmt: skip
    codes = np.ones(SHAPE, np.uint8)
    sentence(
        "The sample file `r.tif` has no CRS; the scene has one. "
        "Assign the raster's CRS, for example with gdal_edit.py -a_srs.",
        *pair, write_raster("r.tif", codes, PLAIN, None),
    )  # fmt: skip
    ms, pan = images()
    plain = (write_raster("m.tif", ms, PLAIN, None), write_raster("p.tif", pan, PLAIN, None))
    sentence(
        "The scene has no CRS; the sample file `n.gpkg` has WGS 84 / UTM zone 30N. "
        "Assign the scene's CRS, for example with gdal_edit.py -a_srs.",
        *plain, on_nodata,
    )  # fmt: skip
    np.save(tmp_path / "l.npy", codes[:30])
    for label, path in (("l.npy", f"{tmp_path}/l.npy"),
                        ("s.tif", write_raster("s.tif", codes[:30], PLAIN, None))):  # fmt: skip
        sentence(
            f"The labels of `{label}` have 30 × 50 rows and columns; the MS raster `m.tif` has "
            "40 × 50. Give labels of the MS raster's shape, 0 where there is none.",
            *plain, path,
        )  # fmt: skip


def test_sentences_about_files(tmp_path, pair):
    for name in ("e.gpkg", "e.tif", "e.npy"):
        (tmp_path / name).touch()
        sentence(
            f"The sample file `{name}` is empty (0 bytes). Fetch or write it again.",
            *pair, f"{tmp_path}/{name}",
        )  # fmt: skip
    (tmp_path / "t.gpkg").write_text("text")
    sentence(
        "The sample file `t.gpkg` is neither a vector layer nor a raster that can be read. "
        "Choose points, polygons or a raster of class codes.",
        *pair, f"{tmp_path}/t.gpkg",
    )  # fmt: skip
    sentence(
        f"There is no file `{tmp_path}/no.gpkg`. Check the path, or choose another file.",
        *pair, f"{tmp_path}/no.gpkg",
    )  # fmt: skip
    whole = vector(tmp_path / "w.gpkg", [POINT], class_code=[1])
    geopandas.read_file(whole).iloc[:0].to_file(tmp_path / "none.gpkg")
    sentence(
        "The sample file `none.gpkg` holds no feature. Choose a layer of points or of polygons.",
        *pair, f"{tmp_path}/none.gpkg",
    )  # fmt: skip
    lines = vector(tmp_path / "l.gpkg", [shapely.LineString([(0, 0), (1, 1)])], class_code=[1])
    sentence(
        "The sample file `l.gpkg` holds LineString; points or polygons are needed, not both. "
        "Choose a layer of points or of polygons.",
        *pair, lines,
    )  # fmt: skip


def test_sentences_about_the_pair(tmp_path, write_raster):
    ms, _ = images()
    _, same = images(ratio=1)
    samples = vector(tmp_path / "p.gpkg", [POINT, OTHER], class_code=[1, 2])
    sentence(
        "The MS has pixels of 8.00 m and the PAN pixels of 8.00 m, a ratio of about 1; networks "
        "need 2, 3, 4 or 5. Choose a PAN that is 2 to 5 times finer than the MS, or resample one "
        "of them.",
        write_raster("ms.tif", ms, MS), write_raster("pan.tif", same, MS), samples,
    )  # fmt: skip
    _, fine = images(ratio=7)
    sentence(
        "The MS has 50 × 40 pixels and the PAN 350 × 280 pixels, a ratio of about 7; networks "
        "need 2, 3, 4 or 5. Choose a PAN that is 2 to 5 times finer than the MS, or resample one "
        "of them.",
        write_raster("m.tif", ms, PLAIN, None), write_raster("p.tif", fine, PLAIN, None), samples,
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        load_training_set([], scheme=None, ratio=None, report=lambda event: None)
    assert str(caught.value) == "There is no scene to train on. Give one at least."


def test_a_stack_of_images_is_not_taken_for_one_band(tmp_path, write_raster):
    ms, pan = images()
    path = f"{tmp_path}/ms.tif"
    for band, options in zip(ms[:2], ({}, {"APPEND_SUBDATASET": "YES"}), strict=True):
        with rasterio.open(
            path, "w", driver="GTiff", width=50, height=40, count=1, dtype="uint16", **options
        ) as dataset:
            dataset.write(band, 1)
    np.save(tmp_path / "l.npy", np.ones(SHAPE, np.uint8))
    sentence(
        "`ms.tif` holds 2 images; the MS needs one with all bands. Join them first, or name each "
        f"of them, with commas between: GTIFF_DIR:1:{path},GTIFF_DIR:2:{path} and so on.",
        path, write_raster("pan.tif", pan, PLAIN, None), f"{tmp_path}/l.npy",
    )  # fmt: skip
