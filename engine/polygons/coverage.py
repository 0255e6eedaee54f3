"""Simplification of neighboring polygons without gap or overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from .runs import FloatArray, IntArray


@dataclass(frozen=True)
class Coverage:
    """Polygons that share their vertices where they touch, as flat arrays.

    ``xy`` (v, 2) vertices of closed rings, ``ring_size`` (r,), ``ring_count`` (n,) rings a polygon.
    """

    xy: FloatArray
    ring_size: IntArray
    ring_count: IntArray

    def __len__(self) -> int:
        return len(self.ring_count)

    @classmethod
    def joined(cls, parts: list[Coverage]) -> Coverage:
        """Return the polygons of all parts, one after the other."""
        return cls(
            np.concatenate([part.xy for part in parts]),
            np.concatenate([part.ring_size for part in parts]),
            np.concatenate([part.ring_count for part in parts]),
        )


def simplify_coverage(coverage: Coverage, tolerance: float) -> tuple[Coverage, FloatArray]:
    """Return the simplified coverage and, for each polygon, new area ÷ old area.

    Corners are removed while the triangle they form with their neighbors is smaller than
    ``tolerance``² (Visvalingam and Whyatt 1993, doi:10.1179/000870493786962263), shared outlines
    once for both sides. The outer border, where only nodata follows, stays as it is: the covered
    ground does not change. For the corner of a pixel staircase the root of that area is the
    distance by which the outline moves, so ``tolerance`` is a distance.
    """
    polygons = _polygons(coverage)
    before = shapely.area(polygons)
    simplified = shapely.coverage_simplify(polygons, tolerance, simplify_boundary=False)
    # GEOS turns the rings as it likes; outer rings run counterclockwise here.
    simplified = shapely.orient_polygons(simplified)
    _, xy, offsets = shapely.to_ragged_array(simplified)
    ring_offsets, polygon_offsets = offsets
    return (
        Coverage(xy, np.diff(ring_offsets), np.diff(polygon_offsets)),
        shapely.area(simplified) / before,
    )


def _polygons(coverage: Coverage) -> Any:
    return shapely.from_ragged_array(
        shapely.GeometryType.POLYGON,
        coverage.xy,
        (np.append(0, np.cumsum(coverage.ring_size)), np.append(0, np.cumsum(coverage.ring_count))),
    )
