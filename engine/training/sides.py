"""The labels of several scenes, and on which side of a training each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..grid import Grid
from .scenes import UNLABELLED, LabelledScene

Counts = NDArray[np.int64]
Split = tuple[list[LabelledScene], list[LabelledScene]]


@dataclass(frozen=True)
class Labelled:
    """The scenes to split, and the number of their classes."""

    scenes: tuple[LabelledScene, ...]
    classes: int
    names: tuple[str, ...]

    @cached_property
    def places(self) -> tuple[int, ...]:
        """The number of the ground that each scene shows: the same one where the grids are."""
        grids: list[object] = []
        for scene in self.scenes:
            known = scene.grid is not None and scene.grid.crs is not None
            grids.append(scene.grid if known else object())
        return tuple(grids.index(grid) for grid in grids)

    def overlaps(self) -> list[tuple[str, str]]:
        """Return the names of scenes that share ground but not their grid."""
        placed = [(s.name, s.grid) for s in self.scenes if s.grid and s.grid.crs is not None]
        return [
            (name, other_name)
            for (name, grid), (other_name, other) in combinations(placed, 2)
            if grid != other and grid.crs == other.crs and _intersect(grid, other)
        ]

    def name(self, class_index: int) -> str:
        """Return what to call a class."""
        known = class_index < len(self.names)
        return self.names[class_index] if known else f"class {class_index + 1}"

    def totals(self) -> Counts:
        """Return the number of labels (K,) of each class."""
        return self.count([scene.labels != UNLABELLED for scene in self.scenes])

    def count(self, masks: Sequence[NDArray[np.bool_]]) -> Counts:
        """Return the number of labels (K,) of each class where the scenes' masks are True."""
        found = [
            np.bincount(scene.labels[mask], minlength=self.classes)
            for scene, mask in zip(self.scenes, masks, strict=True)
        ]
        return np.asarray(np.sum(found, axis=0))

    def divided(self, sides: Sides) -> Split:
        """Return the training and the validation scenes; images are shared, not copied."""
        pairs = zip(self.scenes, sides.training, sides.validation, strict=True)
        parts = [(scene, _only(scene, t), _only(scene, v)) for scene, t, v in pairs]
        validated = [v for _, _, v in parts if (v.labels != UNLABELLED).any()]
        return [t for _, t, _ in parts], validated


@dataclass(frozen=True)
class Sides:
    """Where each scene's labels (h, w) are for training, and where for validation."""

    training: list[NDArray[np.bool_]]
    validation: list[NDArray[np.bool_]]


def _only(scene: LabelledScene, mask: NDArray[np.bool_]) -> LabelledScene:
    return replace(scene, labels=np.where(mask, scene.labels, UNLABELLED))


def _intersect(grid: Grid, other: Grid) -> bool:
    (left, bottom, right, top), (w, s, e, n) = grid.bounds, other.bounds
    return left < e and w < right and bottom < n and s < top
