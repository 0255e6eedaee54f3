"""The samples of one scene: from a labelled file of any kind to class codes on the MS grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from ...models.classes import UNCLASSIFIED
from ..errors import InputError
from ..labels.array_file import ArrayLabels, is_array_file, read_label_array
from ..labels.layer import file_name, vector_layers
from ..labels.raster import RasterLabels, open_label_raster
from ..labels.tally import POINTS, RASTER, Labels, SampleTally
from ..labels.vector import load_vector
from ..labels.words import SAMPLES
from ..scene.pair import ScenePair
from .sample_classes import FileClasses, check_codes, encode_values


@dataclass(frozen=True)
class Samples:
    """Labelled pixels of a scene on ``shape`` (h, w) of its MS grid, with the file's own codes."""

    label: str
    kind: str
    shape: tuple[int, int]
    labels: Labels
    classes: FileClasses
    tally: SampleTally
    notes: tuple[str, ...]

    def on(self, valid: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32] | None]:
        """Return class codes (h, w), 0 for none, and the features that they come from.

        Samples where ``valid`` (h, w) is False are dropped and counted by class in the tally. The
        features are None for a raster.
        """
        found = self.labels
        lost = found.code[~valid[found.row, found.col]]
        for code in np.unique(lost).tolist():
            self.tally.map_nodata[code] = int((lost == code).sum())
        codes = np.zeros(self.shape, np.int64)
        codes[found.row, found.col] = found.code
        codes[~valid] = UNCLASSIFIED
        if self.kind == RASTER:
            return codes, None
        features = np.full(self.shape, -1, np.int32)
        features[found.row, found.col] = found.feature
        features[codes == UNCLASSIFIED] = -1
        return codes, features

    def require_some(self, codes: NDArray[np.int64], ms: str) -> None:
        """Raise InputError where no sample is left on the scene, with the reasons."""
        if (codes != UNCLASSIFIED).any():
            return
        reasons = self.tally.reasons(self.kind, SAMPLES.grid)
        raise InputError(
            f"No sample of `{self.label}` lies on a valid pixel of `{ms}`"
            + (f": {', '.join(reasons)}." if reasons else "."),
            "no-samples",
            "Choose samples of the same place, and check the CRS of both.",
        )


def read_samples(path: str, class_field: str | None, pair: ScenePair) -> Samples:
    """Return the samples of a file on the MS grid of a pair.

    Polygons label the pixels whose centers they hold, points the pixel they lie in, rasters and
    arrays what lies under each pixel's center. Where polygons or points of different classes meet
    nothing is labelled. Raises InputError for what cannot be used.
    """
    label = file_name(path)
    _require_content(path, label)
    grid = pair.ms.grid
    encoded: list[FileClasses] = []

    def encode(values: Any, name: str) -> NDArray[np.uint8]:
        codes, classes = encode_values(values, name)
        encoded.append(classes)
        return codes

    layers = None if is_array_file(path) else vector_layers(path)
    source: Any
    if layers is not None:
        source = load_vector(path, layers, class_field, grid, encode, SAMPLES)
    elif is_array_file(path):
        source = _array(path, read_label_array(path, class_field, SAMPLES), pair)
    else:
        source = _raster(path, pair)
    try:
        found = source.labels(grid.window)
        source.finish()
    finally:
        source.close()
    if source.kind == POINTS:
        found = _one_a_pixel(found, grid.shape, source.tally)
    if encoded:
        classes = encoded[0]
    else:
        present = np.unique(found.code).tolist()
        classes = FileClasses(label, {code: source.names.get(code) for code in present})
    return Samples(
        label, source.kind, grid.shape, found, classes, source.tally, tuple(source.notes)
    )


def _require_content(path: str, label: str) -> None:
    file = Path(path.split("|")[0])
    if file.is_file() and file.stat().st_size == 0:
        raise InputError(
            f"The {SAMPLES.labels} `{label}` is empty (0 bytes).",
            SAMPLES.code("unreadable"),
            "Fetch or write it again.",
        )


def _raster(path: str, pair: ScenePair) -> RasterLabels | ArrayLabels:
    """Open a label raster; where nothing is georeferenced it lies on the MS file's pixels."""
    with open_label_raster(path, SAMPLES) as source:
        if source.crs is not None or source.transform != Affine.identity() or pair.ms.grid.crs:
            return RasterLabels(path, pair.ms.grid, check_codes, SAMPLES)
        values = source.read(1, masked=True)
    codes = np.where(np.ma.getmaskarray(values), UNCLASSIFIED, values.data)
    if codes.dtype.kind == "f":
        codes = np.where(np.isfinite(codes), codes, UNCLASSIFIED)
    return _array(path, codes, pair)


def _array(path: str, codes: NDArray[Any], pair: ScenePair) -> ArrayLabels:
    raster = pair.ms.raster
    if codes.shape != raster.file_shape:
        height, width = raster.file_shape
        raise InputError(
            f"The labels of `{file_name(path)}` have {codes.shape[0]} × {codes.shape[1]} rows and "
            f"columns; the MS raster `{raster.label}` has {height} × {width}.",
            "array-shape",
            "Give labels of the MS raster's shape, 0 where there is none.",
        )
    return ArrayLabels(path, codes, pair.ms_elements, check_codes)


def _one_a_pixel(found: Labels, shape: tuple[int, int], tally: SampleTally) -> Labels:
    """Return one point a pixel; none where points of different classes share one."""
    place = found.row * shape[1] + found.col
    _, first, inverse = np.unique(place, return_index=True, return_inverse=True)
    low, high = np.full(len(first), 255, np.uint8), np.zeros(len(first), np.uint8)
    np.minimum.at(low, inverse, found.code)
    np.maximum.at(high, inverse, found.code)
    tally.contradictory_px += int((low != high).sum())
    keep = first[low == high]
    return Labels(found.row[keep], found.col[keep], found.code[keep], found.feature[keep])
