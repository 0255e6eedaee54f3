"""The card beside a user's ONNX network: little is needed, and what is wrong is a sentence."""

from __future__ import annotations

import json

import pytest

from panloom.models.bundle import load_bundle
from panloom.models.card import Band
from panloom.models.file import HEADER_LIMIT, ModelFileError, find_model, is_onnx, read_card

MINIMAL = {
    "bands": [{"role": "red", "center_um": 0.66}],
    "ratio": 4,
    "radiometry": {"kind": "dark-object"},
    "classes": [
        {"code": 1, "name": "water", "color": "#0000ff"},
        {"code": 2, "name": "land", "color": "#00ff00"},
    ],
}
HINT = "A card needs bands, ratio, radiometry and classes; docs/own-models.md has one to copy."


def write(folder, body, name="My Net_2.onnx"):
    path = folder / name
    path.write_bytes(b"")
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    card = path.with_suffix(".json")
    card.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_minimal_card_is_filled_in(tmp_path):
    card = read_card(find_model(str(write(tmp_path, MINIMAL))))
    assert (card.name, card.title, card.network) == ("my-net_2", "My Net_2", "onnx")
    assert card.bands == (Band("red", 0.66),)
    assert card.arguments == {}
    assert card.temperature == 1
    assert card.weights_sha256 == ""
    assert card.gsd_range_m == (0.01, 10_000)


def test_a_whole_card_is_taken_as_it_is(tmp_path):
    whole = {**MINIMAL, "name": "x", "title": "X", "network": "onnx", "gsd_range_m": [1, 2],
             "arguments": {"tile_px": 64}, "temperature": 1.5, "license": "CC0"}  # fmt: skip
    card = read_card(write(tmp_path, whole))
    assert json.loads(card.to_json()) == {
        **json.loads(card.to_json()), **whole, "gsd_range_m": [1, 2]
    }  # fmt: skip


def test_a_name_without_usable_letters(tmp_path):
    assert read_card(write(tmp_path, MINIMAL, "Ä.onnx")).name == "onnx"


def test_upper_case_suffixes_are_onnx_too(tmp_path):
    path = write(tmp_path, MINIMAL, "NET.ONNX")
    assert is_onnx(path)
    assert read_card(path).name == "net"


def without(*names):
    return {key: value for key, value in MINIMAL.items() if key not in names}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (without("bands", "classes"), "missing field bands, classes"),
        ({**MINIMAL, "colour": 1}, "unknown field colour"),
        ({**MINIMAL, "ratio": 40}, "ratio is 40; 1…16 is needed"),
        (
            {**MINIMAL, "network": "adcdnet"},
            "network is 'adcdnet'; beside an ONNX file it is 'onnx'",
        ),
        ([], "the card is not a JSON object"),
        (
            "{",
            "the card is not JSON (Expecting property name enclosed in double quotes: line 1 "
            "column 2 (char 1))",
        ),
    ],
)
def test_a_card_that_cannot_be_used(tmp_path, body, what):
    with pytest.raises(ModelFileError) as caught:
        read_card(write(tmp_path, body))
    assert str(caught.value) == f"The card `My Net_2.json` cannot be used: {what}."
    assert caught.value.hint == HINT


@pytest.mark.parametrize("body", [b"\xff\xfe{", "[" * 100_000])
def test_a_card_that_is_no_text_or_nested_without_end(tmp_path, body):
    with pytest.raises(ModelFileError, match=r"The card `My Net_2\.json` cannot be used: "):
        read_card(write(tmp_path, body))


def test_a_card_beyond_all_measure(tmp_path):
    with pytest.raises(ModelFileError) as caught:
        read_card(write(tmp_path, " " * (HEADER_LIMIT + 1)))
    assert str(caught.value) == "The card `My Net_2.json` is longer than 4194304 bytes."


def test_no_card_at_all(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"")
    with pytest.raises(ModelFileError) as caught:
        read_card(path)
    assert str(caught.value) == "`net.onnx` has no card: there is no `net.json` beside it."
    assert caught.value.hint == (
        "Write one with bands, ratio, radiometry and classes; docs/own-models.md has one to copy."
    )


def test_an_onnx_network_is_no_base_to_train_on(tmp_path):
    with pytest.raises(ModelFileError) as caught:
        load_bundle(write(tmp_path, MINIMAL, "net.onnx"))
    assert str(caught.value) == (
        "`net.onnx` is an ONNX network, which can be run but not trained; a .safetensors model is "
        "needed here."
    )
