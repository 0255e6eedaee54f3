"""Regions of a class map: what is known of each, in columns."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from .runs import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Regions:
    """4-connected regions of equal code, as columns of one table.

    ``area`` is in units of ``GroundArea.unit_m2``; ``confidence`` is the sum of percent over the
    ``confident`` pixels, those that have one. All sums are whole numbers, so they do not depend on
    the strips they were gathered from.
    """

    code: IntArray
    pixels: FloatArray
    area: FloatArray
    confidence: FloatArray
    confident: FloatArray

    def __len__(self) -> int:
        return len(self.code)

    @classmethod
    def none(cls) -> Regions:
        """Return the empty table."""
        return cls(np.empty(0, dtype=np.int64), *(np.empty(0) for _ in range(4)))

    @classmethod
    def joined(cls, parts: list[Regions]) -> Regions:
        """Return the regions of all parts, one after the other."""
        return cls(
            *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls))
        )

    def pick(self, which: IntArray | BoolArray) -> Regions:
        """Return the regions ``which`` (indices or mask) in that order."""
        return Regions(*(getattr(self, column.name)[which] for column in fields(self)))
