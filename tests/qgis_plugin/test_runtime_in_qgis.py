"""What computes the network, chosen in a real QGIS; and networks of users, as ONNX."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import rasterio
import torch

from panloom.engine.runtimes.runtime import RUNTIMES
from tests.engine.own_network.graphs import constant, save

SIX_BANDS = {
    "bands": [
        {"role": role, "center_um": center}
        for role, center in (
            ("blue", 0.48), ("green", 0.56), ("red", 0.66), ("nir", 0.84), ("swir1", 1.65),
            ("swir2", 2.2),
        )
    ],
    "radiometry": {
        "kind": "fixed", "ms_offset": [0] * 6, "ms_scale": [1e-4] * 6, "pan_offset": 0,
        "pan_scale": 1e-4, "limits": [0, 1],
    },
}  # fmt: skip


@pytest.fixture
def python_without_onnx(tmp_path: Path) -> str:
    """A file that can stand where the engine's Python stands, and lacks ONNX Runtime."""
    script = tmp_path / "python"
    engine = Path(__file__).with_name("engine_without_onnx.py")
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{engine}" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def network(tmp_path: Path) -> str:
    """A network of a user for the sample pair: forest (7) everywhere, with probability 0.5."""
    inputs = (("ms", (1, 6, "h", "w")), ("pan", (1, 1, "H", "W")))
    return str(save(tmp_path / "forest.onnx", constant(inputs=inputs), **SIX_BANDS))


def classify(qgis, asked: dict[str, str], **variables: str) -> dict:
    return qgis.inside("run", "panloom:classify", asked, **variables)["answer"]


def said(answer: dict) -> list[str]:
    return [text for _, text in answer["log"]]


def test_the_runtimes_offered_are_those_that_there_are(qgis):
    found = qgis.inside("describe")["answer"]["classify"]
    assert found["offered"]["RUNTIME"] == list(RUNTIMES)
    assert found["defaults"]["RUNTIME"] == "auto"


def test_the_runtime_that_is_chosen_computes_the_same_map(qgis, sample_pair, tmp_path):
    maps, used = [], []
    for name in ("torch", "onnxruntime"):
        target = tmp_path / f"{name}.tif"
        answer = classify(qgis, {**sample_pair, "RUNTIME": name, "OUTPUT": str(target)})
        assert f"--runtime={name}" in " ".join(said(answer))
        manifest = json.loads(target.with_suffix(".panloom.json").read_text(encoding="utf-8"))
        used.append((manifest["runtime"]["name"], manifest["runtime"]["version"]))
        with rasterio.open(target) as land:
            maps.append(land.read(1))
    assert used == [("torch", torch.__version__), ("ONNX Runtime", onnxruntime.__version__)]
    assert maps[0].any()
    assert (maps[0] == maps[1]).mean() > 0.9999


def test_an_engine_without_onnx_runtime_takes_torch_and_says_so(
    qgis, sample_pair, python_without_onnx, tmp_path
):
    target = tmp_path / "map.tif"
    asked = {**sample_pair, "OUTPUT": str(target)}
    answer = classify(qgis, asked, PANLOOM_PYTHON=python_without_onnx)
    assert (
        f"Runtime: torch {torch.__version__}; ONNX Runtime, which is faster, is not installed."
        in said(answer)
    )
    assert target.is_file()


def test_a_runtime_that_the_engine_lacks_is_named(qgis, sample_pair, python_without_onnx, tmp_path):
    target = tmp_path / "map.tif"
    asked = {**sample_pair, "RUNTIME": "onnxruntime", "OUTPUT": str(target)}
    answer = classify(qgis, asked, PANLOOM_PYTHON=python_without_onnx)
    assert answer["error"] == (
        "ONNX Runtime was asked for, and the packages onnxruntime and onnx are not installed.\n"
        "Install them (`pip install onnxruntime onnx`), or leave “Runtime” at auto."
    )
    assert not target.exists()


def test_the_check_says_what_it_means_to_lack_a_runtime(qgis, python_without_onnx):
    asked = "panloom:checkengine", {}
    log = said(qgis.inside("run", *asked)["answer"])
    assert f"openvino: {version('openvino')}: makes maps where a run asks for it" in log
    log = said(qgis.inside("run", *asked, PANLOOM_PYTHON=python_without_onnx)["answer"])
    assert (
        "onnxruntime: not installed: torch makes every map, large ones slower; networks in ONNX "
        "files do not run"
    ) in log


def test_a_network_of_a_user_makes_a_map(qgis, sample_pair, network, tmp_path):
    target, confidence = tmp_path / "map.tif", tmp_path / "confidence.tif"
    asked = {"MODEL_FILE": network, "OUTPUT": str(target), "CONFIDENCE": str(confidence)}
    answer = classify(qgis, {**sample_pair, **asked})
    assert "outputs" in answer, answer
    with rasterio.open(target) as land, rasterio.open(confidence) as percent:
        codes, shares = land.read(1), percent.read(1)
    assert set(np.unique(codes)) <= {0, 7}
    assert set(shares[codes == 7]) == {50}


def test_a_network_of_a_user_needs_onnx_runtime(
    qgis, sample_pair, network, python_without_onnx, tmp_path
):
    target = tmp_path / "map.tif"
    asked = {**sample_pair, "MODEL_FILE": network, "OUTPUT": str(target)}
    answer = classify(qgis, asked, PANLOOM_PYTHON=python_without_onnx)
    assert answer["error"] == (
        "Networks in ONNX files run through ONNX Runtime; of its packages this engine lacks "
        "onnxruntime and onnx.\n"
        "Add them (`pip install onnxruntime onnx`), or set up the engine again."
    )
    assert not target.exists()
