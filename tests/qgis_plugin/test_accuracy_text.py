"""The main figures of an assessment in the log, those that do not exist left out."""

from __future__ import annotations

from panloom.qgis_plugin.accuracy_text import accuracy_lines

WHOLE = {
    "samples": 1234, "kind": "points", "oa": 0.9125, "weighted_oa": 0.9, "weighted_oa_half": 0.021,
    "aa": 0.5, "aa_half": 0.04, "kappa": 0.87654, "kappa_half": 0.0123, "map_nodata_samples": 1500,
}  # fmt: skip


def test_every_figure_has_its_line():
    assert accuracy_lines(WHOLE) == [
        "Samples compared: 1,234 (points)",
        "Left out, on the map's nodata: 1,500",
        "Overall accuracy: 91.2 %",
        "Overall accuracy, weighted by mapped area: 90.0 ± 2.1 %",
        "Average accuracy of the classes: 50.0 ± 4.0 %",
        "Kappa: 0.877 ± 0.012",
    ]


def test_what_does_not_exist_is_left_out():
    nothing = dict.fromkeys(WHOLE)
    summary = {**nothing, "samples": 7, "kind": "raster", "oa": 1.0, "map_nodata_samples": 0}
    assert accuracy_lines(summary) == [
        "Samples compared: 7 (raster)",
        "Overall accuracy: 100.0 %",
    ]
    assert accuracy_lines({**summary, "kappa": -0.25})[-1] == "Kappa: -0.250"
