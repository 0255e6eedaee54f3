"""Model cards: what a model is, needs and has shown, stored in its weights' file.

Standard library only, Python 3.9: QGIS's own interpreter imports this module.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, fields
from typing import Any, Optional

from .classes import ClassScheme

SCHEMA = "panloom-model/1"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class CardError(ValueError):
    """A card that lies or lacks something; the text says which field and why."""


@dataclass(frozen=True)
class Band:
    """One MS band: its role in the field's words and its center wavelength in micrometres."""

    role: str
    center_um: float


@dataclass(frozen=True)
class ModelCard:
    """Everything about a model that is not a weight.

    ``ratio`` is MS GSD ÷ PAN GSD; ``gsd_range_m`` bounds the MS GSD that the model was made for;
    ``radiometry`` says how DN become network input (see ``engine/radiometry.py``); ``temperature``
    divides logits before softmax so that confidence is calibrated on validation data;
    ``weights_sha256`` is over the file's tensor bytes.
    """

    name: str
    title: str
    network: str
    arguments: dict[str, Any]
    bands: tuple[Band, ...]
    ratio: int
    gsd_range_m: tuple[float, float]
    radiometry: dict[str, Any]
    classes: ClassScheme
    training: dict[str, Any] = field(default_factory=dict)
    statistics: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    license: str = ""
    citation: str = ""
    intended_use: str = ""
    weights_sha256: str = ""
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        _require(self.schema == SCHEMA, f"schema is {self.schema!r}; this version reads {SCHEMA!r}")
        _require(
            bool(_NAME.fullmatch(self.name)),
            f"name is {self.name!r}; lower-case letters, digits, dots and dashes are needed",
        )
        _require(bool(self.network), "network is empty")
        _require(len(self.bands) >= 1, "bands is empty")
        _require(1 <= self.ratio <= 16, f"ratio is {self.ratio}; 1…16 is needed")
        low, high = self.gsd_range_m
        _require(0 < low <= high < math.inf, f"gsd_range_m is {low}…{high}")
        _require(0 < self.temperature < math.inf, f"temperature is {self.temperature}")

    @property
    def band_roles(self) -> tuple[str, ...]:
        """Roles of the MS bands in the order that the network takes them."""
        return tuple(b.role for b in self.bands)

    def to_json(self) -> str:
        """Return the card as JSON, keys sorted; ``from_json`` gives an equal card back."""
        body: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        body["bands"] = [{"role": b.role, "center_um": b.center_um} for b in self.bands]
        body["gsd_range_m"] = list(self.gsd_range_m)
        body["classes"] = self.classes.to_json()
        return json.dumps(body, sort_keys=True, ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Return the card in ``text``; raises CardError with what is wrong."""
        try:
            body = json.loads(text)
        except ValueError as error:
            raise CardError(f"the card is not JSON ({error})") from error
        _require(isinstance(body, dict), "the card is not a JSON object")
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(body) - set(known))
        _require(not unknown, f"unknown field {', '.join(unknown)}")
        needed = {
            "name",
            "title",
            "network",
            "arguments",
            "bands",
            "ratio",
            "gsd_range_m",
            "radiometry",
            "classes",
            "weights_sha256",
            "schema",
        }
        missing = sorted(needed - set(body))
        _require(not missing, f"missing field {', '.join(missing)}")
        for name in body:
            _check_type(name, body[name])
        body["bands"] = tuple(_band(value) for value in body["bands"])
        body["gsd_range_m"] = _pair(body["gsd_range_m"])
        try:
            body["classes"] = ClassScheme.from_json(body["classes"])
        except ValueError as error:
            raise CardError(str(error)) from error
        return cls(**body)


_TYPES: dict[str, Any] = {
    "name": str, "title": str, "network": str, "arguments": dict, "bands": list, "ratio": int,
    "gsd_range_m": list, "radiometry": dict, "classes": list, "training": dict,
    "statistics": dict, "metrics": dict, "temperature": (int, float), "license": str,
    "citation": str, "intended_use": str, "weights_sha256": str, "schema": str,
}  # fmt: skip


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CardError(message)


def _check_type(name: str, value: Any) -> None:
    good = isinstance(value, _TYPES[name]) and not isinstance(value, bool)
    _require(good, f"field {name} is {value!r:.80}")


def _number(value: Any) -> Optional[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def _pair(value: Any) -> tuple[float, float]:
    numbers = [_number(v) for v in value]
    _require(len(numbers) == 2 and None not in numbers, f"gsd_range_m is {value!r:.80}")
    return float(value[0]), float(value[1])


def _band(value: Any) -> Band:
    good = isinstance(value, dict) and set(value) == {"role", "center_um"}
    _require(good, f"a band needs role and center_um, got {value!r:.80}")
    center_um = _number(value["center_um"])
    if center_um is None or not isinstance(value["role"], str) or not value["role"]:
        raise CardError(f"a band needs role and center_um, got {value!r:.80}")
    return Band(value["role"], center_um)
