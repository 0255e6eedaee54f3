"""What docs/own-models.md tells users to do works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from panloom.engine.device import Device
from panloom.engine.own_network.network import load_own_network

PAGE = Path(__file__).resolve().parents[3] / "docs" / "own-models.md"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_example_and_its_card_run(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    code, card = (re.search(rf"```{kind}\n(.*?)```", text, re.S)[1] for kind in ("python", "json"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(code, str(PAGE), "exec"), names)
    (tmp_path / "network.json").write_text(card, encoding="utf-8")
    network = load_own_network(tmp_path / "network.onnx", Device(torch.device("cpu"), ""))
    assert not network.on_pan_grid
    noise = np.random.default_rng(1)
    ms = noise.standard_normal((4, 128, 128)).astype(np.float32)
    pan = noise.standard_normal((1, 512, 512)).astype(np.float32)
    with torch.inference_mode():
        logits = names["network"](torch.from_numpy(ms[None]), torch.from_numpy(pan[None]))
    np.testing.assert_allclose(
        network.probabilities(ms, pan), logits.softmax(dim=1)[0].numpy(), atol=1e-5
    )


def test_the_costs_are_those_of_the_formula():
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([\d.]+) \|", PAGE.read_text("utf-8"), re.M)
    assert len(rows) == 4
    for tile, overlap, factor in rows:
        assert f"{(int(tile) / (int(tile) - int(overlap))) ** 2:.2f}" == factor
