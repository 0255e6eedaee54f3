"""What is known of the sensor whose scenes are trained on, and the radiometry that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...models.card import Band, ModelCard
from ..radiometry import DARK_OBJECT, fixed_radiometry
from ..scene.needs import PairNeeds, found_roles
from ..scene.pair import ScenePair
from .scene_list import SceneSource
from .scenes import LabelledScene

CENTERS_UM = {
    "coastal": 0.44,
    "blue": 0.48,
    "green": 0.56,
    "yellow": 0.6,
    "red": 0.66,
    "rededge": 0.72,
    "nir": 0.84,
    "swir1": 1.61,
    "swir2": 2.2,
}
"""Center wavelengths of the roles that band descriptions name, typical of current sensors."""

_INFRARED_FROM_UM = 0.75
_GSD_TOLERANCE = 1.5
_SAMPLE_PIXELS = 200_000


@dataclass(frozen=True)
class Sensor:
    """Bands in order; ``is_known`` where the role of each is, from the files themselves."""

    bands: tuple[Band, ...]
    is_known: bool

    @property
    def infrared(self) -> list[int]:
        """Indices of the near and shortwave infrared bands."""
        return [i for i, b in enumerate(self.bands) if b.center_um >= _INFRARED_FROM_UM]


def require_pairs_fit(sources: Sequence[SceneSource], base: ModelCard) -> None:
    """Open every pair; raises InputError for one without the base model's bands, order or ratio."""
    needs = PairNeeds(model=base.name, ratio=base.ratio, band_roles=base.band_roles)
    for source in sources:
        ScenePair.open(source.ms, source.pan, needs=needs).close()


def read_sensor(source: SceneSource, band_names: Sequence[str]) -> Sensor:
    """Return the bands of a scene that has been found usable; ``band_names`` are what it says."""
    with ScenePair.open(source.ms, source.pan, needs=PairNeeds(band_count=len(band_names))) as pair:
        roles = found_roles(pair.ms.raster)
    if all(roles):
        return Sensor(tuple(Band(str(r), CENTERS_UM[str(r)]) for r in roles), is_known=True)
    labels = [name.strip() or f"band {i}" for i, name in enumerate(band_names, 1)]
    return Sensor(tuple(Band(label, 0.0) for label in labels), is_known=False)


def choose_radiometry(sensor: Sensor, scenes: Sequence[LabelledScene]) -> dict[str, Any]:
    """Return the radiometry of a new model: from each scene's dark objects, or constants.

    Dark objects need to know which bands are infrared; see docs/decisions/0009.
    """
    infrared = sensor.infrared
    if sensor.is_known and infrared:
        longest = max(infrared, key=lambda i: sensor.bands[i].center_um)
        return {"kind": DARK_OBJECT, "infrared": infrared, "zero_from": longest}
    share = _SAMPLE_PIXELS // len(scenes)
    ms = [s.sample_ms[:, :: max(1, s.sample_ms.shape[1] // share)] for s in scenes]
    pan = [s.sample_pan[:, :: max(1, s.sample_pan.shape[1] // share)] for s in scenes]
    return fixed_radiometry(np.concatenate(ms, axis=1), np.concatenate(pan, axis=1))


def gsd_range(gsd_m: float | None) -> tuple[float, float]:
    """Return the MS pixel sizes (m) that a model is for, all of them where its own is unknown."""
    if gsd_m is None:
        return 0.01, 10_000.0
    return round(gsd_m / _GSD_TOLERANCE, 3), round(gsd_m * _GSD_TOLERANCE, 3)
