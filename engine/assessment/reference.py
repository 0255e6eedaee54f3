"""Reference samples and the map's classes at the same places.

A reference is a vector layer of points or polygons, a raster or an array (``engine/labels``); each
gives labels strip by strip on the map's grid. No sample is dropped in
silence: what cannot be compared is counted by reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...models.classes import UNCLASSIFIED
from ..errors import InputError
from ..grid import Grid, Window
from ..labels.array_file import ArrayLabels, covering, is_array_file, read_label_array
from ..labels.layer import vector_layers
from ..labels.raster import RasterLabels
from ..labels.tally import Labels, SampleTally
from ..labels.vector import load_vector
from ..labels.words import REFERENCE
from ..polygons.strips import ClassMapReader
from .reference_classes import class_codes, require_in_map


class Reference(Protocol):
    """What every kind of reference offers."""

    kind: str
    tally: SampleTally
    notes: list[str]
    pixels_per_sample: float
    """Map pixels that one reference pixel covers (rasters coarser than the map); otherwise 1."""

    def labels(self, window: Window) -> Labels:
        """Return the samples in ``window``; windows are asked for from top to bottom, once each."""

    def finish(self) -> None:
        """Complete the tally when every window has been asked for."""

    def close(self) -> None:
        """Close the files."""


@dataclass(frozen=True)
class Pairs:
    """Samples of ``rows`` rows of the map: ``map_code`` (n,) is 0 where the map has nodata."""

    labels: Labels
    map_code: NDArray[np.uint8]
    rows: int


def open_reference(
    path: str, class_field: str | None, grid: Grid, names: dict[int, str], *, closed: bool
) -> Reference:
    """Open points, polygons, a raster or a label array as a reference of a map on ``grid``.

    ``names`` are the map's classes by code; with ``closed`` no other class may occur. Raises
    InputError for what cannot be used.
    """
    check = partial(require_in_map, names=names, closed=closed)
    if is_array_file(path):
        codes = read_label_array(path, class_field, REFERENCE)
        place, factor = covering(grid, codes.shape, Path(path).name, REFERENCE)
        return ArrayLabels(path, codes, place, check, float(factor**2))
    layers = vector_layers(path)
    if layers is None:
        raster = RasterLabels(path, grid, check, REFERENCE)
        raster.notes += _other_names(raster.names, names)
        return raster
    encode = partial(class_codes, names=names, closed=closed)
    return load_vector(path, layers, class_field, grid, encode, REFERENCE)


def pairs(reader: ClassMapReader, reference: Reference) -> Iterator[Pairs]:
    """Yield the samples of each strip of the map with the map's classes there.

    Raises InputError for a map that holds no class codes.
    """
    for strip in reader.strips():
        height, width = strip.codes.shape
        labels = reference.labels(Window(0, strip.row, width, height))
        codes = strip.codes[labels.row - strip.row, labels.col]
        there = (codes != reader.empty) & (codes != UNCLASSIFIED)
        _require_class_codes(codes[there])
        map_code = np.where(there, codes, UNCLASSIFIED).astype(np.uint8)
        lost, counts = np.unique(labels.code[~there], return_counts=True)
        for code, count in zip(lost.tolist(), counts.tolist(), strict=True):
            reference.tally.map_nodata[code] = reference.tally.map_nodata.get(code, 0) + count
        yield Pairs(labels, map_code, height)
    reference.finish()


def _other_names(theirs: dict[int, str], ours: dict[int, str]) -> list[str]:
    """Return a note for each class that the reference calls by another name than the map."""
    return [
        f"Class {code} is `{name}` in the reference and `{ours[code]}` in the map; they were "
        "compared by code."
        for code, name in theirs.items()
        if code in ours and ours[code].strip().casefold() != name.strip().casefold()
    ]


def _require_class_codes(codes: NDArray[np.integer[Any]]) -> None:
    outside = codes[(codes < 1) | (codes > 254)]
    if len(outside):
        raise InputError(
            f"The map holds the value {outside[0]}; class codes lie in 1…254.",
            "not-a-class-map",
            "Choose a class map, or reclassify the raster first.",
        )
