"""Maps of tiny ONNX networks, compared with the same written out in NumPy over a whole scene."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from affine import Affine
from onnx import helper

from panloom.engine.device import Device
from panloom.engine.errors import ModelError
from panloom.engine.grid import Window
from panloom.engine.own_network.network import OwnNetwork, load_own_network
from panloom.engine.own_network.plan import plan_blend
from panloom.engine.own_network.predict import BlendedPredictor
from panloom.engine.radiometry import fit_radiometry
from panloom.engine.scene.pair import ScenePair

from .graphs import constant, copy, copy_on_ms_grid, means, save, shares_of, with_global_pooling

CPU = Device(torch.device("cpu"), "")
WIDTH, HEIGHT = 43, 37


@pytest.fixture
def scene(write_raster):
    """MS (2, 37, 43) and PAN (1, 74, 86) in thousandths, a hole in each: arrays and paths."""
    rng = np.random.default_rng(7)
    ms = rng.integers(1, 1000, (2, HEIGHT, WIDTH)).astype(np.uint16)
    pan = rng.integers(1, 1000, (1, 2 * HEIGHT, 2 * WIDTH)).astype(np.uint16)
    ms[:, 10:12, 20] = 0
    pan[0, 33, 5:8] = 0
    return ms, pan, *write_pair(write_raster, "scene", ms, pan)


def write_pair(write_raster, name, ms, pan):
    return (
        write_raster(f"{name}_ms.tif", ms, Affine(2, 0, 600000, 0, -2, 5000000), nodata=0),
        write_raster(f"{name}_pan.tif", pan, Affine(1, 0, 600000, 0, -1, 5000000), nodata=0),
    )


def predict(path, paths, *, grid="pan", workers=1, area=None):
    """Return codes and confidence over the area, and 200 where nothing was given."""
    network = load_own_network(path, CPU)
    with ScenePair.open(*paths, ratio=2) as pair:
        sample = pair.sample()
        radiometry = fit_radiometry(network.card.radiometry, sample.ms, sample.pan)
        size = pair.ms.grid
        area = area or Window(0, 0, size.width, size.height)
        plan = plan_blend(size.width, size.height, area, network.settings)
        scale = 1 if grid == "ms" else 2
        codes, confidence = np.full((2, size.height * scale, size.width * scale), 200, np.uint8)
        last_row = 0
        for piece in BlendedPredictor(network, radiometry, grid, workers).predict(pair, plan):
            part = piece.tile.write.refine(scale)
            assert part.row >= last_row, "pieces come row by row"
            last_row = part.row
            where = np.s_[part.row : part.bottom, part.col : part.right]
            assert (codes[where] == 200).all()
            codes[where], confidence[where] = piece.codes, piece.confidence
    return codes, confidence


def decided(first, valid):
    """Codes, and confidence before rounding, of shares (first, 1 − first, 0)."""
    percent = 100 * np.maximum(first, 1 - first)
    return np.where(valid, np.where(first >= 0.5, 3, 7), 0), np.where(valid, percent, 255)


def valid_pan(ms, pan):
    return (ms != 0).all(axis=0).repeat(2, 0).repeat(2, 1) & (pan[0] != 0)


def agree(found, expected, valid):
    """Codes and validity are exact, and confidence is rounded to the nearest percent."""
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1] == 255, ~valid)
    assert np.abs(found[1] - expected[1]).max() <= 0.5 + 1e-4


def test_a_network_that_copies_gives_its_input_back(tmp_path, scene):
    ms, pan, *paths = scene
    path = save(tmp_path / "copy.onnx", copy())
    valid = valid_pan(ms, pan)
    agree(predict(path, paths), decided(pan[0].astype(np.float32) / 1000, valid), valid)


def test_a_constant_network_gives_one_class_and_one_confidence(tmp_path, scene):
    ms, pan, *paths = scene
    codes, confidence = predict(save(tmp_path / "c.onnx", constant()), paths)
    valid = valid_pan(ms, pan)
    assert np.array_equal(codes, np.where(valid, 7, 0))
    assert np.array_equal(confidence, np.where(valid, 50, 255))


def test_logits_go_through_softmax_with_the_cards_temperature(tmp_path, scene):
    ms, pan, *paths = scene
    path = save(
        tmp_path / "c.onnx", constant((1.0, -2.0, 3.0)), temperature=2.5,
        arguments={"output": "logits"},
    )  # fmt: skip
    codes, confidence = predict(path, paths)
    powers = [math.exp(v / 2.5) for v in (1.0, -2.0, 3.0)]
    valid = valid_pan(ms, pan)
    assert np.array_equal(codes, np.where(valid, 9, 0))
    assert np.array_equal(confidence, np.where(valid, round(100 * powers[2] / sum(powers)), 255))


def test_global_operations_are_blended_as_the_formula_says(tmp_path, scene):
    """Every tile's own mean enters with its weight; written out for the whole scene at once."""
    ms, pan, *paths = scene
    tile, overlap, step = 16, 4, 12
    path = save(tmp_path / "global.onnx", with_global_pooling())
    pad = 2 * tile
    wide_ms = np.pad(ms / 1000, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
    wide_pan = np.pad(pan[0] / 1000, 2 * pad, mode="reflect")
    weight = np.ones(2 * tile)
    centers = (np.arange(2 * overlap) + 0.5) / (2 * overlap)
    weight[: 2 * overlap] = np.sin(np.pi / 2 * centers) ** 2
    weight[-2 * overlap :] = weight[: 2 * overlap][::-1]
    total, weights = np.zeros((2, *wide_pan.shape))
    for row in range(pad - overlap, pad + HEIGHT, step):
        for col in range(pad - overlap, pad + WIDTH, step):
            fine = np.s_[2 * row : 2 * (row + tile), 2 * col : 2 * (col + tile)]
            context = wide_ms[:, row : row + tile, col : col + tile].mean()
            total[fine] += np.outer(weight, weight) * (wide_pan[fine] + context) / 2
            weights[fine] += np.outer(weight, weight)
    inside = np.s_[2 * pad : 2 * (pad + HEIGHT), 2 * pad : 2 * (pad + WIDTH)]
    valid = valid_pan(ms, pan)
    expected = decided(total[inside] / weights[inside], valid)
    found = predict(path, paths)
    ties = np.abs(total[inside] / weights[inside] - 0.5) < 1e-6
    assert np.array_equal(found[0][~ties], expected[0][~ties])
    agree((np.where(ties, expected[0], found[0]), found[1]), expected, valid)


def test_the_border_is_like_the_interior_of_a_larger_scene(tmp_path, scene, write_raster):
    """The same content mirrored further by hand: not a bit differs, up to the very corner."""
    ms, pan, *paths = scene
    larger = (
        np.pad(ms, ((0, 0), (24, 24), (24, 24)), mode="reflect"),  # two steps of 12
        np.pad(pan, ((0, 0), (48, 48), (48, 48)), mode="reflect"),
    )
    wide_paths = write_pair(write_raster, "larger", *larger)
    path = save(tmp_path / "means.onnx", means())
    for small, large in zip(predict(path, paths), predict(path, wide_paths), strict=True):
        assert np.array_equal(small, large[48:-48, 48:-48])


def test_tile_edges_hardly_show_for_a_network_of_small_reach(tmp_path, scene, write_raster):
    """A network pads each tile with zeros; smallest weights keep that out of the map."""
    rng = np.random.default_rng(3)
    ms = rng.integers(1, 1000, (2, 60, 60)).astype(np.uint16)
    pan = rng.integers(600, 1000, (1, 120, 120)).astype(np.uint16)
    paths = write_pair(write_raster, "bright", ms, pan)
    _, confidence = predict(save(tmp_path / "means.onnx", means(3)), paths)
    padded = np.pad(pan[0] / 1000, 1, mode="reflect")
    mean = sum(padded[r : r + 120, c : c + 120] for r in range(3) for c in range(3)) / 9
    assert np.abs(confidence / 100.0 - mean).max() < 0.02  # without weights: a third too low


@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_workers_changes_no_bit(tmp_path, scene, workers):
    path = save(tmp_path / "global.onnx", with_global_pooling())
    one, many = (predict(path, scene[2:], workers=count) for count in (1, workers))
    assert np.array_equal(one[0], many[0])
    assert np.array_equal(one[1], many[1])


def test_an_area_has_the_pixels_of_the_whole_map(tmp_path, scene):
    path = save(tmp_path / "global.onnx", with_global_pooling())
    whole = predict(path, scene[2:])
    part = predict(path, scene[2:], area=Window(13, 9, 20, 17))
    inside = np.s_[18:52, 26:66]
    for a, b in zip(whole, part, strict=True):
        assert np.array_equal(a[inside], b[inside])
        assert np.count_nonzero(b == 200) == b.size - b[inside].size


def test_the_ms_grid_has_mean_shares_and_whole_pixels(tmp_path, scene):
    ms, pan, *paths = scene
    found = predict(save(tmp_path / "copy.onnx", copy()), paths, grid="ms")
    blocks = (pan[0].astype(np.float64) / 1000).reshape(HEIGHT, 2, WIDTH, 2).mean(axis=(1, 3))
    valid = valid_pan(ms, pan).reshape(HEIGHT, 2, WIDTH, 2).all(axis=(1, 3))
    ties = np.abs(blocks - 0.5) < 1e-6
    codes, percent = decided(blocks, valid)
    agree((np.where(ties, codes, found[0]), found[1]), (codes, percent), valid)


@pytest.mark.parametrize("grid", ["pan", "ms"])
def test_an_output_on_the_ms_grid_fills_its_pan_pixels(tmp_path, scene, grid):
    ms, pan, *paths = scene
    found = predict(save(tmp_path / "ms.onnx", copy_on_ms_grid()), paths, grid=grid)
    share, valid = ms[0].astype(np.float32) / 1000, valid_pan(ms, pan)
    if grid == "pan":
        share = share.repeat(2, 0).repeat(2, 1)
    else:
        valid = valid.reshape(HEIGHT, 2, WIDTH, 2).all(axis=(1, 3))
    agree(found, decided(share, valid), valid)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (15, 1), (1, 17), (16, 16), (17, 17)])
def test_scenes_of_any_size_run(tmp_path, write_raster, width, height):
    rng = np.random.default_rng(width)
    ms = rng.integers(1, 1000, (2, height, width)).astype(np.uint16)
    pan = rng.integers(1, 1000, (1, 2 * height, 2 * width)).astype(np.uint16)
    paths = write_pair(write_raster, "small", ms, pan)
    valid = np.ones(pan[0].shape, bool)
    found = predict(save(tmp_path / "copy.onnx", copy()), paths)
    agree(found, decided(pan[0].astype(np.float32) / 1000, valid), valid)


def test_tiles_without_a_valid_pixel_change_nothing(tmp_path, scene, write_raster, monkeypatch):
    """They are not computed; computed as well, the map is the same."""
    ms, pan = scene[0].copy(), scene[1]
    ms[:, :, 17:] = 0
    paths = write_pair(write_raster, "half", ms, pan)
    path = save(tmp_path / "global.onnx", with_global_pooling())
    runs = []
    run = OwnNetwork.probabilities
    monkeypatch.setattr(OwnNetwork, "probabilities", lambda *inputs: runs.append(1) or run(*inputs))
    codes, confidence = predict(path, paths)
    assert len(runs) == 4 * 2  # of 4 × 4 tiles
    whole = predict(path, scene[2:])
    inside = np.s_[:, :8]  # whose tiles see nothing of what is gone
    assert np.array_equal(codes[inside], whole[0][inside])
    assert np.array_equal(confidence[inside], whole[1][inside])
    assert np.array_equal(codes == 0, ~valid_pan(ms, pan))


def test_nan_from_a_network_is_a_sentence(tmp_path, scene):
    """Fine on the noise of the trial, where no PAN pixel is 0 and the log has a number."""
    before = [
        helper.make_node("Log", ["pan"], ["log"]),
        helper.make_node("Sub", ["log", "log"], ["nothing"]),
        helper.make_node("Add", ["pan", "nothing"], ["seen"]),
    ]
    path = save(tmp_path / "log.onnx", shares_of("seen", before=before))
    with pytest.raises(ModelError) as caught:
        predict(path, scene[2:])
    assert str(caught.value) == (
        "`log.onnx` gives NaN or infinity; every pixel needs finite numbers. Check that the "
        "card's radiometry is the one that the network was trained with."
    )
