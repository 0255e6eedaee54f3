"""Colors for classes that come without: what a name suggests, else colors far from each other."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence

_SUGGESTED = (
    (("water", "river", "lake", "sea", "ocean", "pond"), "#2b6cb0"),
    (("forest", "wood", "tree", "shrub"), "#22763a"),
    (("grass", "meadow", "pasture", "herb", "lawn"), "#a3cf62"),
    (("crop", "farm", "field", "arable", "cultivat"), "#e8d34f"),
    (("bare", "soil", "sand", "rock"), "#c9a36b"),
    (("built", "urban", "building", "house", "city", "residential"), "#c0392b"),
    (("road", "street", "asphalt", "rail"), "#7a7a7a"),
    (("snow", "ice", "cloud"), "#dfeaf2"),
    (("shadow",), "#3a3a4a"),
    (("wetland", "marsh", "swamp"), "#5aa7a0"),
)
_OTHERS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#e07b39", "#8c6d46",
    "#9a7fd1", "#44aa99", "#999933", "#882255", "#6d8f3f", "#b55a86", "#5c6bc0", "#d4a017",
)  # fmt: skip
_GOLDEN = 0.61803398875


def class_colors(names: Sequence[str]) -> list[str]:
    """Return a color ``#rrggbb`` for each class name; no two are the same."""
    used: set[str] = set()
    suggested = [_suggested(name, used) for name in names]
    spare = iter([color for color in (*_OTHERS, *_spectrum(2 * len(names))) if color not in used])
    return [color or next(spare) for color in suggested]


def _suggested(name: str, used: set[str]) -> str | None:
    text = name.casefold()
    for words, color in _SUGGESTED:
        if color not in used and re.search(rf"\b(?:{'|'.join(words)})", text):
            used.add(color)
            return color
    return None


def _spectrum(count: int) -> list[str]:
    """Return distinct colors whose hues are a golden angle apart."""
    colors = []
    for k in range(count):
        rgb = colorsys.hls_to_rgb(k * _GOLDEN % 1, 0.4 + 0.002 * (k % 128), 0.55)
        colors.append("#{:02x}{:02x}{:02x}".format(*(round(255 * v) for v in rgb)))
    return list(dict.fromkeys(c for c in colors if c not in _OTHERS))
