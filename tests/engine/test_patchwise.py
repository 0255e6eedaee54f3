"""The dense map is the map of the papers' evaluation, one patch for every MS pixel."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.windows import Window as RasterWindow
from torch import nn

from panloom.engine.errors import InputError
from panloom.engine.patchwise import Patchwise
from panloom.engine.radiometry import fit_radiometry
from panloom.engine.recipes import classify
from panloom.engine.recipes.classify import ClassifyOptions
from panloom.engine.sample.pair import SamplePair, write_sample
from panloom.engine.scene.pair import ScenePair
from panloom.models.bundle import save_model
from panloom.models.card import Band, ModelCard
from panloom.models.classes import ClassScheme, LandClass
from panloom.models.networks import build_network
from panloom.models.patchnet import PatchAdcdNet

CLASSES = ClassScheme(tuple(LandClass(n, f"Class {n}", f"#{n:02x}8040") for n in (3, 7, 12, 200)))
ROLES = ("blue", "green", "red", "nir", "swir1", "swir2")


@lru_cache
def network_of(bands: int, ratio: int) -> PatchAdcdNet:
    """Return a network whose map shows several classes although nothing has trained it."""
    torch.manual_seed(4)
    network = build_network("adcdnet_patch", {}, bands=bands, ratio=ratio, classes=4)
    assert isinstance(network, PatchAdcdNet)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.momentum = None  # the plain mean over all batches
    nn.init.normal_(network.classify.weight)
    network.train()  # the normalization learns from fields like those of ``aligned_pair``
    with torch.no_grad():
        for _ in range(10):
            fields = torch.rand(8, bands + 1, 4, 4).repeat_interleave(5, 2).repeat_interleave(5, 3)
            ms, pan = fields[:, :-1], fields[:, -1:].repeat_interleave(ratio, 2)
            pan = pan.repeat_interleave(ratio, 3)
            logits = network(ms + 0.1 * torch.rand(ms.shape), pan + 0.1 * torch.rand(pan.shape))
    assert network.classify.bias is not None
    with torch.no_grad():
        spread, mean = torch.std_mean(logits, (0, 2, 3))
        network.classify.weight /= spread[:, None, None, None]
        network.classify.bias -= mean
        network.classify.bias /= spread
    return network.eval()


def model(folder: Path, bands: int, ratio: int) -> str:
    card = ModelCard(
        name="of-patches", title="Of patches", network="adcdnet_patch", arguments={},
        bands=tuple(Band(role, 0.5) for role in ROLES[:bands]), ratio=ratio,
        gsd_range_m=(1.0, 60.0), radiometry={"kind": "dark-object"}, classes=CLASSES,
    )  # fmt: skip
    path = folder / "of-patches.safetensors"
    save_model(path, network_of(bands, ratio), card)
    return str(path)


def run(pair, model_path, output: Path, evaluation: str, **options) -> np.ndarray:
    confidence = output.with_name(f"{output.stem}-confidence.tif")
    classify.run(
        ClassifyOptions(
            str(pair[0]), str(pair[1]), str(output), model_path, evaluation=evaluation,
            confidence=str(confidence), device="cpu", **options,
        ),
        lambda event: None,
    )  # fmt: skip
    with rasterio.open(output) as codes, rasterio.open(confidence) as percent:
        return np.stack([codes.read(1), percent.read(1)])


def write(path: Path, array: np.ndarray, transform: Affine, **profile) -> Path:
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype,
        transform=transform, crs="EPSG:32630", **profile,
    ) as dataset:  # fmt: skip
        dataset.write(array)
    return path


def aligned_pair(folder: Path, bands: int, ratio: int, shape=(21, 18)) -> tuple[Path, Path]:
    """Write a pair on grids that fit, with a dead patch, one dead PAN pixel and dead corners."""
    rng = np.random.default_rng(8)
    height, width = shape
    fields = (
        rng.integers(2000, 9000, (bands + 1, 5, 5)).repeat(5, 1).repeat(5, 2)[:, :height, :width]
    )
    ms = fields[:-1] + rng.integers(0, 900, (bands, height, width))
    pan = fields[-1:].repeat(ratio, 1).repeat(ratio, 2)
    pan = pan + rng.integers(0, 900, pan.shape)
    ms, pan = ms.astype(np.uint16), pan.astype(np.uint16)
    ms[:, 5:9, 3:8] = 0
    ms[0, -1, -1] = 0
    pan[0, 2, -1] = 0
    pan[0, :ratio, :ratio] = 0
    grid = Affine(2.0, 0, 5e5, 0, -2.0, 5e6)
    return (
        write(folder / "ms.tif", ms, grid, nodata=0),
        write(folder / "pan.tif", pan, grid @ Affine.scale(1 / ratio), nodata=0),
    )


def largest_share(codes: np.ndarray) -> float:
    """Return which part of a map its most frequent class is: one class alone would prove little."""
    return float(np.unique(codes, return_counts=True)[1].max() / codes.size)


def literal_logits(pair: tuple[Path, Path], bands: int, ratio: int) -> np.ndarray:
    """Return logits (K, h, w) by the papers' protocol, written out: pad, cut, run, in float64."""
    with rasterio.open(pair[0]) as ms_file, rasterio.open(pair[1]) as pan_file:
        ms, pan = ms_file.read().astype(np.float32), pan_file.read().astype(np.float32)
    with ScenePair.open(str(pair[0]), str(pair[1]), ratio=ratio) as scene:
        sample = scene.sample()
    radiometry = fit_radiometry({"kind": "dark-object"}, sample.ms, sample.pan)
    ms_valid, pan_valid = (ms != 0).all(axis=0), pan[0] != 0
    ms = (ms - np.array(radiometry.ms_offset, np.float32)[:, None, None]) * np.float32(
        radiometry.ms_scale[0]
    )
    pan = (pan - np.float32(radiometry.pan_offset)) * np.float32(radiometry.pan_scale)
    ms = np.where(ms_valid, ms.clip(*radiometry.limits), 0)
    pan = np.where(pan_valid, pan.clip(*radiometry.limits), 0)
    ms = np.pad(ms, ((0, 0), (7, 8), (7, 8)), mode="reflect")  # reflect-101
    pan = np.pad(pan, ((0, 0), *2 * ((7 * ratio, 8 * ratio),)), mode="reflect")
    network = deepcopy(network_of(bands, ratio)).double()
    height, width = ms_valid.shape
    logits = np.empty((4, height, width))
    for x in range(height):
        for y in range(width):
            ms_patch = ms[None, :, x : x + 16, y : y + 16]
            rows = slice(ratio * x, ratio * x + 16 * ratio)
            cols = slice(ratio * y, ratio * y + 16 * ratio)
            with torch.inference_mode():
                found = network.forward_patch(
                    torch.from_numpy(ms_patch).double(),
                    torch.from_numpy(pan[None, :, rows, cols]).double(),
                )
            logits[:, x, y] = found[0].numpy()
    return logits


@pytest.mark.parametrize(("bands", "ratio"), [(4, 4), (6, 2), (1, 3)])
def test_both_evaluations_are_the_papers_protocol(tmp_path, bands, ratio):
    pair = aligned_pair(tmp_path, bands, ratio)
    logits = literal_logits(pair, bands, ratio)
    with rasterio.open(pair[0]) as ms, rasterio.open(pair[1]) as pan:
        valid = (ms.read() != 0).all(axis=0).repeat(ratio, 0).repeat(ratio, 1) & (pan.read(1) != 0)
    codes = np.array(CLASSES.codes)[logits.argmax(axis=0)].repeat(ratio, 0).repeat(ratio, 1)
    top = np.sort(logits, axis=0)
    clear = (top[-1] - top[-2] > 1e-4).repeat(ratio, 0).repeat(ratio, 1)
    assert largest_share(codes) < 0.9
    assert clear.mean() > 0.99
    model_path = model(tmp_path, bands, ratio)
    for evaluation, options in (("patch", {}), ("patch", {"tile_px": 7}), ("dense", {})):
        name = f"{evaluation}{options.get('tile_px', '')}.tif"
        found = run(pair, model_path, tmp_path / name, evaluation, **options)[0]
        np.testing.assert_array_equal(found[clear], np.where(valid, codes, 0)[clear])


def crop_liverpool(data_dir: Path, folder: Path) -> tuple[Path, Path]:
    """Cut a real pair whose grids are half a PAN pixel apart, with a strip of nodata."""
    found = []
    for name, col, row, width, height in (
        ("ms", 200, 100, 35, 27), ("pan", 400, 200, 71, 55)
    ):  # fmt: skip
        with rasterio.open(data_dir / "landsat8_liverpool" / f"{name}.tif") as dataset:
            window = RasterWindow(col, row, width, height)
            array, transform = dataset.read(window=window), dataset.transform
        if name == "ms":
            array[:, 10:14, 20:] = 0
        found.append(
            write(folder / f"{name}.tif", array, transform @ Affine.translation(col, row), nodata=0)
        )
    return found[0], found[1]


@pytest.mark.parametrize("scene", ["real", "sample"])
def test_the_dense_map_is_the_patch_map(request, tmp_path, scene):
    if scene == "real":
        pair = crop_liverpool(request.getfixturevalue("data_dir"), tmp_path)
    else:
        pair = tmp_path / "ms.tif", tmp_path / "pan.tif"
        write_sample(SamplePair(*pair, tmp_path / "truth.tif"), size_ms_px=(33, 32), seed=2)
    model_path = model(tmp_path, 6, 2)
    patch = run(pair, model_path, tmp_path / "patch.tif", "patch")
    dense = run(pair, model_path, tmp_path / "dense.tif", "dense")
    small = run(pair, model_path, tmp_path / "small.tif", "patch", tile_px=11, batch_size=2)
    np.testing.assert_array_equal(patch[0], small[0])
    assert np.mean(patch[0] != dense[0]) < 1e-3  # ties
    np.testing.assert_allclose(patch[1].astype(int), dense[1].astype(int), atol=1)
    assert largest_share(patch[0]) < 0.9
    coarse = [run(pair, model_path, tmp_path / f"{e}-ms.tif", e, grid="ms") for e in
              ("patch", "dense")]  # fmt: skip
    assert np.mean(coarse[0][0] != coarse[1][0]) < 1e-3


def test_logits_agree_on_a_real_scene(data_dir, tmp_path):
    pair = crop_liverpool(data_dir, tmp_path)
    network = network_of(6, 2)
    with ScenePair.open(str(pair[0]), str(pair[1]), ratio=2) as scene:
        sample = scene.sample()
        tile = scene.read(scene.ms.grid.window.grow(8))
    masks = [torch.from_numpy(m)[None, None] for m in (tile.ms_valid, tile.pan_valid)]
    ms, pan = fit_radiometry({"kind": "dark-object"}, sample.ms, sample.pan).apply(
        torch.from_numpy(tile.ms)[None], torch.from_numpy(tile.pan)[None], *masks
    )
    with torch.inference_mode():
        dense = network(ms, pan)[..., 16:-16, 16:-16]
        patch = Patchwise(network)(ms, pan)[..., 16:-16, 16:-16]
    assert patch.std() > 0.1
    torch.testing.assert_close(dense, patch, atol=1e-4, rtol=0)


def test_a_network_without_a_patch_form_is_refused(tmp_path):
    pair = aligned_pair(tmp_path, 6, 2)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(InputError) as caught:
        run(pair, "landsat-5class", folder / "map.tif", "patch")
    assert caught.value.message == (
        "The network of model `landsat-5class`, `adcdnet`, does not say how large a patch it "
        "classifies a pixel from; `--evaluation patch` needs one that does, such as "
        "`adcdnet_patch`."
    )
    assert caught.value.code == "no-patch-form"
    assert caught.value.hint == ("Leave `--evaluation` out, or choose a model with such a network.")
    assert list(folder.iterdir()) == []
