"""Labelled samples on a grid, and the account of those that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS, POLYGONS, RASTER = "points", "polygons", "raster"


@dataclass(frozen=True)
class Labels:
    """Labelled samples in a window of a grid.

    ``row`` and ``col`` (n,) are counted on the whole grid, ``code`` (n,) are class codes 1…254 and
    ``feature`` (n,) is the index of the point or polygon, or −1 in a raster.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    code: NDArray[np.uint8]
    feature: NDArray[np.int64]


@dataclass
class SampleTally:
    """What was in a labelled file and what of it could not be used, as counts."""

    features: int = 0
    """Points or polygons in the layer; 0 for a raster."""
    unlabelled: int = 0
    """Features without a class, without a geometry, or of class 0."""
    outside: int = 0
    """Features wholly outside of the grid."""
    without_pixel: int = 0
    """Polygons on the grid that hold the center of no pixel."""
    contradictory_px: int = 0
    """Pixels on which polygons of different classes lie."""
    map_nodata: dict[int, int] = field(default_factory=dict)
    """Samples on nodata, by class code."""

    def reasons(self, kind: str, grid: str = "map") -> list[str]:
        """Return a phrase for each reason that applies: how many of what, and why not.

        ``grid`` is the word for what the samples are laid on.
        """
        feature = kind.removesuffix("s")
        counts = (
            (self.outside, feature, f"outside of the {grid}"),
            (self.unlabelled, feature, "without a class"),
            (self.without_pixel, feature, "around the center of no pixel"),
            (self.contradictory_px, "pixel", f"in {kind} of different classes"),
            (sum(self.map_nodata.values()), "sample", f"on the {grid}'s nodata"),
        )
        return [f"{n:,} {what}{'s' * (n != 1)} {why}" for n, what, why in counts if n]


def count_codes(codes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the codes that occur in any array, in order, and how often."""
    found, counts = np.unique(codes, return_counts=True)
    return found, counts
