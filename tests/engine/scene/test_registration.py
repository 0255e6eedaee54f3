"""Measured shifts against shifts that are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from scipy.ndimage import fourier_shift, gaussian_filter

from panloom.engine.grid import Grid
from panloom.engine.scene.pair import ScenePair
from panloom.engine.scene.registration import (
    MARGIN_PX,
    Patch,
    Registration,
    estimate_shift,
    registration_windows,
)


def _ground(seed: int, size: int) -> np.ndarray:
    """A field of patches and texture, periodic, at PAN resolution."""
    rng = np.random.default_rng(seed)
    coarse = np.sign(gaussian_filter(rng.standard_normal((size, size)), 6, mode="wrap"))
    return (
        500
        + 100 * gaussian_filter(coarse, 0.8, mode="wrap")
        + 20 * gaussian_filter(rng.standard_normal((size, size)), 1.0, mode="wrap")
    )


def _pair(ratio: int, shift: tuple[float, float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return MS (3, h, w) and a PAN (r·h, r·w) whose content lies ``shift`` right and down."""
    size = 144 * ratio
    first, second = _ground(seed, size), _ground(seed + 100, size)
    pan = 0.7 * first - 0.4 * second  # the second band has the opposite contrast
    moved = np.fft.ifft2(fourier_shift(np.fft.fft2(pan), (shift[1], shift[0]))).real
    rng = np.random.default_rng(seed)
    bands = [b.reshape(144, ratio, 144, ratio).mean(axis=(1, 3)) for b in (first, second)]
    ms = np.stack([*bands, rng.standard_normal((144, 144))])
    return (ms + rng.normal(0, 2, ms.shape)).astype(np.float32), moved.astype(np.float32)


@pytest.mark.parametrize("ratio", [2, 3, 4])
@pytest.mark.parametrize(
    "shift", [(0, 0), (1, 1), (0.5, -0.25), (-1.3, 0.6), (2.75, -3.4), (-5.2, 4.1)]
)
def test_a_known_shift_is_found_to_a_tenth_of_a_pixel(
    ratio: int, shift: tuple[float, float]
) -> None:
    ms, pan = _pair(ratio, shift)
    found = estimate_shift([Patch(ms, pan, np.ones(pan.shape, bool))], ratio)
    assert math.hypot(found.dx - shift[0], found.dy - shift[1]) <= 0.1
    assert found.is_sure


def test_a_shift_beyond_the_search_is_not_believed() -> None:
    ms, pan = _pair(2, (15.0, 0.0))
    found = estimate_shift([Patch(ms, pan, np.ones(pan.shape, bool))], 2)
    assert not found.is_sure


def test_images_without_relation_or_detail_give_no_confidence() -> None:
    rng = np.random.default_rng(0)
    noise = Patch(
        rng.random((4, 144, 144)).astype(np.float32),
        rng.random((288, 288)).astype(np.float32),
        np.ones((288, 288), bool),
    )
    flat = Patch(np.full_like(noise.ms, 7), np.full_like(noise.pan, 9), noise.valid)
    for patch in (noise, flat):
        assert estimate_shift([patch], 2) == Registration(0.0, 0.0, 0.0, 1)
    nothing = Patch(noise.ms, noise.pan, np.zeros((288, 288), bool))
    assert estimate_shift([nothing], 2) == Registration(0.0, 0.0, 0.0, 0)


def test_invalid_pixels_do_not_count() -> None:
    """A block of nodata moves with the PAN but holds no ground; alone it would say (0, 0)."""
    ms, pan = _pair(2, (1.5, -0.5))
    valid = np.ones(pan.shape, bool)
    valid[80:120, 60:200] = False
    pan = np.where(valid, pan, 0)
    ms = ms.copy()
    ms[:, 40:60, 30:100] = 0
    found = estimate_shift([Patch(ms, pan, valid)], 2)
    assert math.hypot(found.dx - 1.5, found.dy + 0.5) <= 0.1


def test_patches_that_disagree_lower_the_confidence() -> None:
    shifts = [(0, 0), (0, 0), (2, 0), (0, 2)]
    patches = [
        Patch(ms, pan, np.ones(pan.shape, bool))
        for ms, pan in (_pair(2, shift, seed) for seed, shift in enumerate(shifts))
    ]
    assert estimate_shift(patches[:2], 2).confidence > 0.9
    assert estimate_shift(patches, 2).confidence < 0.6


@pytest.mark.parametrize("size", [(1, 1), (40, 3000), (400, 400), (30_000, 30_000)])
def test_windows_are_few_and_spread(size: tuple[int, int]) -> None:
    grid = Grid(None, Affine.identity(), *size)
    windows = registration_windows(grid)
    assert 1 <= len(windows) <= 16
    for window in windows:
        inner = window.grow(-MARGIN_PX) if min(window.shape) > 2 * MARGIN_PX else window
        assert inner.intersect(grid.window) == inner
    if size[0] == 30_000:
        assert max(w.right for w in windows) > 20_000
        assert min(w.col for w in windows) < 10_000


# --- real pairs ---


def test_landsat_7s_published_pan_lies_one_pixel_up_and_left(data_dir: Path) -> None:
    for number in ("01", "12", "25"):
        stem = str(data_dir / "landsat7_pairs" / number)
        with ScenePair.open(f"{stem}_ms.tif", f"{stem}_pan.tif", ratio=2) as pair:
            found = pair.measure_shift()
        assert (found.dx, found.dy) == pytest.approx((-1, -1), abs=0.15)
        assert found.is_sure
        with ScenePair.open(f"{stem}_ms.tif", f"{stem}_pan_aligned.tif", ratio=2) as pair:
            found = pair.measure_shift()
        assert (found.dx, found.dy) == pytest.approx((0, 0), abs=0.15)


def test_auto_brings_a_displaced_pan_back(data_dir: Path) -> None:
    """What is read is the aligned file's content, pixel by pixel."""
    stem = str(data_dir / "landsat7_pairs" / "25")
    with ScenePair.open(f"{stem}_ms.tif", f"{stem}_pan.tif", ratio=2, pan_shift="auto") as pair:
        tile = pair.read(pair.ms.grid.window)
        assert pair.shift == (-1.0, -1.0)
        assert "it is moved back by (-1.00, -1.00)" in pair.notes[0].text
    with ScenePair.open(f"{stem}_ms.tif", f"{stem}_pan_aligned.tif", ratio=2) as pair:
        expected = pair.read(pair.ms.grid.window)
    inner = np.s_[..., 2:-2, 2:-2]
    assert np.array_equal(tile.ms, expected.ms)
    assert np.array_equal(tile.pan[inner], expected.pan[inner])


def test_auto_leaves_a_cloudy_pair_alone_and_warns(data_dir: Path) -> None:
    folder = data_dir / "landsat8_alabama"
    files = str(folder / "ms.tif"), str(folder / "pan.tif")
    with ScenePair.open(*files, ratio=2, pan_shift="auto") as pair:
        assert pair.shift == (0.0, 0.0)
        assert pair.notes[0].level == "warning"
        assert pair.notes[0].text.startswith("The shift of the PAN could not be measured surely, ")
        assert pair.notes[0].text.endswith(": none is corrected.")


def test_auto_corrects_a_fraction_of_a_pixel(write_raster: Any) -> None:
    ms, pan = _pair(2, (0.6, -0.4))
    ms_path = write_raster("ms.tif", ms, Affine(2, 0, 500_000, 0, -2, 5_900_000))
    pan_path = write_raster("pan.tif", pan, Affine(1, 0, 500_000, 0, -1, 5_900_000))
    with ScenePair.open(ms_path, pan_path, pan_shift="auto") as pair:
        assert pair.shift == pytest.approx((0.6, -0.4), abs=0.1)
        left = pair.measure_shift()
    assert math.hypot(left.dx, left.dy) < 0.15
