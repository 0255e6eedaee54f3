"""Model cards: an exact round trip, and a reason for every card that lies."""

from __future__ import annotations

import json

import pytest

from panloom.models.card import Band, CardError, ModelCard
from panloom.models.classes import ClassScheme, LandClass


def card(**changes) -> ModelCard:
    fields = {
        "name": "test-2class",
        "title": "A test",
        "network": "adcdnet",
        "arguments": {"width": 8},
        "bands": (Band("green", 0.56), Band("red", 0.66)),
        "ratio": 2,
        "gsd_range_m": (20.0, 40.0),
        "radiometry": {"kind": "none"},
        "classes": ClassScheme(
            (LandClass(1, "Wasser", "#0000ff"), LandClass(4, "Wald", "#00ff00"))
        ),
        "weights_sha256": "0" * 64,
        "temperature": 1.25,
    }
    return ModelCard(**{**fields, **changes})


def test_the_round_trip_is_exact():
    assert ModelCard.from_json(card().to_json()) == card()
    assert ModelCard.from_json(card().to_json()).to_json() == card().to_json()


def changed(**changes) -> str:
    body = json.loads(card().to_json())
    for name, value in changes.items():
        if value is None:
            del body[name]
        else:
            body[name] = value
    return json.dumps(body)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "the card is not JSON"),
        ("[]", "the card is not a JSON object"),
        (changed(colour="red"), "unknown field colour"),
        (changed(bands=None), "missing field bands"),
        (changed(ratio="2"), "field ratio is '2'"),
        (changed(ratio=True), "field ratio is True"),
        (changed(ratio=40), "ratio is 40; 1…16 is needed"),
        (changed(schema="panloom-model/9"), "schema is 'panloom-model/9'"),
        (changed(name="Ä b"), "name is 'Ä b'"),
        (changed(bands=[]), "bands is empty"),
        (changed(bands=[{"role": "red"}]), "a band needs role and center_um"),
        (changed(gsd_range_m=[40, 20]), "gsd_range_m is 40.0…20.0"),
        (changed(gsd_range_m=[40]), "gsd_range_m is [40]"),
        (changed(classes=[{"code": 1}]), "a class needs code, name and color"),
        (changed(temperature=0), "temperature is 0"),
    ],
)
def test_a_card_that_lies_is_refused_with_its_reason(text, reason):
    with pytest.raises(CardError) as caught:
        ModelCard.from_json(text)
    assert reason in str(caught.value)
