"""Cards of networks that users bring as ONNX: a JSON file beside the network, most of it optional.

Standard library only, Python 3.9: QGIS's own interpreter imports this module.
"""

from __future__ import annotations

import json
import re

from .card import SCHEMA, CardError, ModelCard

ONNX_SUFFIX = ".onnx"
OWN_NETWORK = "onnx"
"""The card's ``network`` where the network itself is a file beside the card."""

NEEDED = ("bands", "ratio", "radiometry", "classes")
"""Fields that nobody can guess; every other one has a default."""

_ANY_GSD_M = (0.01, 10_000.0)


def own_card(text: str, stem: str) -> ModelCard:
    """Return the card in ``text`` for the network ``stem``.onnx, what is left out filled in.

    Raises CardError with what is wrong.
    """
    try:
        body = json.loads(text)
    except ValueError as error:
        raise CardError(f"the card is not JSON ({error})") from error
    if not isinstance(body, dict):
        raise CardError("the card is not a JSON object")
    missing = [name for name in NEEDED if name not in body]
    if missing:
        raise CardError(f"missing field {', '.join(missing)}")
    card = ModelCard.from_json(json.dumps({**_defaults(stem), **body}))
    if card.network != OWN_NETWORK:
        raise CardError(f"network is {card.network!r}; beside an ONNX file it is {OWN_NETWORK!r}")
    return card


def _defaults(stem: str) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "name": _name(stem),
        "title": stem,
        "network": OWN_NETWORK,
        "arguments": {},
        "gsd_range_m": list(_ANY_GSD_M),
        "weights_sha256": "",
    }


def _name(stem: str) -> str:
    """Return a file's name as a card's: lower case, other signs than a name has as dashes."""
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:64] or OWN_NETWORK
