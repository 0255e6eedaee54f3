"""From what a reference calls its classes, numbers or names, to the map's class codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.classes import UNCLASSIFIED
from ..errors import InputError

_SHOWN = 5


def class_codes(
    values: Any, label: str, *, names: dict[int, str], closed: bool
) -> NDArray[np.uint8]:
    """Return the class code (n,) of each value of a pandas series, 0 where there is none.

    A value is a code of the map or, ignoring case and surrounding blanks, the name of one of its
    classes. ``names`` are the map's classes by code; unless ``closed``, other codes may occur too.
    Raises InputError that lists the values that fit no class.
    """
    by_name = {name.strip().casefold(): code for code, name in names.items()}
    codes: dict[Any, int] = {}
    unknown: list[Any] = []
    counts = values.value_counts()
    for value in counts.index:
        code = _code(value, by_name)
        if code is None or (code not in names and code != UNCLASSIFIED and closed):
            unknown.append(value)
        else:
            codes[value] = code
    if unknown:
        raise _not_in_map(unknown, [int(counts[v]) for v in unknown], names, label)
    mapped = values.map(codes).fillna(UNCLASSIFIED)
    return np.asarray(mapped.astype(np.uint8))


def require_in_map(
    codes: NDArray[Any], counts: NDArray[Any], label: str, *, names: dict[int, str], closed: bool
) -> None:
    """Raise InputError where a raster's codes (with pixel counts) are no classes of the map."""
    unknown = [
        (code, count)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
        if (closed and code not in names) or not 1 <= code <= 254 or code != int(code)
    ]
    if unknown:
        raise _not_in_map([c for c, _ in unknown], [n for _, n in unknown], names, label)


def _code(value: Any, by_name: dict[str, int]) -> int | None:
    """Return the code that ``value`` names, None for none: a name first, a number otherwise."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return UNCLASSIFIED
        if text.casefold() in by_name:
            return by_name[text.casefold()]
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() and 0 <= number <= 254 else None


def _not_in_map(
    values: list[Any], counts: list[int], names: dict[int, str], label: str
) -> InputError:
    listed = [f"`{v:g}`" if isinstance(v, float) else f"`{v}`" for v in values]
    shown = [f"{v} ({n:,})" for v, n in zip(listed[:_SHOWN], counts, strict=False)]
    if len(values) > _SHOWN:
        shown.append(f"and {len(values) - _SHOWN} more")
    classes = ", ".join(f"{code} {name}" for code, name in names.items())
    return InputError(
        f"The reference `{label}` has {'a class' if len(values) == 1 else 'classes'} that the map "
        f"does not have: {', '.join(shown)}. The map's classes are {classes}.",
        "class-not-in-map",
        "Give each sample one of these codes or names, and 0 to what shall not be compared.",
    )
