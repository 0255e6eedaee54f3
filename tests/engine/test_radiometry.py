"""Radiometry against percentiles written out, and on scenes that would break a plain stretch."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from panloom.engine.errors import ModelError
from panloom.engine.radiometry import Radiometry, fit_radiometry, fixed_radiometry

SPEC: dict[str, Any] = {"kind": "dark-object"}


def sample(pixels: int = 5000, bands: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    ms = rng.gamma(4, 20, (bands, pixels)) + 30
    return ms.astype(np.float32), rng.gamma(4, 20, (4, pixels)).astype(np.float32)


def apply(radiometry: Radiometry, ms: torch.Tensor, pan: torch.Tensor) -> torch.Tensor:
    valid = torch.ones_like(pan, dtype=torch.bool)
    return radiometry.apply(ms, pan, valid, valid)[0]


def test_offsets_are_dark_objects_and_the_gain_is_shared() -> None:
    ms, pan = sample()
    found = fit_radiometry(SPEC, ms, pan)
    dark = [np.quantile(band.astype(float), 0.005) for band in ms]
    assert found.ms_offset == pytest.approx([*dark[:3], dark[5], dark[5], dark[5]])
    span = np.mean([np.quantile(band.astype(float), 0.9) - dark[5] for band in ms[3:]])
    assert found.ms_scale == pytest.approx([1 / span] * 6)
    low, high = np.quantile(pan.astype(float), [0.005, 0.9])
    assert (found.pan_offset, found.pan_scale) == pytest.approx((low, 1 / (high - low)))


def test_a_sensor_with_other_gain_and_zero_gives_the_same_input() -> None:
    ms, pan = sample()
    images = [torch.from_numpy(ms[:, :64].reshape(1, 6, 8, 8)) * gain + zero
              for gain, zero in ((1, 0), (80, 5000))]  # fmt: skip
    blank = torch.zeros(1, 1, 16, 16)
    inputs = [
        apply(fit_radiometry(SPEC, ms * gain + zero, pan), image, blank)
        for image, (gain, zero) in zip(images, ((1, 0), (80, 5000)), strict=True)
    ]
    torch.testing.assert_close(inputs[0], inputs[1], atol=1e-4, rtol=1e-4)


def test_clouds_over_half_the_scene_leave_the_dark_objects_alone() -> None:
    ms, pan = sample()
    cloudy = ms.copy()
    cloudy[:, ::2] = 400
    clear, under = fit_radiometry(SPEC, ms, pan), fit_radiometry(SPEC, cloudy, pan)
    span = np.percentile(ms, 98) - np.percentile(ms, 2)
    assert np.abs(np.subtract(clear.ms_offset, under.ms_offset)).max() < 0.05 * span


def test_every_pixel_is_scaled_alone_and_invalid_ones_become_zero() -> None:
    found = Radiometry((10.0, 20.0), (0.5, 0.25), 4.0, 0.1, (-1.0, 6.0))
    ms = torch.tensor([12.0, 999.0, 20.0, 0.0, 24.0, 999.0, 28.0, 16.0]).reshape(1, 2, 2, 2)
    pan = torch.arange(16.0).reshape(1, 1, 4, 4)
    ms_valid = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    ms_valid[..., :2, 2:] = False
    pan_valid = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    pan_valid[..., 3, 3] = False
    out, out_pan = found.apply(ms, pan, ms_valid, pan_valid)
    assert out.tolist() == [[[[1.0, 0.0], [5.0, -1.0]], [[1.0, 0.0], [2.0, -1.0]]]]
    expected = (torch.arange(16.0) - 4) * 0.1
    expected[15] = 0
    torch.testing.assert_close(out_pan.flatten(), expected)


def test_an_ms_pixel_with_one_valid_pan_pixel_counts() -> None:
    found = Radiometry((0.0,), (1.0,), 0.0, 1.0, (-1.0, 6.0))
    valid = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    valid[..., 1, 0] = True
    out, _ = found.apply(torch.full((1, 1, 1, 1), 3.0), torch.zeros(1, 1, 2, 2), valid, valid)
    assert out.item() == 3


@pytest.mark.parametrize("pixels", [0, 1, 100])
@pytest.mark.parametrize("bands", [1, 2, 6])
def test_no_pixel_and_no_contrast_give_numbers(pixels: int, bands: int) -> None:
    ms, pan = np.full((bands, pixels), 7, np.float32), np.full((4, pixels), 9, np.float32)
    found = fit_radiometry(SPEC, ms, pan)
    assert set(found.ms_scale) == {1.0}
    out = apply(found, torch.full((1, bands, 2, 2), 7.0), torch.full((1, 1, 4, 4), 9.0))
    assert torch.isfinite(out).all()


def test_the_manifest_holds_the_numbers() -> None:
    ms, pan = sample()
    found = fit_radiometry(SPEC, ms, pan)
    body = found.to_json()
    assert body["kind"] == "dark-object"
    assert body["ms_offset"] == list(found.ms_offset)
    assert body["limits"] == [-1.0, 6.0]


def test_an_unknown_radiometry_is_refused() -> None:
    ms, pan = sample()
    with pytest.raises(ModelError) as caught:
        fit_radiometry({"kind": "z-score", "mean": 3}, ms, pan)
    assert caught.value.message.startswith(
        "The model's radiometry is 'z-score' with the keys ['kind', 'mean']; this version knows "
        "'dark-object' with "
    )
    with pytest.raises(ModelError, match=r"names the bands \[7, 5\]; there are 6\."):
        fit_radiometry({**SPEC, "infrared": [7]}, ms, pan)


def test_fixed_constants_bring_the_percentiles_to_0_and_1_and_stay_for_another_scene() -> None:
    ms, pan = sample(bands=3)
    spec = fixed_radiometry(ms, pan)
    found = fit_radiometry(spec, ms, pan)
    dark, bright = (np.quantile(ms.astype(float), q, axis=1) for q in (0.02, 0.98))
    assert found.ms_offset == pytest.approx(dark)
    assert found.ms_scale == pytest.approx(1 / (bright - dark))
    low, high = np.quantile(pan.astype(float), [0.02, 0.98])
    assert (found.pan_offset, found.pan_scale) == pytest.approx((low, 1 / (high - low)))
    assert fit_radiometry(json.loads(json.dumps(spec)), ms * 3, pan * 3) == found
    assert found.to_json() == spec


def test_fixed_constants_have_to_be_there_for_every_band() -> None:
    ms, pan = sample(bands=3)
    spec = fixed_radiometry(ms, pan)
    with pytest.raises(ModelError, match=r"lacks \[\] or has numbers for \[3, 3\] bands; .* 2\."):
        fit_radiometry(spec, ms[:2], pan)
    del spec["pan_scale"]
    with pytest.raises(ModelError, match=r"lacks \['pan_scale'\] or has numbers"):
        fit_radiometry(spec, ms, pan)
