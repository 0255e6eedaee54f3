"""The end of a training in words: every class has its name, and figures stand below each other."""

from __future__ import annotations

from typing import Any

from panloom.engine.training.summary import as_text


def summary_of(**f1: float | None) -> dict[str, Any]:
    accuracy = {"pixels": 1200, "oa": 0.9, "aa": 0.875, "kappa": None, "f1": f1}
    return {
        "model": "fields",
        "network": "danet",
        "classes": list(f1),
        "ended": "all epochs done",
        "best_epoch": 3,
        "epochs": 5,
        "seconds": 61.2,
        "accuracy": accuracy,
    }


def test_columns_are_as_wide_as_the_longest_class_name() -> None:
    assert as_text(summary_of(**{"Green herbaceous": 0.5, "Water": None})) == (
        "model                 fields (danet), 2 classes: Green herbaceous, Water\n"
        "training              all epochs done; epoch 3 of the 5 trained, 61 s\n"
        "validation            1,200 pixels of the map\n"
        "overall accuracy      90.0%\n"
        "average accuracy      87.5%\n"
        "kappa                 –\n"
        "  F1 Green herbaceous 50.0%\n"
        "  F1 Water            –"
    )


def test_short_names_leave_the_column_as_it_is() -> None:
    assert "  F1 Wood          25.0%" in as_text(summary_of(Wood=0.25)).splitlines()


def test_a_very_long_name_is_cut_with_a_sign_of_it() -> None:
    named = "Cultivated and managed terrestrial areas"
    lines = as_text(summary_of(**{named: 0.5, "abcdefghijklmnopqrstuvwx": 1.0})).splitlines()
    assert lines[-2:] == [
        "  F1 Cultivated and managed…  50.0%",
        "  F1 abcdefghijklmnopqrstuvwx 100.0%",
    ]
