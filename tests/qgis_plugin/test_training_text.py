"""The lines of the log on a training that has ended."""

from __future__ import annotations

from panloom.qgis_plugin.training_text import training_lines

SUMMARY = {
    "model": "fields", "epochs": 20, "best_epoch": 14, "ended": "no better for 6 epochs",
    "accuracy": {
        "oa": 0.9274, "aa": 0.9, "kappa": 0.9021, "pixels": 12500,
        "f1": {"Water": 0.5, "Ice": None},
    },
}  # fmt: skip


def test_the_end_the_accuracy_and_each_class():
    assert training_lines(SUMMARY) == [
        "Training ended (no better for 6 epochs): the model is that of epoch 14 of 20.",
        "Validation: 12,500 pixels kept apart from training",
        "Overall accuracy: 92.7 %",
        "Average accuracy of the classes: 90.0 %",
        "Kappa: 0.902",
        "F1 of Water: 50.0 %",
        "F1 of Ice: no such pixel was kept apart",
    ]


def test_without_validation_the_accuracy_is_not_known():
    assert training_lines({**SUMMARY, "accuracy": None, "ended": "cancelled"}) == [
        "Training ended (cancelled): the model is that of epoch 14 of 20.",
        "Accuracy: not known, since no sample was kept apart from training.",
    ]


def test_figures_that_do_not_exist_are_left_out():
    accuracy = {**SUMMARY["accuracy"], "kappa": None, "aa": None, "f1": {}}
    assert training_lines({**SUMMARY, "accuracy": accuracy})[1:] == [
        "Validation: 12,500 pixels kept apart from training",
        "Overall accuracy: 92.7 %",
    ]
