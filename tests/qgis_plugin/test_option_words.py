"""What the engine says of its options is said of parameters in QGIS."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from panloom.engine import cli
from panloom.qgis_plugin.option_words import PARAMETERS, WITHOUT_PARAMETER, in_dialog_words

ROOT = Path(__file__).resolve().parents[2]
QUOTED = re.compile(r"[`\"]--([a-z][a-z0-9-]*)")
DEFINING = ("cli.py", "train_arguments.py")


def quoted_options() -> set[str]:
    """Return every option that the engine's sentences may name."""
    sources = [path for part in ("engine", "models") for path in (ROOT / part).rglob("*.py")]
    texts = [p.read_text(encoding="utf-8") for p in sources if p.name not in DEFINING]
    return {name for text in texts for name in QUOTED.findall(text)}


def test_every_option_that_is_named_has_a_parameter_or_is_left_on_purpose() -> None:
    assert quoted_options() == PARAMETERS.keys() | WITHOUT_PARAMETER
    assert not PARAMETERS.keys() & WITHOUT_PARAMETER


def test_they_are_options_of_the_command_line() -> None:
    commands = cli._parser()._subparsers._group_actions[0].choices.values()
    known = {name for command in commands for name in command._option_string_actions}
    assert {f"--{name}" for name in PARAMETERS.keys() | WITHOUT_PARAMETER} <= known


def test_the_parameters_have_these_titles_in_qgis(qgis) -> None:
    tools = qgis.inside("describe")["answer"]
    titles = {title for name in ("classify", "train") for title in tools[name]["titles"]}
    assert set(PARAMETERS.values()) <= titles


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Leave `--runtime` out.", "Leave “Runtime” out."),
        (
            "Choose smaller tiles (`--tile-px`) or the CPU (`--device cpu`).",
            "Choose smaller tiles (`--tile-px` on the command line) or the CPU (“Device: cpu”).",
        ),
        (
            "Train without stage I (`--stage1 off`).",
            "Train without stage I (“Learn from unlabelled pixels first: off”).",
        ),
        (
            "Install it (`pip install onnx`); `panloom --help` and `--nothing` stay.",
            "Install it (`pip install onnx`); `panloom --help` and `--nothing` stay.",
        ),
    ],
)
def test_options_are_named_as_in_the_dialog(said: str, shown: str) -> None:
    assert in_dialog_words(said) == shown
