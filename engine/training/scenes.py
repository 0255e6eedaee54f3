"""Labelled scenes in memory, on the two grids that the network works on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..grid import Grid
from ..radiometry import Radiometry, fit_radiometry
from ..scene.pair import ScenePair
from .samples import Samples, read_samples

UNLABELLED = -1


@dataclass(frozen=True)
class LabelledScene:
    """One scene to train on or to test with.

    ``ms`` (C, h, w) and ``pan`` (1, r·h, r·w) are DN as float32; the masks are (r·h, r·w);
    ``labels`` (h, w) holds class indices, −1 where unlabelled or invalid. ``group`` names what must
    not be split between training and test, such as a path/row. ``features`` (h, w) is the number of
    the polygon or point that a label comes from, −1 elsewhere; None where labels are a raster.
    ``grid`` is the MS grid, None where it is not known.
    """

    name: str
    group: str
    ms: NDArray[np.float32]
    pan: NDArray[np.float32]
    ms_valid: NDArray[np.bool_]
    pan_valid: NDArray[np.bool_]
    labels: NDArray[np.int64]
    sample_ms: NDArray[np.float32]
    sample_pan: NDArray[np.float32]
    features: NDArray[np.int32] | None = None
    grid: Grid | None = None

    @property
    def ratio(self) -> int:
        """MS GSD ÷ PAN GSD."""
        return int(self.pan.shape[-1] // self.ms.shape[-1])

    def radiometry(self, spec: dict[str, object]) -> Radiometry:
        """Return the scene's radiometry as ``classify`` would fit it."""
        return fit_radiometry(spec, self.sample_ms, self.sample_pan)


def load_scene(
    name: str, group: str, ms: str, pan: str, labels: str, *, codes: tuple[int, ...], ratio: int
) -> LabelledScene:
    """Open a pair and its samples (class codes, 0 unlabelled) and read all of it.

    Raises InputError for a pair that does not fit, or labels with a code that is not in ``codes``.
    """
    with ScenePair.open(ms, pan, ratio=ratio) as pair:
        samples = read_samples(labels, None, pair)
        scene = read_scene(name, group, pair, samples)
    strange = sorted(set(samples.classes.names) - set(codes))
    if strange:
        raise InputError(
            f"The labels `{labels}` hold the codes {strange}; the classes have {list(codes)}.",
            "label-codes",
        )
    return with_classes(scene, {code: index for index, code in enumerate(codes)})


def read_scene(name: str, group: str, pair: ScenePair, samples: Samples) -> LabelledScene:
    """Read all of a pair; the labels are the samples' codes still, 0 where there is none.

    Samples on pixels that are not wholly valid in both images are dropped and counted in their
    tally.
    """
    tile = pair.read(pair.ms.grid.window)
    sample = pair.sample()
    height, width = pair.ms.grid.shape
    blocks = tile.valid.reshape(height, pair.ratio, width, pair.ratio)
    codes, features = samples.on(np.asarray(blocks.all(axis=(1, 3))))
    return LabelledScene(
        name, group, tile.ms, tile.pan, tile.ms_valid, tile.pan_valid, codes, sample.ms, sample.pan,
        features, pair.ms.grid,
    )  # fmt: skip


def with_classes(scene: LabelledScene, table: dict[int, int]) -> LabelledScene:
    """Return a scene with class indices in place of class codes."""
    lookup = np.full(256, UNLABELLED, np.int64)
    lookup[list(table)] = list(table.values())
    return replace(scene, labels=lookup[scene.labels])
