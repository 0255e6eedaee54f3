"""``panloom inspect`` on pairs that run and on pairs that do not."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from panloom.engine import device
from panloom.engine.errors import OutputError
from panloom.engine.events import Progress
from panloom.engine.recipes.inspect import InspectOptions, as_html, as_text, run
from panloom.engine.runtimes import choice
from panloom.engine.tiling import plan_tiles
from panloom.models.file import shipped_models

LEFT, TOP = 500_000.0, 5_900_000.0


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Return a function that writes a GeoTIFF of ones and returns its path."""

    def write_(name: str, bands: int, size: int, pixel: float, **options: Any) -> str:
        shift = options.pop("shift_m", 0.0)
        profile = {"dtype": "uint16", "crs": "EPSG:32630", "nodata": None} | options
        path = tmp_path / name
        transform = Affine(pixel, 0, LEFT + shift, 0, -pixel, TOP - shift)
        with rasterio.open(
            path, "w", driver="GTiff", count=bands, width=size, height=size,
            transform=transform, **profile,
        ) as dataset:  # fmt: skip
            dataset.write(np.ones((bands, size, size), profile["dtype"]))
        return str(path)

    return write_


def inspect(ms: str, pan: str, **options: Any) -> dict[str, Any]:
    summary = run(InspectOptions(ms, pan, **options), lambda event: None).summary
    json.dumps(summary, allow_nan=False)
    return summary


def test_a_landsat_like_pair_is_described(write: Any) -> None:
    pan = write("pan.tif", 1, 80, 15, nodata=0)
    summary = inspect(write("ms.tif", 6, 40, 30, shift_m=7.5), pan)
    assert summary["problems"] == summary["warnings"] == []
    assert summary["ms"]["size_px"] == [40, 40]
    assert summary["ms"]["pixel_m"] == 30
    assert summary["ms"]["dtypes"] == ["uint16"]
    assert summary["ms"]["crs"] == "EPSG:32630"
    assert summary["ms"]["invalid_pixels"] == "none declared"
    assert summary["pan"]["invalid_pixels"] == "nodata 0"
    assert summary["pair"]["ratio"] == 2
    assert summary["pair"]["offset_px"] == [0.5, 0.5]
    side = 1200 - 7.5
    assert summary["pair"]["overlap_m2"] == pytest.approx(side**2, abs=1)
    assert summary["pair"]["overlap_ms_percent"] == pytest.approx(100 * side**2 / 1200**2, abs=0.01)
    # PAN centers lie on MS edges: the first column and row have none to their left and above
    assert summary["map"]["size_px"] == [80, 80]
    assert summary["decisions"] == [
        "The MS is resampled (cubic) onto the PAN grid: its pixel edges are 0.5 columns and 0.5 "
        "rows off the PAN's."
    ]
    assert not summary["registration"]["is_sure"]  # a field of ones has no detail
    assert summary["verdict"] == (
        "The two rasters fit together; no model was named, so none was checked."
    )


def test_every_problem_is_listed_and_the_rest_described(write: Any) -> None:
    ms, pan = write("ms.tif", 3, 40, 2), write("pan.tif", 1, 640, 0.125)
    model = shipped_models()[0][1]
    summary = inspect(ms, pan, model=model.name)
    assert [text.split(";")[0] for text in summary["problems"]] == [
        "`ms.tif` has 3 bands",
        "The MS pixel is 2.00 m and the PAN pixel 0.12 m, a ratio of 16.00",
    ]
    assert summary["verdict"] == "The pair cannot run: 2 problems."
    assert summary["pair"]["ratio"] == 16
    assert summary["map"]["working_ratio"] == 16
    assert summary["model"]["name"] == model.name
    assert summary["plan"] is None


def test_a_missing_file_leaves_the_other_described(write: Any, tmp_path: Path) -> None:
    summary = inspect(write("ms.tif", 2, 4, 2), f"{tmp_path}/gone.tif")
    assert summary["problems"] == [
        f"There is no file `{tmp_path}/gone.tif`. Check the path, or choose another file."
    ]
    assert summary["ms"]["bands"] == ["band 1", "band 2"]
    assert summary["pan"] is summary["pair"] is summary["registration"] is None


def test_rasters_apart_have_no_overlap(write: Any) -> None:
    summary = inspect(write("ms.tif", 2, 10, 2), write("pan.tif", 1, 20, 1, shift_m=50))
    assert summary["pair"]["overlap_m2"] == 0
    assert len(summary["problems"]) == 1
    assert summary["problems"][0].startswith("`ms.tif` and `pan.tif` have no ground in common: ")


def test_a_crs_on_one_only_is_a_problem_listed_once(write: Any) -> None:
    summary = inspect(write("ms.tif", 2, 10, 2, crs=None), write("pan.tif", 1, 20, 1))
    assert len(summary["problems"]) == 1
    assert summary["problems"][0].startswith("`ms.tif` has no CRS and `pan.tif` has EPSG:32630;")


def test_an_unknown_model_is_a_problem(write: Any) -> None:
    summary = inspect(write("ms.tif", 2, 10, 2), write("pan.tif", 1, 20, 1), model="no-such")
    assert summary["problems"][0].startswith("There is no model named `no-such`")
    assert summary["map"]["size_px"] == [20, 20]


def test_a_run_is_planned_for_a_model_that_fits(write: Any) -> None:
    card = shipped_models()[0][1]
    assert card.ratio == 2
    ms, pan = write("ms.tif", len(card.bands), 60, 10), write("pan.tif", 1, 120, 5)
    events: list[Any] = []
    summary = run(InspectOptions(ms, pan, model=card.name), events.append).summary
    plan = summary["plan"]
    assert plan["tiles"] == len(plan_tiles(60, 60, plan["tile_px"], plan["halo_px"], 1)) == 1
    assert plan["time_s"] > 0
    assert plan["memory_mb"] > 0
    assert "passes of the network" in plan["basis"]
    low, high = card.gsd_range_m
    assert summary["warnings"] == [
        f"The MS pixels that the model sees are 10 m; `{card.name}` was made for {low:g} to "
        f"{high:g} m, so expect more errors than its card says."
    ]
    assert summary["verdict"] == f"The pair runs with model `{card.name}`."
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.parametrize(
    ("ms_px", "missing", "runtime"),
    [(712, "", "ONNX Runtime"), (700, "", "torch"), (712, "onnx", "torch")],
)
def test_the_plan_names_the_runtime_that_a_run_takes(
    ms_px: int, missing: str, runtime: str, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime above 2 million PAN pixels, if both of its packages are there."""
    on_cpu = device.choose_device("cpu")
    monkeypatch.setattr(choice, "find_spec", lambda name: None if name == missing else name)
    monkeypatch.setattr(device, "choose_device", lambda name: on_cpu)
    card = shipped_models()[0][1]
    ms, pan = write("ms.tif", len(card.bands), ms_px, 30), write("pan.tif", 1, 2 * ms_px, 15)
    summary = inspect(ms, pan, model=card.name)
    assert summary["plan"]["runtime"] == runtime
    faster = "ONNX Runtime, which computes a map of this size, takes less time than torch."
    assert (faster in summary["plan"]["basis"]) == (runtime != "torch")
    assert f"  runtime   {runtime} on cpu" in as_text(summary).splitlines()
    assert f"{runtime} on cpu" in _Page(as_html(summary)).words


def test_rasters_of_one_and_four_pixels_are_a_pair(write: Any) -> None:
    summary = inspect(write("ms.tif", 1, 1, 2), write("pan.tif", 1, 2, 1))
    assert summary["problems"] == []
    assert summary["map"]["size_px"] == [2, 2]
    assert summary["registration"]["patches"] == 0


def test_nan_as_nodata_is_plain_json(write: Any) -> None:
    ms = write("ms.tif", 2, 4, 2, dtype="float32", nodata=float("nan"))
    summary = inspect(ms, write("pan.tif", 1, 8, 1))
    assert summary["ms"]["invalid_pixels"] == "nodata nan, NaN and infinity"


# --- real pairs ---


def test_a_displaced_pan_is_reported_with_the_cure(data_dir: Path) -> None:
    stem = str(data_dir / "landsat7_pairs" / "25")
    summary = inspect(f"{stem}_ms.tif", f"{stem}_pan.tif")
    shift = summary["registration"]
    assert (shift["dx_px"], shift["dy_px"]) == pytest.approx((-1, -1), abs=0.15)
    assert summary["warnings"][-1] == shift["text"]
    assert shift["text"].endswith("where the MS puts it; PAN shift `auto` corrects that.")
    corrected = inspect(f"{stem}_ms.tif", f"{stem}_pan.tif", pan_shift="auto")
    assert shift["text"] not in corrected["warnings"]
    assert "it is moved back by (-1.00, -1.00)." in corrected["decisions"][0]


def test_the_text_says_what_the_json_does(data_dir: Path) -> None:
    folder = data_dir / "landsat8_liverpool"
    text = as_text(inspect(str(folder / "ms.tif"), str(folder / "pan.tif")))
    for line in (
        "MS    ms.tif",
        "  size      433 × 267 px of 30 m, north-up",
        "  bands     6 uint16: SR_B2, SR_B3, SR_B4, SR_B5, SR_B6, SR_B7",
        "  ratio     2",
        "  offset    0.5 columns, 0.5 rows (PAN pixels between the grids)",
        "  overlap   103,952,475 m², 99.91 % of the MS and 99.79 % of the PAN",
        "  map       866 × 534 px",
    ):
        assert line in text.splitlines()


# --- the page ---


class _Page(HTMLParser):
    """Checks that tags close in order, and collects the text."""

    _EMPTY = ("meta", "br", "circle", "path")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self._EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        assert tag in self._EMPTY

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_stands_alone_and_escapes_names(write: Any, tmp_path: Path) -> None:
    ms, pan = write("a <b> & c.tif", 2, 20, 2), write("pan.tif", 1, 40, 1)
    report = tmp_path / "report.html"
    result = run(InspectOptions(ms, pan, report=str(report)), lambda event: None)
    assert result.outputs == {"report": str(report)}
    html = report.read_text(encoding="utf-8")
    assert html == as_html(result.summary)
    page = _Page(html)
    assert page.links == []
    assert "http" not in html
    assert "a <b> & c.tif" in page.words
    assert result.summary["verdict"] in page.words


def test_the_page_of_a_bad_pair_lists_its_problems(tmp_path: Path) -> None:
    summary = inspect(f"{tmp_path}/no.tif", f"{tmp_path}/none.tif")
    page = _Page(as_html(summary))
    assert "No raster could be opened." in page.words
    assert "Problems" in page.words
    assert f"{tmp_path}/none.tif" in page.words


def test_an_existing_page_is_kept(write: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("mine")
    options = InspectOptions(
        write("ms.tif", 1, 4, 2), write("pan.tif", 1, 8, 1), report=str(report)
    )
    with pytest.raises(OutputError):
        run(options, lambda event: None)
    assert report.read_text() == "mine"
