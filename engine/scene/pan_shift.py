"""The shift between a PAN and its MS: what was asked for, and what a measurement is good for.

A shift is (dx, dy) in PAN pixels: how far the PAN's content lies to the right of, and below, where
the MS puts it.
"""

from __future__ import annotations

import math

from ..errors import InputError
from ..events import Message
from .registration import Registration

Shift = tuple[float, float]

_LEAST_SHIFT_PX = 0.2


def fixed_shift(pan_shift: str | Shift) -> Shift | None:
    """Return the shift that was asked for, None where it is to be measured.

    Raises InputError for what is neither "none", "auto" nor two finite numbers.
    """
    if pan_shift == "auto":
        return None
    if pan_shift == "none":
        return 0.0, 0.0
    parts = pan_shift.split(",") if isinstance(pan_shift, str) else pan_shift
    try:
        dx, dy = (float(part) for part in parts)
        if math.isfinite(dx) and math.isfinite(dy):
            return dx, dy
    except ValueError:
        pass
    raise InputError(
        f"The PAN shift is {pan_shift!r}; none, auto, or two numbers DX,DY are needed.",
        "pan-shift",
        "Give how far the PAN lies to the right and down, in PAN pixels, such as -1,-1.",
    )


def decide_shift(found: Registration, is_exact: bool) -> tuple[Shift, Message]:
    """Return the shift to correct, and why; a pair that fits keeps fitting pixel by pixel."""
    measured = f"{shift_text((found.dx, found.dy))} PAN pixels (confidence {found.confidence:.2f})"
    if not found.is_sure:
        note = f"The shift of the PAN could not be measured surely, {measured}: none is corrected."
        return (0.0, 0.0), Message(note, "warning")
    if not worth_correcting(found):
        return (0.0, 0.0), Message(f"The PAN lies {measured} off the MS: nothing is corrected.")
    dx, dy = found.dx, found.dy
    whole = round(dx), round(dy)
    if is_exact and math.hypot(dx - whole[0], dy - whole[1]) < _LEAST_SHIFT_PX:
        dx, dy = float(whole[0]), float(whole[1])
    return (dx, dy), Message(
        f"The PAN lies {measured} off the MS: it is moved back by {shift_text((dx, dy))}."
    )


def worth_correcting(found: Registration) -> bool:
    """True where a shift is larger than the error of its measurement."""
    return found.distance_px >= _LEAST_SHIFT_PX


def shift_text(shift: Shift) -> str:
    """Return a shift in words: (right, down) with signs."""
    return f"({shift[0]:+.2f}, {shift[1]:+.2f})"
