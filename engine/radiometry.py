"""How digital numbers become network input, so that one model carries from sensor to sensor.

A sensor's DN differ from surface reflectance by an offset and a gain: the encoding's zero, haze and
the sun. ``dark-object`` takes them from the scene itself: the darkest pixels of each visible band
give that band's haze, the darkest pixels of the band with the longest wavelength, where haze is
negligible, the zero of all infrared bands; one gain for all bands, from the infrared, keeps their
ratios. Clouds, large lakes and bare scenes move these less than they move a stretch of every band.
(Dark-object subtraction: Chavez 1988, doi:10.1016/0034-4257(88)90019-3.)

``fixed`` is for bands that nothing is known of: offset and gain of each are constants of the model,
from the scenes that it was trained on, so that other scenes have to come from the same sensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .errors import ModelError

DARK_OBJECT, FIXED = "dark-object", "fixed"
_KEYS = {
    DARK_OBJECT: {
        "kind", "dark_percentile", "bright_percentile", "infrared", "zero_from", "limits"
    },
    FIXED: {"kind", "ms_offset", "ms_scale", "pan_offset", "pan_scale", "limits"},
}  # fmt: skip
_LIMITS = (-1.0, 6.0)


@dataclass(frozen=True)
class Radiometry:
    """Input = clip((DN − offset) · scale, limits), the same for every pixel of a scene."""

    ms_offset: tuple[float, ...]
    ms_scale: tuple[float, ...]
    pan_offset: float
    pan_scale: float
    limits: tuple[float, float]
    kind: str = DARK_OBJECT

    def apply(
        self, ms: Tensor, pan: Tensor, ms_valid: Tensor, pan_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return network input for DN ms (B, C, h, w) and pan (B, 1, r·h, r·w).

        The masks are (B, 1, r·h, r·w). An MS pixel counts as valid where one of its PAN pixels is;
        invalid pixels become 0.
        """
        offset, scale = (torch.from_numpy(v).to(ms.device) for v in self.to_arrays())
        return scale_dn(ms, pan, ms_valid, pan_valid, offset, scale, self.limits)

    def to_arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return offset and scale, (C + 1) each, PAN last."""
        offset = np.array([*self.ms_offset, self.pan_offset], np.float32)
        return offset, np.array([*self.ms_scale, self.pan_scale], np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values, for a run's manifest."""
        return {
            "kind": self.kind,
            "ms_offset": list(self.ms_offset),
            "ms_scale": list(self.ms_scale),
            "pan_offset": self.pan_offset,
            "pan_scale": self.pan_scale,
            "limits": list(self.limits),
        }


def scale_dn(
    ms: Tensor,
    pan: Tensor,
    ms_valid: Tensor,
    pan_valid: Tensor,
    offset: Tensor,
    scale: Tensor,
    limits: tuple[float, float],
    ratio: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return network input for DN of any type; ``Radiometry.apply`` says the shapes.

    ``offset`` and ``scale`` are float32 (C + 1), PAN last.
    """
    ms_input = _scaled(ms, offset[:-1], scale[:-1], limits)
    pan_input = _scaled(pan, offset[-1:], scale[-1:], limits)
    return blank_invalid(ms_input, pan_input, ms_valid, pan_valid, ratio=ratio)


def blank_invalid(
    ms: Tensor,
    pan: Tensor,
    ms_valid: Tensor,
    pan_valid: Tensor,
    *,
    ratio: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return network input with 0 where pixels are invalid; ``Radiometry.apply`` says the shapes.

    Maps and training share this rule. Without ``ratio`` it is that of the images' sizes.
    """
    if ratio is None:
        ratio = pan.shape[-1] // ms.shape[-1]
    ms_known = F.max_pool2d(ms_valid.float(), ratio) > 0  # (B, 1, h, w)
    return ms.where(ms_known, 0.0), pan.where(pan_valid.bool(), 0.0)


def _scaled(dn: Tensor, offset: Tensor, scale: Tensor, limits: tuple[float, float]) -> Tensor:
    shape = (1, -1, 1, 1)
    return ((dn.float() - offset.reshape(shape)) * scale.reshape(shape)).clamp(*limits)


def fit_radiometry(
    spec: dict[str, Any], ms: NDArray[np.float32], pan: NDArray[np.float32]
) -> Radiometry:
    """Return the radiometry of a scene from valid pixels, ms (C, n) and pan (r·r, n), as DN.

    ``spec`` is the card's. For ``fixed`` it holds the numbers themselves, see ``fixed_radiometry``.
    For ``dark-object`` it holds, optionally, ``dark_percentile``, ``bright_percentile``,
    ``infrared`` (indices of the bands that share one zero and give the gain; default the last
    three), ``zero_from`` (index of the band that gives that zero; default the last), ``limits``
    (default −1…6). A scene without pixels or contrast gets offset 0 or gain 1. Raises ModelError
    for a spec that this version does not know.
    """
    _check(spec)
    bands = ms.shape[0]
    if spec["kind"] == FIXED:
        return _fixed(spec, bands)
    infrared = [int(i) for i in spec.get("infrared", range(bands)[-3:])]
    zero_from = int(spec.get("zero_from", bands - 1))
    if not infrared or not all(0 <= i < bands for i in [*infrared, zero_from]):
        raise ModelError(
            f"The model's radiometry names the bands {[*infrared, zero_from]}; there are {bands}.",
            "radiometry",
        )
    dark_at = float(spec.get("dark_percentile", 0.5))
    bright_at = float(spec.get("bright_percentile", 90.0))
    dark, bright = _levels(ms, (dark_at, bright_at))
    dark[infrared] = dark[zero_from]
    scale = _inverse(float(np.mean(bright[infrared] - dark[infrared])))
    pan_dark, pan_bright = _levels(pan.reshape(1, -1), (dark_at, bright_at))[:, 0]
    low, high = spec.get("limits", _LIMITS)
    return Radiometry(
        ms_offset=tuple(float(v) for v in dark),
        ms_scale=(scale,) * bands,
        pan_offset=float(pan_dark),
        pan_scale=_inverse(float(pan_bright - pan_dark)),
        limits=(float(low), float(high)),
    )


def fixed_radiometry(
    ms: NDArray[np.float32], pan: NDArray[np.float32], percentiles: tuple[float, float] = (2, 98)
) -> dict[str, Any]:
    """Return the spec of constants that bring ``percentiles`` of ms (C, n) and pan to 0 and 1.

    Both are DN of valid pixels from all scenes that the model is for. A band without contrast gets
    scale 1.
    """
    dark, bright = _levels(ms, percentiles)
    pan_dark, pan_bright = _levels(pan.reshape(1, -1), percentiles)[:, 0]
    return {
        "kind": FIXED,
        "ms_offset": [float(v) for v in dark],
        "ms_scale": [_inverse(float(v)) for v in bright - dark],
        "pan_offset": float(pan_dark),
        "pan_scale": _inverse(float(pan_bright - pan_dark)),
        "limits": list(_LIMITS),
    }


def _fixed(spec: dict[str, Any], bands: int) -> Radiometry:
    missing = sorted(_KEYS[FIXED] - set(spec))
    counts = [len(spec.get(key, ())) for key in ("ms_offset", "ms_scale")]
    if missing or counts != [bands, bands]:
        raise ModelError(
            f"The model's radiometry lacks {missing} or has numbers for {counts} bands; there are "
            f"{bands}.",
            "radiometry",
        )
    low, high = spec["limits"]
    return Radiometry(
        ms_offset=tuple(float(v) for v in spec["ms_offset"]),
        ms_scale=tuple(float(v) for v in spec["ms_scale"]),
        pan_offset=float(spec["pan_offset"]),
        pan_scale=float(spec["pan_scale"]),
        limits=(float(low), float(high)),
        kind=FIXED,
    )


def _check(spec: dict[str, Any]) -> None:
    kind = spec.get("kind")
    known = _KEYS.get(str(kind))
    if known is None or not set(spec) <= known:
        raise ModelError(
            f"The model's radiometry is {kind!r} with the keys {sorted(spec)}; this version knows "
            + " and ".join(f"{name!r} with {sorted(keys)}" for name, keys in _KEYS.items())
            + ".",
            "radiometry",
            "Update Panloom, or use another model.",
        )


def _levels(dn: NDArray[np.float32], percentiles: tuple[float, float]) -> NDArray[np.float64]:
    """Return percentiles (2, C) of the rows of dn (C, n), 0 where there is no pixel."""
    if dn.shape[1] == 0:
        return np.zeros((2, dn.shape[0]))
    return np.asarray(np.percentile(dn.astype(np.float64), percentiles, axis=1))


def _inverse(span: float) -> float:
    return 1.0 / span if np.isfinite(span) and span > 0 else 1.0
