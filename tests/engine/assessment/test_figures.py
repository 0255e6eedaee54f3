"""Counting samples, errors by polygon, and what a report warns of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from panloom.engine.assessment.area_estimation import estimate_areas
from panloom.engine.assessment.caveats import caveats
from panloom.engine.assessment.figures import (
    Assessment,
    SampleCount,
    cluster_error,
    complete_scheme,
)
from panloom.engine.assessment.reference import Pairs
from panloom.engine.labels.tally import POINTS, POLYGONS, RASTER, Labels, SampleTally
from panloom.models.classes import ClassScheme, LandClass

SCHEME = ClassScheme((LandClass(2, "Water", "#2277cc"), LandClass(5, "Forest", "#117733")))


def pairs(reference, mapped, feature=None):
    size = len(reference)
    place = np.arange(size)
    feature = np.full(size, -1) if feature is None else np.array(feature)
    labels = Labels(place, place, np.array(reference, np.uint8), feature)
    return Pairs(labels, np.array(mapped, np.uint8), 1)


def assessment(counted, kind=POINTS, mapped=(600.0, 400.0), **changes):
    matrix = counted.matrix(SCHEME)
    values = {
        "scheme": SCHEME, "matrix": matrix, "estimates": estimate_areas(matrix, mapped),
        "kind": kind, "tally": SampleTally(), "pixels_per_sample": 1.0,
        "clusters": counted.clusters(), "has_crs": True,
    }  # fmt: skip
    return Assessment(**{**values, **changes})


@pytest.fixture
def counted():
    count = SampleCount(4)
    count.add(pairs([2, 2, 5, 5, 5], [2, 5, 5, 0, 5], [0, 0, 1, 1, 2]))
    count.add(pairs([5, 2], [2, 2], [2, 3]))
    return count


def test_samples_are_counted_in_the_schemes_order_without_nodata(counted):
    np.testing.assert_array_equal(counted.matrix(SCHEME).counts, [[2, 1], [1, 2]])
    assert counted.codes == {2, 5}


def test_the_error_by_polygons_is_that_of_whole_polygons_drawn_again_and_again():
    rng = np.random.default_rng(1)
    size = rng.integers(50, 150, 400)
    right = rng.binomial(size, rng.beta(4, 2, 400))
    draws = rng.integers(0, 400, (4000, 400))
    bootstrap = (right[draws].sum(axis=1) / size[draws].sum(axis=1)).std()
    error = cluster_error(size, right)
    assert error.polygons == 400
    assert error.oa_standard_error == pytest.approx(bootstrap, rel=0.05)
    share = right.sum() / size.sum()
    assert error.oa_standard_error > 3 * np.sqrt(share * (1 - share) / size.sum())


def test_one_polygon_has_no_error():
    count = SampleCount(3)
    count.add(pairs([2, 5], [2, 5], [1, 1]))
    assert count.clusters() is None


def test_a_scheme_is_completed_by_what_occurs():
    completed = complete_scheme(SCHEME, {2, 9})
    assert completed.codes == (2, 5, 9)
    assert completed.names[9] == "Class 9"


def test_json_holds_every_figure_and_no_nan(counted):
    body = assessment(counted, POLYGONS).to_json()
    text = json.dumps(body, allow_nan=False)
    again = json.loads(text)
    assert again["confusion"]["counts"] == [[2, 1], [1, 2]]
    assert again["oa"] == pytest.approx(4 / 6)
    assert again["classes"][1]["name"] == "Forest"
    assert again["by_polygon"]["polygons"] == 4
    assert again["stratified"]["area_m2"] == pytest.approx(
        [600 * 2 / 3 + 400 / 3, 600 / 3 + 400 * 2 / 3]
    )


def test_caveats_are_said_where_they_apply(counted):
    points = " ".join(caveats(assessment(counted)))
    assert "Fewer than 50 reference samples" in points
    assert "Water (3), Forest (3)" in points
    assert "polygons" not in points
    assert "nodata" not in points
    assert "100 ± 0" not in points
    polygons = " ".join(caveats(assessment(counted, POLYGONS)))
    assert "The 6 pixels lie in 4 polygons." in polygons
    coarse = " ".join(caveats(assessment(counted, RASTER, pixels_per_sample=4.0)))
    assert "A pixel of the reference covers about 4 map pixels" in coarse
    lost = assessment(counted, tally=SampleTally(map_nodata={2: 2}))
    assert "2 samples (25.0 %) lie where the map has nodata." in " ".join(caveats(lost))


def test_a_stratum_left_out_is_said():
    count = SampleCount(1)
    count.add(pairs([2, 2, 5], [2, 2, 5]))
    said = " ".join(caveats(assessment(count, mapped=(900.0, 100.0))))
    assert "No area is estimated where the map shows Forest (10 % of it)" in said
    assert "Where few samples show no error, the formulas give 100 ± 0" in said
    count = SampleCount(1)
    count.add(pairs([2, 5], [2, 5]))
    assert "No mapped class has two samples" in " ".join(caveats(assessment(count)))


def test_all_in_one_polygon_is_said():
    count = SampleCount(1)
    count.add(pairs([2, 5, 2], [2, 5, 2], [0, 0, 0]))
    assert "All samples lie in one polygon" in caveats(assessment(count, POLYGONS))[0]
