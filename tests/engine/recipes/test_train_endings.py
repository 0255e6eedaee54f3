"""A training that is cancelled or killed: the best model so far or nothing, never half a file."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from panloom.engine.errors import Cancelled, OutputError
from panloom.engine.events import Event, Hello, Message, Result, decode
from panloom.engine.recipes import train
from panloom.engine.sample.pair import SamplePair
from panloom.models.bundle import load_bundle
from panloom.models.file import read_card, verify_weights

from .training_samples import options, silent

pytestmark = pytest.mark.usefixtures("short_epochs")


def cancel_at(word: str) -> Any:
    """Return a report that cancels as soon as a message starts with ``word``, and ever after."""
    state = {"over": False}

    def report(event: Event) -> None:
        if isinstance(event, Message) and event.text.startswith(word):
            state["over"] = True
        if state["over"]:
            raise Cancelled

    return report


def test_a_cancel_keeps_the_best_so_far(pair: SamplePair, polygons: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    result = train.run(options(pair, polygons, model, epochs=50), cancel_at("Epoch 2"))
    assert (result.summary["cancelled"], result.summary["ended"]) == (True, "cancelled")
    assert result.outputs == {"model": str(model)}
    assert read_card(model).training["ended"] == "under way"
    assert load_bundle(model).card.training["epochs"] in (1, 2)
    assert [p.name for p in tmp_path.iterdir()] == [model.name]
    assert "cancelled; epoch " in train.as_text(result.summary)


def test_a_cancel_before_there_is_a_model_leaves_nothing(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        train.run(options(pair, polygons, tmp_path / "m.safetensors"), cancel_at("The CPU"))
    assert list(tmp_path.iterdir()) == []


CHILD = """
import sys
import torch
from panloom.engine import cli
from panloom.engine.recipes import train
torch.set_num_threads(1)
train.EPOCH_STEPS = train.BATCH_SIZE = 2
sys.exit(cli.main(sys.argv[1:]))
"""


def start(pair: SamplePair, polygons: Path, model: Path, *more: str) -> subprocess.Popen[str]:
    words = ("train", str(pair.ms), str(pair.pan), str(polygons), str(model))
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *words, "--class-field", "cover", "--epochs", "500",
         "--device", "cpu", "--events", *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def wait_for(child: subprocess.Popen[str], word: str) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        event = decode(line)
        if isinstance(event, Message) and event.text.startswith(word):
            return
    raise AssertionError(f"the run ended before {word!r}")


def test_a_killed_training_leaves_a_whole_model(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    child = start(pair, polygons, model)
    wait_for(child, "Epoch 3")
    child.send_signal(signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    assert verify_weights(model).training["ended"] == "under way"
    assert load_bundle(model).card.name == "m"


def test_a_training_killed_early_leaves_no_model(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    child = start(pair, polygons, model)
    wait_for(child, "The CPU was asked for")
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    assert not model.exists()


def test_closing_the_leash_ends_with_the_best_as_the_result(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    child = start(pair, polygons, model)
    assert child.stdout is not None
    assert child.stdin is not None
    assert isinstance(decode(child.stdout.readline()), Hello)
    wait_for(child, "Epoch 1")
    child.stdin.close()
    last = decode(child.stdout.read().splitlines()[-1])
    assert child.wait(30) == 0
    assert isinstance(last, Result)
    assert last.summary["cancelled"]
    assert verify_weights(model)
    assert [p.name for p in tmp_path.iterdir()] == [model.name]


def test_an_existing_model_is_replaced_only_by_a_better_beginning(
    pair: SamplePair, polygons: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    model.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"`m\.safetensors` exists already\."):
        train.run(options(pair, polygons, model), silent)
    with pytest.raises(Cancelled):
        train.run(options(pair, polygons, model, overwrite=True), cancel_at("The CPU"))
    assert model.read_bytes() == b"mine"
    train.run(options(pair, polygons, model, overwrite=True, epochs=1), silent)
    assert verify_weights(model)
