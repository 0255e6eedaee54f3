"""The page of a report: well-formed, self-contained, escaped, with the figures that it is about."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from panloom.engine.assessment.area_estimation import estimate_areas
from panloom.engine.assessment.charts import area_chart, area_unit, heat_map, nice_step, percent
from panloom.engine.assessment.confusion import ConfusionMatrix
from panloom.engine.assessment.figures import Assessment
from panloom.engine.assessment.page import PageFacts, assess_page
from panloom.engine.labels.tally import POINTS, SampleTally
from panloom.models.classes import ClassScheme, LandClass

SCHEME = ClassScheme(
    (
        LandClass(1, "Water", "#2277cc"),
        LandClass(2, "<b>Crops & more</b>", "#ddcc77"),
        LandClass(3, "Never", "#999933"),
    )
)
FACTS = PageFacts("a <map>.tif", "p.gpkg", "kind", (90, 70), "EPSG:32630", None, "2026-01-01")


@pytest.fixture
def assessment():
    names = tuple(land.name for land in SCHEME.classes)
    matrix = ConfusionMatrix(SCHEME.codes, names, np.array([[90, 10, 0], [30, 70, 0], [0, 0, 0]]))
    estimates = estimate_areas(matrix, [6e6, 4e6, 0.0])
    tally = SampleTally(features=210, outside=4, map_nodata={1: 6})
    return Assessment(SCHEME, matrix, estimates, POINTS, tally, 1.0, None, True)


class Balance(HTMLParser):
    """Raises where an element is closed that is not open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "rect", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_stands_alone(assessment):
    page = assess_page(assessment, FACTS, b"\x89PNG", (230, 0, 126))
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert not re.search(r"<script|<link|@import|(?:src|href)=[\"'](?!data:)|url\(|https?:", page)
    assert "data:image/png;base64,iVBORw==" in page


def test_names_are_escaped(assessment):
    page = assess_page(assessment, FACTS, b"", (0, 0, 0))
    assert "<b>Crops" not in page
    assert "&lt;b&gt;Crops &amp; more&lt;/b&gt;" in page
    assert "a &lt;map&gt;.tif" in page


def test_the_page_says_what_the_figures_say(assessment):
    page = assess_page(assessment, FACTS, b"", (0, 0, 0))
    text = re.sub(r"<[^>]+>", "", page)
    assert "The map shows the right class at 160 of 200 points." in text
    assert "The most frequent error, 75 % of all:" in text
    assert "80.0%" in text
    assert "6 samples on the map's nodata (Water 6)" in text.replace("&#x27;", "'")
    assert "4 points outside of the map" in text
    for area in ((6e6 * 0.75 + 4e6 * 0.125) / 1e4, (6e6 * 0.25 + 4e6 * 0.875) / 1e4):
        assert f"{area:,.0f}" in text


def test_the_heat_map_has_every_count_and_dashes_where_nothing_exists(assessment):
    table = heat_map(assessment)
    cells = re.findall(r'class="cell[^>]*>(?:<b>)?([\d,·]+)', table)
    assert cells == ["90", "10", "·", "30", "70", "·", "·", "·", "·"]
    assert table.count("–") == 2  # producer's and user's accuracy of the class that never occurs


def test_bars_and_whiskers_are_drawn_to_scale(assessment):
    chart = area_chart(assessment, assessment.estimates)
    widths = [float(w) for w in re.findall(r'<rect[^>]* width="([\d.]+)"', chart)]
    mapped, estimated = widths[0::2], widths[1::2]
    assert mapped[0] / mapped[1] == pytest.approx(1.5, abs=0.01)
    assert estimated[0] / mapped[0] == pytest.approx(5 / 6, abs=0.01)
    low, high = map(float, re.search(r'whisker" d="M([\d.]+) [\d.]+H([\d.]+)', chart).groups())
    half = assessment.estimates.area_half_interval_m2[0]
    assert (high - low) / mapped[0] == pytest.approx(2 * half / 6e6, abs=0.01)


@pytest.mark.parametrize(
    ("largest", "has_crs", "expected"),
    [(5e10, True, (1e6, "km²")), (2e6, True, (1e4, "ha")), (900, True, (1.0, "m²")),
     (5e10, False, (1.0, "map units²"))],
)  # fmt: skip
def test_areas_have_a_unit_that_suits_them(largest, has_crs, expected):
    assert area_unit(largest, has_crs) == expected


@pytest.mark.parametrize(
    ("largest", "step"), [(8545, 2000), (10, 2), (4.4, 1), (0.9, 0.2), (0, 1), (51, 20)]
)
def test_axis_steps_are_round(largest, step):
    assert nice_step(largest) == pytest.approx(step)


def test_percent():
    assert (percent(0.8049), percent(1.0, 0), percent(None)) == ("80.5", "100", "–")
