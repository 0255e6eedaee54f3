"""Classify end to end: the same map for any tiling, exact nodata, every output, every sentence."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS

from panloom.engine import workload
from panloom.engine.device import Device
from panloom.engine.errors import DeviceError, InputError, OutputError, PanloomError
from panloom.engine.events import Message, Progress
from panloom.engine.recipes import classify
from panloom.engine.recipes.classify import ClassifyOptions
from panloom.models.card import CardError

MODEL = "landsat-5class"
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def run(pair, output, **options):
    received = []
    result = classify.run(
        ClassifyOptions(
            ms=str(pair[0]), pan=str(pair[1]), output=str(output), model=MODEL, **options
        ),
        received.append,
    )
    return result, received


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def write(path, array, transform, crs=32630, **profile):
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype=array.dtype,
        crs=CRS.from_epsg(crs), transform=transform, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(array)
    return path


MS_GRID = Affine(30, 0, 487005, 0, -30, 5948010)
PAN_GRID = Affine(15, 0, 486997.5, 0, -15, 5948017.5)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A pair with Landsat's half-pixel offset: MS 90 × 70 with a dead patch, PAN 181 × 141."""
    folder = tmp_path_factory.mktemp("pair")
    rng = np.random.default_rng(5)
    coarse = rng.uniform(6000, 16000, (6, 8, 10))
    ms = np.kron(coarse, np.ones((9, 9)))[:, :70, :90] + rng.normal(0, 150, (6, 70, 90))
    ms = ms.astype(np.uint16)
    ms[:, 20:26, 30:41] = 0
    ms[3, 50, 60] = 0  # one band of one pixel
    pan = rng.uniform(6000, 16000, (1, 141, 181)).astype(np.uint16)
    pan[0, 100:104, 7:9] = 0
    return (
        write(folder / "ms.tif", ms, MS_GRID, nodata=0),
        write(folder / "pan.tif", pan, PAN_GRID, nodata=0),
    )


def scenes(data_dir: Path) -> list[tuple[Path, Path]]:
    found = [
        (p, p.with_name(p.name.replace("_ms", "_pan")))
        for p in sorted(data_dir.glob("landsat7_pairs/*_ms.tif"))
    ]
    return found + [(p, p.with_name("pan.tif")) for p in sorted(data_dir.glob("landsat8_*/ms.tif"))]


def test_the_map_does_not_depend_on_tile_or_batch(data_dir, tmp_path):
    """0 pixels differ on every real pair; one of them is tried with more tilings below."""
    pairs = scenes(data_dir)
    assert len(pairs) == 35
    for number, pair in enumerate(pairs):
        run(pair, tmp_path / f"{number}a.tif", tile_px=128, batch_size=4)
        run(pair, tmp_path / f"{number}b.tif", tile_px=512)
        a, b = read(tmp_path / f"{number}a.tif"), read(tmp_path / f"{number}b.tif")
        assert np.count_nonzero(a != b) == 0, pair[0]
        assert len(np.unique(a)) > 1


@pytest.mark.parametrize(
    ("tile_px", "batch_size"), [(64, 1), (128, 1), (128, 4), (200, 3), (512, 4)]
)
def test_more_tilings_of_one_scene(data_dir, tmp_path, tile_px, batch_size):
    pair = (data_dir / "landsat8_momotombo/ms.tif", data_dir / "landsat8_momotombo/pan.tif")
    run(pair, tmp_path / "a.tif")
    run(pair, tmp_path / "b.tif", tile_px=tile_px, batch_size=batch_size)
    assert np.count_nonzero(read(tmp_path / "a.tif") != read(tmp_path / "b.tif")) == 0


def test_nodata_is_ms_or_pan_invalid_exact_to_the_pixel(pair, tmp_path):
    result, _ = run(pair, tmp_path / "map.tif", confidence=str(tmp_path / "conf.tif"))
    codes = read(tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as dataset:
        grid = dataset.transform
    ms_valid = (read_all(pair[0]) != 0).all(axis=0)
    pan_valid = (read_all(pair[1]) != 0).all(axis=0)
    expected = np.zeros(codes.shape, bool)
    for row in range(codes.shape[0]):
        for col in range(codes.shape[1]):
            x, y = grid @ (col + 0.5, row + 0.5)
            ms_col, ms_row = (int(np.floor(v)) for v in ~MS_GRID @ (x, y))
            pan_col, pan_row = (int(np.floor(v)) for v in ~PAN_GRID @ (x, y))
            expected[row, col] = (
                ms_valid[ms_row, ms_col] if 0 <= ms_row < 70 and 0 <= ms_col < 90 else False
            ) and pan_valid[pan_row, pan_col]
    np.testing.assert_array_equal(codes > 0, expected)
    np.testing.assert_array_equal(read(tmp_path / "conf.tif") == 255, ~expected)
    assert result.summary["nodata_px"] == int((~expected).sum())


def read_all(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_every_output_of_one_run(pair, tmp_path):
    result, received = run(
        pair, tmp_path / "map.tif", polygons=str(tmp_path / "parts.gpkg"),
        confidence=str(tmp_path / "conf.tif"), areas=str(tmp_path / "areas.csv"),
    )  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "areas.csv", "conf.tif", "map.panloom.json", "map.qml", "map.tif", "map.tif.aux.xml",
        "parts.gpkg", "parts.qml",
    ]  # fmt: skip
    assert all(Path(p).is_file() for p in result.outputs.values())
    codes = read(tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as dataset:
        tags = dataset.tags()
        assert dataset.crs.to_epsg() == 32630
    assert tags["PANLOOM_MODEL"] == MODEL
    frame = geopandas.read_file(tmp_path / "parts.gpkg")
    assert {"class_code", "class_name", "area_m2", "mean_confidence"} <= set(frame.columns)
    assert frame.geometry.area.sum() == pytest.approx(225 * np.count_nonzero(codes), rel=1e-9)
    with (tmp_path / "areas.csv").open(encoding="utf-8") as file:
        rows = {int(r["class_code"]): r for r in csv.DictReader(file)}
    for code, row in rows.items():
        assert int(row["pixels"]) == np.count_nonzero(codes == code)
        of_class = frame[frame.class_code == code].area_m2.sum()
        assert float(row["area_m2"]) == pytest.approx(of_class, rel=1e-4, abs=1)
    manifest = json.loads((tmp_path / "map.panloom.json").read_text(encoding="utf-8"))
    assert manifest["model"]["weights_sha256"] == tags["PANLOOM_WEIGHTS_SHA256"]
    fractions = [e.fraction for e in received if isinstance(e, Progress)]
    assert fractions == sorted(fractions)
    assert any("resampled" in e.text for e in received if isinstance(e, Message))


def test_polygons_without_a_confidence_raster_know_their_confidence(pair, tmp_path):
    run(pair, tmp_path / "map.tif", polygons=str(tmp_path / "parts.fgb"))
    assert geopandas.read_file(tmp_path / "parts.fgb").mean_confidence.between(20, 100).all()
    assert not list(tmp_path.glob("*scratch*"))


def test_map_and_polygons_may_share_a_name(pair, tmp_path):
    result, _ = run(pair, tmp_path / "land.tif", polygons=str(tmp_path / "land.gpkg"))
    assert Path(result.outputs["polygons_style"]).name == "land.polygons.qml"
    assert "raster-renderer" not in Path(result.outputs["polygons_style"]).read_text()
    assert "paletted" in Path(result.outputs["map_style"]).read_text()


def test_the_ms_grid_is_half_as_fine(pair, tmp_path):
    run(pair, tmp_path / "pan.tif")
    run(pair, tmp_path / "ms.tif", grid="ms")
    fine, coarse = read(tmp_path / "pan.tif"), read(tmp_path / "ms.tif")
    with rasterio.open(tmp_path / "ms.tif") as ms, rasterio.open(tmp_path / "pan.tif") as pan:
        assert ms.transform @ (0, 0) == pytest.approx(pan.transform @ (0, 0))
        assert ms.res == (30, 30)
    assert coarse.shape == tuple(-(-n // 2) for n in fine.shape)
    blocks = fine[: fine.shape[0] // 2 * 2, : fine.shape[1] // 2 * 2]
    blocks = blocks.reshape(blocks.shape[0] // 2, 2, -1, 2).swapaxes(1, 2)
    blocks = blocks.reshape(*blocks.shape[:2], 4)
    inner = coarse[: blocks.shape[0], : blocks.shape[1]]
    np.testing.assert_array_equal(inner == 0, (blocks == 0).any(axis=2))
    uniform = (blocks == blocks[..., :1]).all(axis=2)
    assert (inner == blocks[..., 0])[uniform].mean() > 0.95


def aoi(path, geometry, crs=32630):
    geopandas.GeoDataFrame(geometry=[geometry], crs=crs).to_file(path)
    return str(path)


def test_an_area_of_interest_gives_the_same_classes_inside_and_nodata_outside(pair, tmp_path):
    triangle = shapely.Polygon([(487500, 5947900), (488900, 5947300), (487700, 5946500)])
    run(pair, tmp_path / "all.tif")
    run(pair, tmp_path / "aoi.tif", aoi=aoi(tmp_path / "a.gpkg", triangle), tile_px=32)
    geographic = geopandas.GeoSeries([triangle], crs=32630).to_crs(4326)[0]
    run(pair, tmp_path / "geo.tif", aoi=aoi(tmp_path / "g.geojson", geographic, 4326))
    with rasterio.open(tmp_path / "aoi.tif") as part, rasterio.open(tmp_path / "all.tif") as whole:
        col, row = (round(v) for v in ~whole.transform @ (part.transform @ (0, 0)))
        cut = whole.read(1)[row : row + part.height, col : col + part.width]
        rows, cols = np.indices(part.shape)
        xs, ys = part.transform @ (cols.ravel() + 0.5, rows.ravel() + 0.5)
        inside = shapely.contains_xy(triangle, xs, ys).reshape(part.shape)
        np.testing.assert_array_equal(part.read(1), np.where(inside, cut, 0))
    assert np.mean(read(tmp_path / "geo.tif") != read(tmp_path / "aoi.tif")) < 0.01


BAD = [
    ({"aoi": "outside"}, "aoi-outside"),
    ({"aoi": "points"}, "aoi-no-polygons"),
    ({"aoi": "missing"}, "aoi-unreadable"),
    ({"output": "map.png"}, "map-format"),
    ({"polygons": "parts.shp"}, "polygon-format"),
    ({"device": "abacus"}, "unknown-device"),
    ({"device": "cuda:99"}, "no-device"),
]


@pytest.mark.parametrize(("change", "code"), BAD, ids=[c for _, c in BAD])
def test_bad_options_have_a_code_and_leave_no_file(pair, tmp_path, change, code):
    folder = tmp_path / "out"
    folder.mkdir()
    areas = {
        "outside": lambda: aoi(tmp_path / "a.gpkg", shapely.box(0, 0, 10, 10)),
        "points": lambda: aoi(tmp_path / "p.gpkg", shapely.Point(487500, 5947900)),
        "missing": lambda: str(tmp_path / "no.gpkg"),
    }
    change = dict(change)
    if "aoi" in change:
        change["aoi"] = areas[change["aoi"]]()
    for role in ("output", "polygons"):
        if role in change:
            change[role] = str(folder / change[role])
    with pytest.raises(PanloomError) as caught:
        run(pair, **{"output": folder / "map.tif", **change})
    assert caught.value.code == code
    assert caught.value.message.endswith(".")
    assert list(folder.iterdir()) == []


def test_an_output_may_not_be_an_input(pair):
    before = pair[0].read_bytes()
    with pytest.raises(OutputError, match="both an input and an output"):
        run(pair, pair[0], overwrite=True)
    assert pair[0].read_bytes() == before


def test_swapped_inputs_are_said(pair, tmp_path):
    with pytest.raises(InputError) as caught:
        run((pair[1], pair[0]), tmp_path / "map.tif")
    assert "swap" in str(caught.value).lower()
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_is_said(pair, tmp_path):
    options = ClassifyOptions(str(pair[0]), str(pair[1]), str(tmp_path / "m.tif"), "landsat-6class")
    with pytest.raises(CardError, match="There is no model named `landsat-6class`"):
        classify.run(options, lambda event: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 2)])
def test_tiny_scenes(tmp_path, size):
    height, width = size
    rng = np.random.default_rng(3)
    ms = rng.integers(5000, 9000, (6, height, width)).astype(np.uint16)
    pan = rng.integers(5000, 9000, (1, 2 * height, 2 * width)).astype(np.uint16)
    files = (
        write(tmp_path / "ms.tif", ms, Affine(30, 0, 500000, 0, -30, 5000000)),
        write(tmp_path / "pan.tif", pan, Affine(15, 0, 500000, 0, -15, 5000000)),
    )
    run(files, tmp_path / "map.tif")
    codes = read(tmp_path / "map.tif")
    assert codes.shape == (2 * height, 2 * width)
    assert (codes > 0).all()


# --- little memory ---


def test_with_little_memory_the_same_map_is_made_with_less_at_once(pair, tmp_path, monkeypatch):
    run(pair, tmp_path / "map.tif", confidence=str(tmp_path / "confidence.tif"))
    monkeypatch.setattr(Device, "workers", 8)
    _, usual = run(pair, tmp_path / "usual.tif")
    monkeypatch.setattr(workload, "free_memory", lambda: workload.RESERVED_BYTES + 10 * 2**20)
    _, said = run(pair, tmp_path / "tight.tif", confidence=str(tmp_path / "tight_confidence.tif"))
    assert "Cores used" not in " ".join(str(event) for event in usual)
    text = "Cores used: 1 of 8; more tiles at once do not fit the memory."
    assert Message(text) in said
    assert np.array_equal(read(tmp_path / "tight.tif"), read(tmp_path / "map.tif"))
    assert np.array_equal(
        read(tmp_path / "tight_confidence.tif"), read(tmp_path / "confidence.tif")
    )
    tiles = [
        json.loads((tmp_path / f"{name}.panloom.json").read_text())["tiles"]
        for name in ("map", "tight")
    ]
    assert tiles[0] < tiles[1]


def test_a_tile_that_does_not_fit_the_memory_ends_in_a_sentence(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(workload, "free_memory", lambda: workload.RESERVED_BYTES + 2**20)
    with pytest.raises(DeviceError, match=r"^A tile of 158 × 138 .* 0\.0 GB; 0\.0 GB of memory"):
        run(pair, tmp_path / "map.tif", tile_px=1000)
    assert list(tmp_path.iterdir()) == []
