"""The line protocol: total in both directions, ASCII, one line."""

from __future__ import annotations

import json

import pytest

from panloom.engine.events import (
    Cancelled,
    Failure,
    Hello,
    Message,
    Progress,
    ProtocolError,
    Result,
    decode,
    encode,
)

EVENTS = [
    Hello("0.1.0", "classify", 42),
    Progress(0.5, "reading", 1.5e6, 12.0),
    Progress(0.0),
    Message("Grüße\nzweite Zeile", "warning"),
    Result({"map": "/tmp/Straße.tif"}, {"pixels": 3}),
    Failure("Found 3 bands; 6 are needed.", "band-count", "Choose another raster."),
    Cancelled(),
]


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_survives_the_line(event):
    line = encode(event)
    assert decode(line) == event
    assert line.isascii()
    assert "\n" not in line


@pytest.mark.parametrize(
    "line",
    ["", "text", "[1]", "{}", '{"event": "unheard"}', '{"event": "hello"}', '{"event": "message"'],
)
def test_anything_else_is_a_protocol_error(line):
    with pytest.raises(ProtocolError):
        decode(line)


def test_nan_never_enters_the_stream():
    with pytest.raises(ValueError, match="JSON"):
        encode(Progress(float("nan")))


def test_a_line_is_plain_json_with_its_name():
    assert json.loads(encode(Message("a")))["event"] == "message"
