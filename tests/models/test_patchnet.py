"""The dense form of the patch network is its patch form, pixel by pixel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panloom.models.folding import fold_batch_norm
from panloom.models.networks import build_network
from panloom.models.patchnet import PatchAdcdNet

SMALL: dict[str, Any] = {
    "widths": [16, 20, 8], "kernels": [3, 3, 3], "strides": [1, 2, 1], "hidden": 8
}  # fmt: skip
SHAPES: list[dict[str, Any]] = [
    {},
    SMALL,
    {"widths": [8, 8], "kernels": [3, 3], "strides": [2, 2]},
    {"widths": [8], "kernels": [2], "strides": [3]},
    {"widths": [12, 8], "kernels": [5, 1], "strides": [1, 1], "fusion": "gated"},
    {"fusion": "concat", "hidden": 5},
]


def network_of(
    bands: int = 4, ratio: int = 4, arguments: dict[str, Any] | None = None
) -> PatchAdcdNet:
    """Return a network in eval mode whose normalization is not at its start values."""
    torch.manual_seed(0)
    arguments = SMALL if arguments is None else arguments
    network = build_network("adcdnet_patch", arguments, bands=bands, ratio=ratio, classes=5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.7, 1.3)
    assert isinstance(network, PatchAdcdNet)
    return network.eval()


def pair(batch: int, bands: int, ratio: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    return (
        torch.rand(batch, bands, height, width),
        torch.rand(batch, 1, ratio * height, ratio * width),
    )


def patch_by_patch(network: PatchAdcdNet, ms: Tensor, pan: Tensor) -> Tensor:
    """Return logits (K, h, w) as the papers compute them: cut, run, put down, pixel by pixel."""
    ratio = network.ratio
    ms = F.pad(ms, (7, 8, 7, 8))
    pan = F.pad(pan, (7 * ratio, 8 * ratio, 7 * ratio, 8 * ratio))
    rows = []
    for row in range(ms.shape[-2] - 15):
        cells = []
        for col in range(ms.shape[-1] - 15):
            top, left = ratio * row, ratio * col
            ms_patch = ms[..., row : row + 16, col : col + 16]
            pan_patch = pan[..., top : top + 16 * ratio, left : left + 16 * ratio]
            cells.append(network.forward_patch(ms_patch, pan_patch)[0])
        rows.append(torch.stack(cells, dim=-1))
    return torch.stack(rows, dim=-2)


@pytest.mark.parametrize("arguments", SHAPES)
@pytest.mark.parametrize("ratio", [2, 4])
def test_dense_is_patch_by_patch(arguments: dict[str, Any], ratio: int) -> None:
    network = network_of(3, ratio, arguments).double()
    ms, pan = (x.double() for x in pair(1, 3, ratio, 9, 12))
    with torch.inference_mode():
        logits = network(ms, pan)[0]
        expected = patch_by_patch(network, ms, pan)
    torch.testing.assert_close(logits[:, ::ratio, ::ratio], expected, atol=1e-12, rtol=0)
    spread = expected.flatten(1).std(dim=1)
    assert (spread > 1e-6).all()  # the map says something about every pixel


@pytest.mark.parametrize("folded", [False, True])
def test_dense_is_patch_by_patch_in_single_precision(folded: bool) -> None:
    network = network_of(arguments={}).to(memory_format=torch.channels_last)
    if folded:
        fold_batch_norm(network)
    ms, pan = pair(1, 4, 4, 12, 10)
    with torch.inference_mode():
        expected = patch_by_patch(network, ms, pan)
        logits = network(ms, pan)[0]
    torch.testing.assert_close(logits[:, ::4, ::4], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("ratio", [2, 3, 4, 5])
def test_the_patch_form_is_the_formula(ratio: int) -> None:
    """Strided convolutions with their own layers' weights, straight from PyTorch, in float64."""
    network = network_of(4, ratio).double()
    ms, pan = (x.double() for x in pair(3, 4, ratio, 16, 16))

    def unit(x: Tensor, name: str, kernel: Tensor, stride: int) -> Tensor:
        weights = dict(network.named_parameters()) | dict(network.named_buffers())
        y = F.conv2d(x, kernel, stride=stride)
        norm = [weights[f"{name}.norm.{part}"][:, None, None] for part in (
            "running_mean", "running_var", "weight", "bias")]  # fmt: skip
        return ((y - norm[0]) / (norm[1] + 1e-3).sqrt() * norm[2] + norm[3]).clamp(min=0)

    maps = []
    for x, trunk in ((ms, "ms_trunk"), (pan, "pan_trunk")):
        for index, stride in enumerate((1, 2, 1)):
            name = f"{trunk}.units.{index}"
            kernel = network.get_parameter(f"{name}.conv.weight")
            if index == 0 and trunk == "pan_trunk":  # (O, r², 3, 3) to (O, 1, 3r, 3r), stride r
                kernel = F.pixel_shuffle(kernel, ratio)
                stride = ratio
            x = unit(x, name, kernel, stride)
        maps.append(x)
    assert maps[0].shape == maps[1].shape == (3, 8, 4, 4)
    hidden = unit(maps[0] + maps[1], "head", network.head.conv.weight, 1)
    last = network.classify
    expected = F.conv2d(hidden, last.weight, last.bias).flatten(1)
    with torch.inference_mode():
        torch.testing.assert_close(network.forward_patch(ms, pan), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("bands", [1, 4, 6])
@pytest.mark.parametrize("ratio", [2, 3, 4, 5])
def test_logits_are_on_the_pan_grid(bands: int, ratio: int) -> None:
    network = network_of(bands, ratio)
    with torch.no_grad():
        for height, width in ((8, 8), (17, 5), (1, 1)):
            ms, pan = pair(2, bands, ratio, height, width)
            logits = network(ms, pan)
            assert logits.shape == (2, 5, ratio * height, ratio * width)
            assert all(f.shape[-2:] == (height, width) for f in network.encode(ms, pan))


def test_nothing_beyond_the_halo_matters() -> None:
    for arguments, reach in (
        ({}, (7, 7)),
        ({"widths": [8], "kernels": [3], "strides": [1]}, (7, 8)),
    ):
        network = network_of(arguments=arguments).double()
        ms, pan = (x.double().requires_grad_() for x in pair(1, 4, 4, 24, 24))
        pixel = network(ms, pan)[..., 48:52, 48:52].abs().sum()
        for gradient, step in zip(torch.autograd.grad(pixel, (ms, pan)), (1, 4), strict=True):
            for found in torch.nonzero(gradient.abs().sum((0, 1)), as_tuple=True):
                seen = found // step - 12
                assert (-int(seen.min()), int(seen.max())) == reach
        assert max(reach) <= network.halo_px


def test_features_to_train_look_around_their_pixel() -> None:
    network = network_of(4, 2, {}).double()
    ms, pan = (x.double().requires_grad_() for x in pair(1, 4, 2, 24, 24))
    for features, source, step in zip(network.encode(ms, pan), (ms, pan), (1, 2), strict=True):
        (gradient,) = torch.autograd.grad(features[..., 12, 12].abs().sum(), source)
        rows, cols = torch.nonzero(gradient.abs().sum((0, 1)), as_tuple=True)
        for found in (rows // step, cols // step):
            assert (int(found.min()), int(found.max())) == (10, 14)


@pytest.mark.parametrize("fusion", ["sum", "concat", "gated"])
def test_every_parameter_gets_a_gradient(fusion: str) -> None:
    network = network_of(arguments={**SMALL, "fusion": fusion}).train()
    network(*pair(2, 4, 4, 24, 24)).square().sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    trained = {id(p) for module in network.encoders() for p in module.parameters()}
    branches = [p for n, p in network.named_parameters() if "_trunk." in n]
    assert trained == {id(p) for p in branches}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("ratio", "arguments"), [(2, {}), (3, SMALL), (4, {})])
def test_a_pixel_has_the_same_bits_in_every_patch(
    threads: int, ratio: int, arguments: dict[str, Any]
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        _compare_patches(ratio, arguments)
    finally:
        torch.set_num_threads(before)


def _compare_patches(ratio: int, arguments: dict[str, Any]) -> None:
    network = network_of(6, ratio, arguments).to(memory_format=torch.channels_last)
    fold_batch_norm(network)
    halo = network.halo_px
    ms, pan = pair(1, 6, ratio, 150, 141)
    edge = halo * ratio
    with torch.inference_mode():
        whole = network(ms, pan)
        for top, left, height, width, batch in (
            (0, 0, 64, 64, 1),
            (31, 17, 50, 68, 3),
            (3, 61, 2 * halo + 1, 2 * halo + 7, 4),
            (10, 20, 2 * halo + 51, 2 * halo + 35, 2),
        ):
            rows, cols = slice(top, top + height), slice(left, left + width)
            fine_rows = slice(top * ratio, (top + height) * ratio)
            fine_cols = slice(left * ratio, (left + width) * ratio)
            part = network(
                ms[..., rows, cols].repeat(batch, 1, 1, 1),
                pan[..., fine_rows, fine_cols].repeat(batch, 1, 1, 1),
            )[..., edge:-edge, edge:-edge]
            same = whole[..., fine_rows, fine_cols][..., edge:-edge, edge:-edge]
            assert all(torch.equal(one, same[0]) for one in part)


def test_folding_changes_rounding_only() -> None:
    plain, folded = network_of(), network_of()
    fold_batch_norm(folded)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    inputs = pair(2, 4, 4, 20, 22)
    with torch.no_grad():
        torch.testing.assert_close(folded(*inputs), plain(*inputs), atol=1e-4, rtol=1e-4)


def test_the_published_widths_stay_below_four_million_parameters() -> None:
    published = {**SMALL, "widths": [128, 256, 128], "hidden": 64}
    for arguments in ({}, published):
        network = network_of(arguments=arguments)
        assert sum(p.numel() for p in network.parameters()) < 4_000_000


BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"widths": [8, 8]},
        r"widths \[8, 8\], kernels \[1, 3, 3\] and strides \[1, 1, 2\] make no trunk",
    ),
    ({"widths": [], "kernels": [], "strides": []}, "make no trunk"),
    ({"strides": [1, 1, 0]}, "make no trunk"),
    (
        {"kernels": [9, 9, 1]},
        r"kernels \[9, 9, 1\] and strides \[1, 1, 2\] leave nothing of a patch of 16 × 16 px",
    ),
    ({"fusion": "cafm"}, "fusion 'cafm' looks beyond a pixel, so a patch has none like it"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD)
def test_what_cannot_be_built_is_said(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        network_of(arguments=arguments)


def test_a_patch_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="MS patches are 16 × 16, got"):
        network_of().forward_patch(*pair(1, 4, 4, 15, 16))
