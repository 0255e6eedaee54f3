"""Class schemes: the only crossing between class codes in rasters and class indices in tensors.

Standard library only, Python 3.9: QGIS's own interpreter imports this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

UNCLASSIFIED = 0
"""Code of pixels without a class: nodata in every class map."""

_COLOR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class LandClass:
    """One class: code 1…254 as written in rasters, name, color as ``#rrggbb``."""

    code: int
    name: str
    color: str

    def __post_init__(self) -> None:
        if isinstance(self.code, bool) or not isinstance(self.code, int):
            raise ValueError(f"class code {self.code!r} is not a whole number")
        if not 1 <= self.code <= 254:
            raise ValueError(f"class code {self.code} is outside 1…254")
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"class {self.code} has no name")
        if not isinstance(self.color, str) or not _COLOR.fullmatch(self.color):
            raise ValueError(f"class {self.code} has color {self.color!r}; #rrggbb is needed")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green, blue, each 0…255."""
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)


@dataclass(frozen=True)
class ClassScheme:
    """Classes in the order of a network's output channels (the class index)."""

    classes: tuple[LandClass, ...]

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise ValueError(f"a class scheme needs two classes, got {len(self.classes)}")
        for what in ("code", "name"):
            values = [getattr(c, what) for c in self.classes]
            twice = sorted({str(v) for v in values if values.count(v) > 1})
            if twice:
                raise ValueError(f"class {what} {', '.join(twice)} occurs twice")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def codes(self) -> tuple[int, ...]:
        """Class codes by class index."""
        return tuple(c.code for c in self.classes)

    @property
    def names(self) -> dict[int, str]:
        """Names by class code."""
        return {c.code: c.name for c in self.classes}

    @property
    def colors(self) -> dict[int, str]:
        """Colors (``#rrggbb``) by class code."""
        return {c.code: c.color for c in self.classes}

    def to_json(self) -> list[dict[str, Any]]:
        """Return the scheme as plain JSON values."""
        return [{"code": c.code, "name": c.name, "color": c.color} for c in self.classes]

    @classmethod
    def from_json(cls, value: Any) -> ClassScheme:
        """Return the scheme that ``to_json`` gave; raises ValueError for anything else."""
        if not isinstance(value, list):
            raise ValueError("classes is not a list")
        classes = []
        for item in value:
            if not isinstance(item, dict) or set(item) != {"code", "name", "color"}:
                raise ValueError(f"a class needs code, name and color, got {item!r}")
            classes.append(LandClass(item["code"], item["name"], item["color"]))
        return cls(tuple(classes))
