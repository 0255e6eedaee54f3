"""What the words on the command line may be; argparse turns an error into a sentence."""

from __future__ import annotations

import argparse
import re


def positive(text: str) -> int:
    """Return a whole number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def above_zero(text: str) -> float:
    """Return a number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def seed(text: str) -> int:
    """Return a whole number from 0 up."""
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 up")
    return value


def not_negative(text: str) -> float:
    """Return a number from 0 up."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 up")
    return value


def pan_shift(text: str) -> str:
    """Return ``text`` where it is none, auto or a pair of numbers."""
    number = r"[-+]?\d+(\.\d*)?|[-+]?\.\d+"
    if text not in ("none", "auto") and not re.fullmatch(f"({number}),({number})", text):
        raise argparse.ArgumentTypeError(f"{text} is none of: none, auto, DX,DY")
    return text
