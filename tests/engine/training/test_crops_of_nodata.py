"""Around nodata a training sees exactly what a map is made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin
from torch import Tensor

from panloom.engine.scene.pair import ScenePair
from panloom.engine.training.crops import CropSource
from panloom.engine.training.scenes import LabelledScene, load_scene

from .test_crops import SPEC, STILL

SIDE = 32


def write(path: Path, image: np.ndarray, gsd_m: float, nodata: float | None) -> str:
    count, height, width = image.shape
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint16", count=count, height=height, width=width,
        crs="EPSG:32630", transform=from_origin(500000, 5900000, gsd_m, gsd_m), nodata=nodata,
    ) as file:  # fmt: skip
        file.write(image.astype(np.uint16))
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """A pair on one grid: a corner of MS, a block and two odd rows of PAN are nodata."""
    folder, rng = tmp_path_factory.mktemp("nodata"), np.random.default_rng(0)
    ms = rng.integers(300, 900, (3, SIDE, SIDE))
    ms[:, :9, :7] = 0
    pan = rng.integers(300, 900, (1, 2 * SIDE, 2 * SIDE))
    pan[0, 30:41, 50:57] = 0
    pan[0, 55] = pan[0, 60] = 0
    labels = rng.integers(1, 3, (1, SIDE, SIDE))
    return (
        write(folder / "ms.tif", ms, 30, 0),
        write(folder / "pan.tif", pan, 15, 0),
        write(folder / "labels.tif", labels, 30, None),
    )


def turned(image: Tensor) -> list[Tensor]:
    """Return an image (C, H, W) in its eight orientations."""
    turns = [torch.rot90(image, k, (-2, -1)) for k in range(4)]
    return turns + [t.flip(-1) for t in turns]


def test_a_crop_is_what_classify_gives_the_network(files: tuple[str, str, str]) -> None:
    scene = load_scene("a", "a", *files, codes=(1, 2), ratio=2)
    with ScenePair.open(files[0], files[1], ratio=2) as pair:
        tile = pair.read(pair.ms.grid.window)
    ms, pan = scene.radiometry(SPEC).apply(
        *(torch.from_numpy(x)[None] for x in (tile.ms, tile.pan)),
        *(torch.from_numpy(x)[None, None] for x in (tile.ms_valid, tile.pan_valid)),
    )
    whole = replace(STILL, crop_px=SIDE)  # so that only turns and flips are left to chance
    batch = CropSource([scene], SPEC, 2, whole, 0).batch(6)
    views = list(zip(turned(ms[0]), turned(pan[0]), strict=True))
    for crop in zip(batch.ms, batch.pan, strict=True):
        near = [
            max(float((a - b).abs().max()) for a, b in zip(crop, v, strict=True)) for v in views
        ]
        assert min(near) < 1e-6
    for image, blank in ((batch.ms, ms), (batch.pan, pan)):
        share = float((blank == 0).float().mean())
        assert share > 0.03
        assert float((image == 0).float().mean()) == pytest.approx(share)


def test_noise_haze_and_a_moved_pan_leave_invalid_pixels_blank(
    files: tuple[str, str, str],
) -> None:
    scene = load_scene("a", "a", *files, codes=(1, 2), ratio=2)
    options = replace(STILL, crop_px=SIDE, noise=0.1, haze=0.3, light=0.2, pan_shift_px=1)
    batch = CropSource([scene], SPEC, 2, options, 3).batch(8)
    invalid_ms = 9 * 7
    assert ((batch.ms == 0).all(dim=1).sum(dim=(1, 2)) == invalid_ms).all()
    rows = (
        (batch.pan[:, 0] == 0).all(dim=2).sum(dim=1),
        (batch.pan[:, 0] == 0).all(dim=1).sum(dim=1),
    )
    assert (torch.maximum(*rows) == 2).all()


def test_a_part_without_a_valid_pixel_has_the_radiometry_of_its_scene(
    files: tuple[str, str, str],
) -> None:
    scene = _mostly_nodata(load_scene("a", "a", *files, codes=(1, 2), ratio=2))
    own = scene.radiometry(SPEC)
    found = CropSource([scene], SPEC, 2, replace(STILL, parts=40), 0)._radiometries[0]
    assert own in found[1:]
    darkest = float(scene.pan[0][scene.pan_valid & scene.ms_valid].min())
    assert all(r.pan_offset >= darkest for r in found)


def _mostly_nodata(scene: LabelledScene) -> LabelledScene:
    """Return the scene with only its last rows left of MS and PAN."""
    kept = np.zeros_like(scene.pan_valid)
    kept[-12:] = True
    labels = np.where(np.arange(SIDE)[:, None] >= SIDE - 6, scene.labels, -1)
    valid = scene.ms_valid & kept, scene.pan_valid & kept
    return replace(scene, labels=labels, ms_valid=valid[0], pan_valid=valid[1])
