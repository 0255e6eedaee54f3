"""Write a made-up Landsat pair whose land cover is known: for a first look, demos and tests.

The landscape of ``sample_scene`` is seen through two sensors: each band is blurred, averaged over
the sensor's own pixels, hazed, made noisy and counted as Landsat-8 Level-1 digital numbers. As in
real Landsat scenes the PAN grid starts half a PAN pixel before the MS grid.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from ...models.classes import ClassScheme, LandClass
from .landscape import FloatArray, SampleScene, make_scene

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
TRUTH_CLASSES = ClassScheme(
    (
        LandClass(1, "Water", "#3182bd"),
        LandClass(2, "Woody vegetation", "#1b7837"),
        LandClass(3, "Green herbaceous", "#a6d96a"),
        LandClass(4, "Bare or dry ground", "#e0c08a"),
        LandClass(5, "Built-up", "#d7301f"),
    )
)
"""Classes of the truth raster, those of the model ``landsat-5class``."""

_CELL_M = 7.5
_MARGIN = 12
"""Cells around the scene that only feed the blur."""
_LEFT, _TOP = 487005.0, 5300115.0
"""Upper-left corner of the MS grid; Landsat's pixel centers lie on multiples of 30 m."""
_CRS = CRS.from_epsg(32630)
_SUN_ELEVATION_DEG = 55.0
_PAN_WEIGHTS = (0.10, 0.45, 0.45, 0.0, 0.0, 0.0)
"""Landsat-8's PAN band sees 0.50 to 0.68 µm: green and red, and a little blue."""
_PATH_REFLECTANCE = (0.075, 0.045, 0.030, 0.012, 0.003, 0.001)
"""Light that haze and air scatter into the sensor, by band."""

_FIRST = np.array([
    [0.045, 0.065, 0.055, 0.035, 0.015, 0.010],
    [0.025, 0.030, 0.020, 0.012, 0.006, 0.004],
    [0.018, 0.032, 0.024, 0.170, 0.080, 0.036],
    [0.021, 0.042, 0.029, 0.230, 0.115, 0.050],
    [0.044, 0.092, 0.064, 0.450, 0.200, 0.090],
    [0.050, 0.096, 0.076, 0.390, 0.225, 0.110],
    [0.062, 0.096, 0.140, 0.190, 0.270, 0.205],
    [0.070, 0.112, 0.165, 0.250, 0.320, 0.215],
    [0.085, 0.095, 0.100, 0.115, 0.130, 0.120],
    [0.150, 0.165, 0.175, 0.195, 0.205, 0.190],
    [0.075, 0.095, 0.135, 0.190, 0.215, 0.185],
    [0.060, 0.065, 0.070, 0.085, 0.100, 0.095],
    [0.045, 0.075, 0.060, 0.280, 0.190, 0.110],
])  # fmt: skip
"""Surface reflectance by surface and band; typical mid-latitude summer values."""
_SECOND = np.array([
    [0.030, 0.045, 0.030, 0.018, 0.008, 0.006],
    [0.038, 0.055, 0.035, 0.020, 0.009, 0.006],
    [0.021, 0.037, 0.028, 0.215, 0.098, 0.045],
    [0.024, 0.048, 0.032, 0.290, 0.140, 0.062],
    [0.038, 0.090, 0.050, 0.540, 0.210, 0.086],
    [0.046, 0.096, 0.066, 0.450, 0.222, 0.105],
    [0.085, 0.130, 0.190, 0.260, 0.340, 0.270],
    [0.080, 0.125, 0.180, 0.280, 0.310, 0.195],
    [0.105, 0.120, 0.130, 0.145, 0.165, 0.150],
    [0.230, 0.245, 0.255, 0.275, 0.270, 0.245],
    [0.090, 0.115, 0.165, 0.225, 0.245, 0.210],
    [0.085, 0.090, 0.095, 0.110, 0.125, 0.115],
    [0.040, 0.070, 0.050, 0.340, 0.200, 0.105],
])  # fmt: skip
"""The other end of each surface's range: clearer water, denser crops, brighter soil."""


@dataclass(frozen=True)
class SamplePair:
    """Paths of a sample pair and of its truth (uint8 class codes on the PAN grid)."""

    ms: Path
    pan: Path
    truth: Path


def sample_paths(folder: str | Path) -> SamplePair:
    """Return the paths of a sample pair in ``folder``."""
    base = Path(folder)
    return SamplePair(base / "sample_ms.tif", base / "sample_pan.tif", base / "sample_truth.tif")


def write_sample_pair(
    folder: str | Path, *, size_ms_px: tuple[int, int] = (300, 300), seed: int = 11
) -> SamplePair:
    """Write a sample pair into ``folder``, which is made if needed, and return its paths.

    See ``write_sample`` for sizes, values and errors.
    """
    pair = sample_paths(folder)
    pair.ms.parent.mkdir(parents=True, exist_ok=True)
    write_sample(pair, size_ms_px=size_ms_px, seed=seed)
    return pair


def write_sample(pair: SamplePair, *, size_ms_px: tuple[int, int], seed: int) -> None:
    """Write MS, PAN and truth to the paths of ``pair``; the same size and seed give equal pixels.

    ``size_ms_px`` is (width, height) of the MS raster in 30 m pixels; PAN and truth have
    2 × width + 1 by 2 × height + 1 pixels of 15 m. MS (blue to swir2) and PAN are uint16, all
    three have nodata 0 and no pixel of it. Raises ValueError below 32 × 32.
    """
    width, height = size_ms_px
    if min(width, height) < 32:
        raise ValueError(f"a sample pair needs 32 × 32 MS pixels, got {width} × {height}")
    rng = np.random.default_rng(seed)
    # Cells start where PAN starts, half a PAN pixel (one cell) before MS.
    rows, cols = 4 * height + 2, 4 * width + 2
    scene = make_scene(rows + 2 * _MARGIN, cols + 2 * _MARGIN, rng)
    ms = np.empty((len(BANDS), height, width), np.uint16)
    light = np.zeros(scene.surface.shape, np.float32)
    for band in range(len(BANDS)):
        reflectance = _at_sensor(scene, band)
        light += np.float32(_PAN_WEIGHTS[band]) * reflectance
        seen = _observe(reflectance, blur_cells=1.5)[1:-1, 1:-1]
        ms[band] = _digital_numbers(_block_mean(seen, 4), 18, rng)
    pan = _digital_numbers(_block_mean(_observe(light, blur_cells=0.8), 2), 25, rng)
    truth = _majority(_inside(scene.truth))
    pan_transform = Affine(15, 0, _LEFT - _CELL_M, 0, -15, _TOP + _CELL_M)
    _write(pair.ms, ms, Affine(30, 0, _LEFT, 0, -30, _TOP), BANDS)
    _write(pair.pan, pan[None], pan_transform, ("pan",))
    _write_truth(pair.truth, truth, pan_transform)


def _at_sensor(scene: SampleScene, band: int) -> FloatArray:
    """Return top-of-atmosphere reflectance of one band by cell."""
    first = _FIRST[:, band].astype(np.float32)[scene.surface]
    second = _SECOND[:, band].astype(np.float32)[scene.surface]
    ground = (first + scene.mix * (second - first)) * (1 + scene.texture)
    path = np.float32(_PATH_REFLECTANCE[band])
    return np.asarray(path + (1 - 2 * path) * ground, np.float32)


def _observe(cells: FloatArray, blur_cells: float) -> FloatArray:
    """Return the cells without the margin, blurred by a Gaussian of that standard deviation."""
    reach = np.arange(-_MARGIN // 2, _MARGIN // 2 + 1)
    kernel = np.exp(-0.5 * (reach / blur_cells) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    blurred = np.zeros_like(cells)
    for shift, weight in zip(reach, kernel):
        blurred += weight * np.roll(cells, shift, axis=0)
    result = np.zeros_like(cells)
    for shift, weight in zip(reach, kernel):
        result += weight * np.roll(blurred, shift, axis=1)
    return np.asarray(_inside(result), np.float32)


def _inside(cells: NDArray[np.generic]) -> NDArray[np.generic]:
    return cells[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _block_mean(cells: FloatArray, size: int) -> FloatArray:
    rows, cols = cells.shape[0] // size, cells.shape[1] // size
    return np.asarray(cells.reshape(rows, size, cols, size).mean(axis=(1, 3)), np.float32)


def _digital_numbers(
    reflectance: FloatArray, noise_dn: float, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Return counts as in Landsat-8 Level 1: reflectance = (2e-5 · DN − 0.1) / sin(sun elevation).

    Source: Landsat 8 Data Users Handbook (USGS, LSDS-1574), section 5.2.
    """
    sun = np.sin(np.radians(_SUN_ELEVATION_DEG))
    counts = (reflectance * sun + 0.1) / 2e-5
    counts = counts + rng.normal(0, noise_dn, counts.shape)
    return np.asarray(np.clip(np.rint(counts), 1, 65535), np.uint16)


def _majority(codes: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return the most frequent class code of each 2 × 2 cells, the lower code in a tie."""
    rows, cols = codes.shape[0] // 2, codes.shape[1] // 2
    blocks = codes.reshape(rows, 2, cols, 2)
    counts = np.stack([(blocks == code).sum(axis=(1, 3)) for code in TRUTH_CLASSES.codes])
    winner = np.asarray(counts.argmax(axis=0), np.uint8)
    return winner + np.uint8(1)


def _write(
    path: Path, values: NDArray[np.generic], transform: Affine, names: tuple[str, ...]
) -> None:
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype=values.dtype,
        crs=_CRS, transform=transform, nodata=0, tiled=True, blockxsize=256, blockysize=256,
        compress="deflate", predictor=2,
    ) as file:  # fmt: skip
        file.write(values)
        file.descriptions = names


def _write_truth(path: Path, truth: NDArray[np.uint8], transform: Affine) -> None:
    _write(path, truth[None], transform, ("truth",))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {c.code: (*c.rgb, 255) for c in TRUTH_CLASSES.classes})
        file.update_tags(PANLOOM_CLASSES=json.dumps(TRUTH_CLASSES.to_json()))
