"""A model file that is whole at every moment, and gone with a run that never had one."""

from __future__ import annotations

from pathlib import Path

import pytest

from panloom.engine import outputs as engine_outputs
from panloom.engine.errors import InputError, OutputError
from panloom.engine.outputs import Outputs
from panloom.engine.training.checkpoint import Checkpoint
from panloom.models import bundle as model_bundle
from panloom.models.bundle import ModelBundle, load_bundle
from panloom.models.file import find_model, verify_weights


@pytest.fixture(scope="module")
def model() -> ModelBundle:
    return load_bundle(find_model("landsat-5class"))


def test_each_model_replaces_the_one_before(tmp_path: Path, model: ModelBundle) -> None:
    target = tmp_path / "m.safetensors"
    with Outputs(overwrite=False) as outputs:
        checkpoint = Checkpoint(outputs, target)
        assert not target.exists()
        checkpoint.write(model.network, model.card)
        first = verify_weights(target)
        model.network.decoder.classify.bias.data += 1
        checkpoint.write(model.network, model.card)
        assert verify_weights(target).weights_sha256 != first.weights_sha256
        assert checkpoint.written == verify_weights(target)
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_an_end_by_force_in_the_middle_of_writing_leaves_the_one_before(
    tmp_path: Path, model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m.safetensors"
    with Outputs(overwrite=False) as outputs:
        checkpoint = Checkpoint(outputs, target)
        checkpoint.write(model.network, model.card)
        before = target.read_bytes()

        def torn(weights: object, path: Path, **more: object) -> None:
            path.write_bytes(b"half a")
            engine_outputs.remove_live_drafts()  # what the watching thread does before it ends all
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(model_bundle, "save_file", torn)
        with pytest.raises(OutputError) as caught:
            checkpoint.write(model.network, model.card)
        assert str(caught.value) == (
            "`m.safetensors` cannot be written (No space left on device). Check the free space and "
            "the permissions of the folder, or choose another one."
        )
        assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
    assert target.read_bytes() == before


def test_a_model_that_is_there_is_asked_about(tmp_path: Path) -> None:
    target = tmp_path / "m.safetensors"
    target.write_bytes(b"mine")
    with (
        pytest.raises(OutputError, match=r"`m\.safetensors` exists already\."),
        Outputs(overwrite=False) as outputs,
    ):
        Checkpoint(outputs, target)
    assert target.read_bytes() == b"mine"


def test_another_extension_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught, Outputs(overwrite=False) as outputs:
        Checkpoint(outputs, tmp_path / "m.pth")
    assert str(caught.value) == (
        "The model `m.pth` would not be a .safetensors file. Give it the extension .safetensors."
    )
