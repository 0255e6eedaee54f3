"""The command line of ``panloom train``: one pair, or a list of scenes."""

from __future__ import annotations

import pytest

from panloom.engine import cli
from panloom.engine.recipes.train import TrainOptions


def parse(*words: str) -> TrainOptions:
    given = vars(cli._parser().parse_args(["train", *words]))
    for name in ("command", "events"):
        given.pop(name)
    return TrainOptions(**given)


def test_four_paths_are_a_pair_with_its_samples() -> None:
    found = parse("ms.tif", "pan.tif", "fields.gpkg", "m.safetensors", "--class-field", "crop")
    assert found == TrainOptions(
        output="m.safetensors", ms="ms.tif", pan="pan.tif", samples="fields.gpkg",
        class_field="crop",
    )  # fmt: skip


def test_two_paths_are_a_list_of_scenes() -> None:
    found = parse("Scenes.CSV", "m.safetensors", "--minutes", "2.5", "--stage1", "on")
    assert found == TrainOptions(
        output="m.safetensors", scenes="Scenes.CSV", minutes=2.5, stage1="on"
    )


def test_every_option_arrives() -> None:
    found = parse(
        "a", "b", "c", "d", "--network", "mscn", "--fusion", "sum", "--base", "x", "--epochs", "3",
        "--validation", "random", "--seed", "7", "--device", "cpu", "--overwrite",
    )  # fmt: skip
    assert found == TrainOptions(
        output="d", ms="a", pan="b", samples="c", network="mscn", fusion="sum", base="x", epochs=3,
        validation="random", seed=7, device="cpu", overwrite=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["a.tif", "b.tif"],
            "train takes MS PAN SAMPLES OUT.safetensors, or SCENES.csv OUT.safetensors; 2 paths "
            "were given",
        ),
        (["a", "b", "c"], "3 paths were given"),
        (["a", "b", "c", "d", "e"], "5 paths were given"),
        (["a.csv", "b", "--epochs", "0"], "argument --epochs: 0 is not a whole number above 0"),
        (["a.csv", "b", "--minutes", "0"], "argument --minutes: 0 is not a number above 0"),
        (["a.csv", "b", "--minutes", "inf"], "argument --minutes: inf is not a number above 0"),
        (["a.csv", "b", "--seed", "-1"], "argument --seed: -1 is not a whole number from 0 up"),
        (["a.csv", "b", "--validation", "blind"], "argument --validation: invalid choice"),
    ],
)
def test_wrong_usage_is_a_sentence_and_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
