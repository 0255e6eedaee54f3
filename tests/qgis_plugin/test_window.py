"""A QGIS window on a virtual display: the dialog run, the layers it adds, and Cancel."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from panloom.benchmarks.scenes import described, mosaic
from panloom.models.file import verify_weights

SCRIPT = Path(__file__).with_name("window_script.py")


@pytest.fixture
def window(qgis, tmp_path):
    """Run a scenario in a window and return its report."""
    for program in ("qgis", "xvfb-run"):
        if shutil.which(program) is None:
            pytest.skip(f"needs a QGIS window: {program} is not on PATH")

    def run(engine: dict[str, str] | None = None, **scenario: object) -> dict:
        report = tmp_path / "report.json"
        scenario["report"] = str(report)
        plan = tmp_path / "scenario.json"
        plan.write_text(json.dumps(scenario), encoding="utf-8")
        done = qgis.window(SCRIPT, PANLOOM_SCENARIO=str(plan), **(engine or {}))
        assert report.is_file(), done.stdout + done.stderr
        answer = json.loads(report.read_text(encoding="utf-8"))
        assert "traceback" not in answer, answer["traceback"]
        return answer

    return run


def check_tree(tree: list[dict], stem: str) -> None:
    assert [layer["name"] for layer in tree] == [
        f"Land-cover polygons ({stem})",
        f"Class map ({stem})",
        f"Confidence ({stem})",
        stem,
    ]
    assert all(layer["valid"] for layer in tree)
    assert [layer["visible"] for layer in tree] == [True, True, False, True]
    polygons, class_map, confidence, _ = tree
    assert polygons["renderer"] == "categorizedSymbol"
    assert class_map["renderer"] == "paletted"
    assert confidence["renderer"] == "singlebandpseudocolor"
    shown = {name: color for name, color in class_map["classes"].items() if name}
    assert shown.items() <= polygons["classes"].items()
    assert len(shown) == 5


def test_the_dialog_adds_styled_and_named_layers(window, real_pair, artifacts):
    picture = artifacts / "qgis_window.png"
    report = window(
        algorithm="panloom:classify",
        parameters=real_pair,
        background=real_pair["MS"],
        screenshot=str(picture),
        dialog_screenshot=str(artifacts / "qgis_dialog.png"),
    )
    assert report["successful"] is True, report["log"]
    assert "-m panloom.engine classify" in report["log"]
    check_tree(report["tree"], "ms")
    assert picture.stat().st_size > 20_000


def test_the_dialog_runs_on_a_generated_pair(window, sample_pair, artifacts):
    report = window(
        algorithm="panloom:classify",
        parameters=sample_pair,
        background=sample_pair["MS"],
        screenshot=str(artifacts / "qgis_window_sample.png"),
    )
    assert report["successful"] is True, report["log"]
    check_tree(report["tree"], Path(sample_pair["MS"]).stem)


def test_the_assess_dialog_says_the_main_figures(window, sample_pair, artifacts):
    truth = str(Path(sample_pair["MS"]).with_name("sample_truth.tif"))
    report = window(
        algorithm="panloom:assess",
        parameters={"MAP": truth, "REFERENCE_RASTER": truth},
        background=truth,
        dialog_screenshot=str(artifacts / "qgis_assess.png"),
    )
    assert report["successful"] is True, report["log"]
    assert "Overall accuracy: 100.0 %" in report["log"]
    assert "--json" not in report["log"]


def test_the_batch_dialog_runs_every_row(window, sample_pair, tmp_path):
    rows = [
        {**sample_pair, "GRID": grid, "OUTPUT": str(tmp_path / f"{grid}.tif")}
        for grid in ("pan", "ms")
    ]
    report = window(algorithm="panloom:classify", batch=rows)
    assert [Path(row["OUTPUT"]).is_file() for row in rows] == [True, True], report["log"]


def test_the_options_page_keeps_what_it_is_told(window, qgis, tmp_path, artifacts):
    report = window(
        options={"python": "/opt/engine/bin/python", "folder": str(tmp_path)},
        screenshot=str(artifacts / "qgis_options.png"),
    )
    assert report["kept"] == ["/opt/engine/bin/python", str(tmp_path)]
    assert report["warm"] == [False, True, False], "off until it is switched on, and kept"
    assert f"Ready: {sys.executable}" in report["texts"], "PANLOOM_PYTHON goes before the page"
    assert report["emptied"] == ["", str(qgis.profile / "panloom")]


@pytest.fixture
def endless_pair(data_dir, tmp_path) -> dict[str, str]:
    """A pair of 268 million PAN pixels: no machine has mapped it before Cancel is pressed."""
    folder = data_dir / "landsat8_alabama"
    once = described(folder / "ms.tif", folder / "pan.tif", "Alabama")
    pair = mosaic(once, 16384, 16384, tmp_path)
    return {"MS": pair.ms, "PAN": pair.pan}


def test_cancel_ends_the_engine_and_leaves_nothing(window, endless_pair, tmp_path):
    target = tmp_path / "out" / "map.tif"
    target.parent.mkdir()
    report = window(
        algorithm="panloom:classify",
        parameters={**endless_pair, "OUTPUT": str(target)},
        cancel="Classifying",
    )
    assert report["running_before"] is True, "the engine ended before it could be cancelled"
    assert report["successful"] is False
    assert report["cancel_s"] < 5.0, "the worst that users.md allows"
    assert report["left"] == []
    assert list(target.parent.iterdir()) == []
    assert "Cancelled: nothing was written." in report["log"]
    assert report["tree"] == []


def test_a_run_that_was_complete_before_the_cancel_says_where_its_files_are(
    window, sample_pair, fake_python, tmp_path, artifacts
):
    target = tmp_path / "map.tif"
    report = window(
        algorithm="panloom:classify",
        parameters={**sample_pair, "OUTPUT": str(target)},
        cancel="nearly done",
        log_screenshot=str(artifacts / "qgis_cancelled_late.png"),
        engine={"FAKE_ENGINE": "finishing", "PANLOOM_PYTHON": fake_python},
    )
    assert report["successful"] is False
    assert (
        "The run was complete before the cancel arrived. QGIS does not load its files, but they "
        f"are whole:\n{target}"
    ) in report["log"]
    assert "nothing was written" not in report["log"]
    assert target.read_bytes() == Path(sample_pair["PAN"]).read_bytes()
    assert report["tree"] == []


def test_a_cancelled_training_keeps_its_best_model(window, sample_pair, tmp_path, artifacts):
    target = tmp_path / "out" / "fields.safetensors"
    target.parent.mkdir()
    report = window(
        algorithm="panloom:train",
        parameters={
            **sample_pair,
            "SAMPLES_RASTER": str(Path(sample_pair["MS"]).with_name("sample_truth.tif")),
            "NETWORK": "adcdnet_patch",
            "OUTPUT": str(target),
        },
        cancel="Epoch 1 of ",
        dialog_screenshot=str(artifacts / "qgis_train.png"),
    )
    assert report["running_before"] is True, "the engine ended before it could be cancelled"
    assert report["successful"] is False
    assert report["left"] == []
    assert "Epoch 1 of " in report["log"]
    assert f"Cancelled: the best model so far is in {target}" in report["log"]
    assert set(verify_weights(target).metrics["f1"]) >= {"Water", "Built-up"}
    assert list(target.parent.iterdir()) == [target]


def test_cancel_ends_an_engine_that_hangs(window, sample_pair, fake_python):
    report = window(
        algorithm="panloom:classify",
        parameters=sample_pair,
        cancel="child ",
        engine={"FAKE_ENGINE": "hang", "PANLOOM_PYTHON": fake_python},
    )
    assert report["running_before"] is True
    assert report["successful"] is False
    assert report["cancel_s"] < 5.0, "the worst that users.md allows"
    assert report["left"] == []
