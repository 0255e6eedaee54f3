"""``panloom`` with a network that a user brings as ONNX, from the export to the map."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

from panloom.engine import workload
from panloom.engine.device import Device
from panloom.engine.errors import Cancelled, InputError, ModelError
from panloom.engine.events import Message, Progress
from panloom.engine.own_network.network import load_own_network
from panloom.engine.recipes import classify, inspect
from panloom.engine.recipes.classify import ClassifyOptions
from panloom.engine.sample.pair import SamplePair
from panloom.models.bundle import load_bundle
from panloom.models.file import ModelFileError, find_model

SHIPPED = "landsat-5class"


class Pooled(nn.Module):
    """A small network of a user's that sees its whole tile, like a squeeze-and-excitation block."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(6, 8, 3, padding=1)
        self.fine = nn.Conv2d(1, 8, 3, padding=1)
        self.gate = nn.Linear(16, 16)
        self.head = nn.Conv2d(16, 5, 1)

    def forward(self, ms: torch.Tensor, pan: torch.Tensor) -> torch.Tensor:
        coarse = nn.functional.interpolate(self.coarse(ms), scale_factor=2.0, mode="nearest")
        both = torch.cat([coarse, self.fine(pan)], dim=1).relu()  # (B, 16, 2·h, 2·w)
        gate = self.gate(both.mean(dim=(2, 3))).sigmoid()  # (B, 16)
        return self.head(both * gate[:, :, None, None])


class OfPan(nn.Module):
    """A network that looks at the PAN alone, and adds the MS without effect."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, ms: torch.Tensor, pan: torch.Tensor) -> torch.Tensor:
        return self.network(pan) + 0 * ms.mean()


def export(network: nn.Module, path: Path, **card: object) -> Path:
    """Export ``network`` as docs/own-models.md says, the shipped model's card beside it."""
    inputs = torch.rand(1, 6, 64, 64), torch.rand(1, 1, 128, 128)
    with torch.no_grad():
        torch.onnx.export(
            network.eval(), inputs, str(path), input_names=["ms", "pan"], output_names=["logits"],
            dynamic_axes={"ms": {2: "h", 3: "w"}, "pan": {2: "H", 3: "W"},
                          "logits": {2: "H", 3: "W"}},
            opset_version=17, dynamo=False,
        )  # fmt: skip
    shipped = json.loads(load_bundle(find_model(SHIPPED)).card.to_json())
    body = {key: shipped[key] for key in ("bands", "ratio", "radiometry", "classes")}
    path.with_suffix(".json").write_text(json.dumps({**body, **card}))
    return path


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(4)
    folder = tmp_path_factory.mktemp("own")
    return export(Pooled(), folder / "pooled.onnx", arguments={"tile_px": 64, "overlap_px": 16})


def run(pair: SamplePair, output: Path, model: str | Path, **options):
    received: list[object] = []
    result = classify.run(
        ClassifyOptions(
            str(pair.ms), str(pair.pan), str(output), str(model), device="cpu", **options
        ),
        received.append,
    )
    return result, received


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_an_exact_network_is_nearly_the_same_when_blended(pair, tmp_path):
    """Not all pixels: a blended tile's edge, where the exact engine reads real imagery, is padded
    with zeros; its small weight still tips pixels whose classes are about equally probable."""
    bundle = load_bundle(find_model(SHIPPED))
    path = export(
        deepcopy(bundle.network), tmp_path / "net.onnx", temperature=bundle.card.temperature,
        arguments={"tile_px": 128, "overlap_px": 64},
    )  # fmt: skip
    run(pair, tmp_path / "exact.tif", SHIPPED, confidence=str(tmp_path / "exact_c.tif"))
    result, _ = run(pair, tmp_path / "own.tif", path, confidence=str(tmp_path / "own_c.tif"))
    exact, own = read(tmp_path / "exact.tif"), read(tmp_path / "own.tif")
    assert len(np.unique(exact)) == 5
    assert np.array_equal(exact == 0, own == 0)
    assert (exact == own).mean() >= 0.999
    gap = read(tmp_path / "exact_c.tif").astype(int) - read(tmp_path / "own_c.tif")
    assert np.abs(gap).mean() < 0.1
    assert result.summary["device"] == "cpu"


def test_a_users_run_from_the_command_line(pair, pooled, tmp_path):
    """With every output, in a process of its own; run again, the map is the same."""
    command = [
        sys.executable, "-m", "panloom.engine", "classify", str(pair.ms), str(pair.pan),
        str(tmp_path / "map.tif"), "--model", str(pooled), "--device", "cpu",
        "--polygons", str(tmp_path / "map.gpkg"), "--areas", str(tmp_path / "areas.csv"),
        "--confidence", str(tmp_path / "confidence.tif"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tiles of 64 MS pixels are blended over 16" in done.stderr
    manifest = json.loads((tmp_path / "map.panloom.json").read_text())
    assert manifest["model"]["name"] == "pooled"
    assert len(manifest["model"]["weights_sha256"]) == 64
    with rasterio.open(tmp_path / "map.tif") as file:
        codes, tags = file.read(1), file.tags()
    assert tags["PANLOOM_MODEL"] == "pooled"
    assert tags["PANLOOM_WEIGHTS_SHA256"] == manifest["model"]["weights_sha256"]
    run(pair, tmp_path / "exact.tif", SHIPPED)
    assert np.array_equal(read(tmp_path / "exact.tif") == 0, codes == 0)
    run(pair, tmp_path / "again.tif", pooled)
    assert np.array_equal(read(tmp_path / "again.tif"), codes)
    assert len(np.unique(codes)) > 2


def test_with_little_memory_fewer_tiles_are_computed_at_once(pair, pooled, tmp_path, monkeypatch):
    """What a tile takes is measured: 64 channels of 256 × 256 PAN pixels are 16 MiB."""
    wide = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 5, 1))
    path = export(OfPan(wide), tmp_path / "wide.onnx", arguments={"tile_px": 128})
    network = load_own_network(path, Device(torch.device("cpu"), ""))
    assert 64 * 256**2 * 4 < network.tile_bytes < 10 * 64 * 256**2 * 4
    monkeypatch.setattr(Device, "workers", 6)
    _, usual = run(pair, tmp_path / "usual.tif", path)
    room = network.tile_bytes + 50 * 2**20
    monkeypatch.setattr(workload, "free_memory", lambda: workload.RESERVED_BYTES + room)
    _, said = run(pair, tmp_path / "tight.tif", path)
    notes = [
        [e.text for e in events if isinstance(e, Message) and e.text.startswith("Cores used:")]
        for events in (usual, said)
    ]
    assert notes[0] == []
    assert re.fullmatch(
        r"Cores used: [1-5] of 6; more tiles at once do not fit the memory\.", *notes[1]
    )
    assert np.array_equal(read(tmp_path / "usual.tif"), read(tmp_path / "tight.tif"))


def test_the_ms_grid_agrees_where_an_ms_pixel_is_of_one_class(pair, pooled, tmp_path):
    """A class that is the most probable in each PAN pixel is so in their mean."""
    run(pair, tmp_path / "fine.tif", pooled)
    run(pair, tmp_path / "coarse.tif", pooled, grid="ms")
    fine, coarse = read(tmp_path / "fine.tif"), read(tmp_path / "coarse.tif")
    with rasterio.open(tmp_path / "coarse.tif") as file:
        assert json.loads(file.tags()["PANLOOM_OPTIONS"])["grid"] == "ms"
        assert file.res[0] == pytest.approx(30)
        at = ~file.transform
    with rasterio.open(tmp_path / "fine.tif") as file:
        left, top = (round(2 * v) for v in at @ (file.transform @ (0, 0)))
    height, width = (2 * (n - 1) for n in coarse.shape)
    row, col = -top % 2, -left % 2  # the first PAN pixel that starts an MS pixel
    four = fine[row : row + height, col : col + width]
    four = four[: len(four) // 2 * 2, : four.shape[1] // 2 * 2]
    blocks = four.reshape(len(four) // 2, 2, -1, 2)
    same = (blocks == blocks[:, :1, :, :1]).all(axis=(1, 3)) & (blocks[:, 0, :, 0] > 0)
    first_row, first_col = (top + row) // 2, (left + col) // 2
    beside = coarse[first_row:, first_col:][: same.shape[0], : same.shape[1]]
    assert same.mean() > 0.3
    assert np.array_equal(beside[same], blocks[:, 0, :, 0][same])


def test_the_log_says_that_tiles_are_blended(pair, pooled, tmp_path):
    _, received = run(pair, tmp_path / "map.tif", pooled)
    assert (
        Message(
            "`pooled.onnx` may look at whole tiles, so tiles of 64 MS pixels are blended over 16: "
            "another tile size gives a slightly other map."
        )
        in received
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"evaluation": "patch"},
            "`pooled.onnx` cannot be evaluated patch by patch; that needs a network of Panloom's "
            "own. Leave out `--evaluation`.",
        ),
        (
            {"runtime": "torch"},
            "`pooled.onnx` runs through ONNX Runtime; `--runtime torch` cannot run it. Leave out "
            "`--runtime`.",
        ),
        (
            {"tile_px": 256},
            "The map of `pooled.onnx` depends on the tile, so its card sets the size; `--tile-px "
            "256` cannot. Leave it out, or set `tile_px` in the arguments of `pooled.json`.",
        ),
    ],
)
def test_choices_that_such_a_network_does_not_have(pair, pooled, tmp_path, options, sentence):
    with pytest.raises(InputError) as caught:
        run(pair, tmp_path / "map.tif", pooled, **options)
    assert str(caught.value) == sentence
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_run_ends_its_threads_before_the_files_are_closed(pair, pooled, tmp_path):
    def cancel(event: object) -> None:
        if isinstance(event, Progress) and event.fraction > 0.1:
            raise Cancelled

    before = set(threading.enumerate())
    options = ClassifyOptions(
        str(pair.ms), str(pair.pan), str(tmp_path / "map.tif"), str(pooled), device="cpu"
    )
    with pytest.raises(Cancelled) as caught:  # whose traceback keeps every frame alive
        classify.run(options, cancel)
    assert set(threading.enumerate()) <= before
    assert caught.value.code == "cancelled"
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_a_card_leaves_nothing(pair, pooled, tmp_path):
    lonely = tmp_path / "lonely.onnx"
    lonely.write_bytes(pooled.read_bytes())
    with pytest.raises(ModelFileError, match=r"`lonely\.onnx` has no card"):
        run(pair, tmp_path / "map.tif", lonely)
    assert list(tmp_path.iterdir()) == [lonely]


def test_a_network_that_its_card_does_not_fit_leaves_nothing(pair, pooled, tmp_path):
    card = json.loads(pooled.with_suffix(".json").read_text())
    card["classes"] = card["classes"][:4]
    (tmp_path / "other.json").write_text(json.dumps(card))
    (tmp_path / "other.onnx").write_bytes(pooled.read_bytes())
    with pytest.raises(ModelError, match=r"`other\.onnx` gives 5 classes; its card lists 4"):
        run(pair, tmp_path / "map.tif", tmp_path / "other.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.json", "other.onnx"]


def test_inspect_says_what_a_run_will_cost(pair, pooled, tmp_path):
    options = inspect.InspectOptions(str(pair.ms), str(pair.pan), model=str(pooled))
    summary = inspect.run(options, lambda event: None).summary
    assert summary["problems"] == []
    assert summary["verdict"] == "The pair runs with model `pooled`."
    assert summary["plan"]["tile_px"] == 64
    run(pair, tmp_path / "map.tif", pooled)
    manifest = json.loads((tmp_path / "map.panloom.json").read_text())
    assert summary["plan"]["tiles"] == manifest["tiles"]
    assert "every pixel is computed 1.78 times" in summary["plan"]["basis"]


def test_the_card_is_shown(pooled):
    done = subprocess.run(
        [sys.executable, "-m", "panloom.engine", "models", str(pooled)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("pooled: pooled\n  MS bands  blue, green, red, nir, swir1, swir2")
    assert "network   onnx" in done.stdout
