"""What every network promises, whatever is inside it: shapes, size, tiling, halo, gradients, file.

A network that joins ``NETWORKS`` is tested here without a line more.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from panloom.models.bundle import load_bundle, save_model
from panloom.models.card import Band, ModelCard
from panloom.models.classes import ClassScheme, LandClass
from panloom.models.contract import FusionNetwork
from panloom.models.folding import fold_batch_norm
from panloom.models.fusion import FUSIONS
from panloom.models.networks import NETWORKS, build_network

LANDSAT_ROLES = ("blue", "green", "red", "nir", "swir1", "swir2")
CLASSES = 5
MIB = 1 << 20


@dataclass(frozen=True)
class Kind:
    """A network by name with the arguments that its card would hold."""

    name: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return "-".join([self.name, *(str(v) for kv in self.arguments.items() for v in kv)])

    @property
    def training_arguments(self) -> dict[str, Any]:
        """Return the arguments with those that are only for training."""
        network: Any = NETWORKS[self.name]
        further = {**network.training_arguments, **network.stage_one_arguments}
        return {**further, **self.arguments}

    def build(
        self, bands: int = 6, ratio: int = 2, *, training: bool = False, seed: int = 0
    ) -> FusionNetwork:
        """Return the network with nothing at a start value that hides what depends on it."""
        torch.manual_seed(seed)
        arguments = self.training_arguments if training else self.arguments
        network = build_network(self.name, arguments, bands=bands, ratio=ratio, classes=CLASSES)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                nn.init.normal_(module.running_mean, 0, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        for parameter in network.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, 0.1, 0.3)
        return network.train() if training else network.eval()

    def build_for_inference(self, ratio: int = 2) -> FusionNetwork:
        """Return the network as the engine runs it."""
        network = self.build(ratio=ratio)
        fold_batch_norm(network)
        return network.to(memory_format=torch.channels_last)


KINDS = [Kind(name, {}) for name in NETWORKS] + [
    Kind("adcdnet", {"fusion": fusion})
    for fusion in FUSIONS
    if fusion != inspect.signature(NETWORKS["adcdnet"]).parameters["fusion"].default
]
KINDS.append(Kind("adcdnet", {"prior": True}))
each_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
each_network = pytest.mark.parametrize("name", NETWORKS)


def pair(batch: int, bands: int, ratio: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    pan_shape = (batch, 1, ratio * height, ratio * width)
    return torch.rand(batch, bands, height, width), torch.rand(pan_shape)


@each_kind
@pytest.mark.parametrize("bands", [1, 3, 6, 13])
@pytest.mark.parametrize("ratio", [2, 3, 4, 5])
def test_logits_are_on_the_pan_grid(kind: Kind, bands: int, ratio: int) -> None:
    network = kind.build(bands, ratio)
    with torch.inference_mode():
        for batch, height, width in ((1, 1, 1), (2, 7, 10)):
            logits = network(*pair(batch, bands, ratio, height, width))
            assert logits.shape == (batch, CLASSES, ratio * height, ratio * width)
            assert torch.isfinite(logits).all()


@each_kind
def test_branches_end_on_one_grid(kind: Kind) -> None:
    network = kind.build(3, 3, training=True)
    ms_features, pan_features = network.encode(*pair(2, 3, 3, 16, 24))
    assert ms_features.shape == pan_features.shape
    assert (len(ms_features), ms_features.shape[2:]) == (2, (16, 24))


@each_kind
def test_a_pixel_has_the_same_bits_in_every_patch(kind: Kind) -> None:
    _compare_patches(kind, ratio=2)


@each_network
def test_a_pixel_has_the_same_bits_with_two_threads(name: str) -> None:
    """Another division of the work, where convolutions of few channels are prone to differ."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        _compare_patches(Kind(name, {}), ratio=3)
    finally:
        torch.set_num_threads(before)


def _compare_patches(kind: Kind, ratio: int) -> None:
    network = kind.build_for_inference(ratio)
    halo, lattice = network.halo_px, network.lattice_px
    height, width = 2 * halo + 2 * lattice + 21, 2 * halo + 2 * lattice + 26
    ms, pan = pair(1, 6, ratio, height, width)
    ms[..., : halo + 12, : halo + 17] = 0.25  # flat ground, where much is equal
    pan[..., : ratio * (halo + 12), : ratio * (halo + 17)] = 0.25
    edge = slice(ratio * halo, -ratio * halo)
    with torch.inference_mode():
        whole = network(ms, pan)
        for down, across, high, wide, batch in ((0, 1, 9, 4, 2), (1, 0, 5, 23, 1), (2, 2, 3, 7, 1)):
            top, left = down * lattice, across * lattice
            rows, cols = slice(top, top + 2 * halo + high), slice(left, left + 2 * halo + wide)
            fine = (..., times(rows, ratio), times(cols, ratio))
            parts = network(
                ms[..., rows, cols].repeat(batch, 1, 1, 1), pan[fine].repeat(batch, 1, 1, 1)
            )
            inner, same = parts[..., edge, edge], whole[fine][..., edge, edge]
            assert inner.shape[-2:] == (ratio * high, ratio * wide)
            assert all(torch.equal(one, same[0]) for one in inner)


@each_kind
@pytest.mark.parametrize("ratio", [2, 3])
def test_without_its_margin_a_map_has_the_same_bits(kind: Kind, ratio: int) -> None:
    network = kind.build_for_inference(ratio)
    lattice = network.lattice_px
    halo = -(-network.halo_px // lattice) * lattice
    inputs = pair(2, 6, ratio, 2 * halo + lattice + 5, 2 * halo + 3)
    with torch.inference_mode():
        whole = network(*inputs)
        edge = slice(ratio * halo, -ratio * halo)
        assert torch.equal(network(*inputs, halo), whole[..., edge, edge])


@each_kind
def test_nothing_beyond_the_halo_matters(kind: Kind) -> None:
    """By change, since selections and thresholds have no gradient."""
    network = kind.build_for_inference()
    halo, lattice = network.halo_px, network.lattice_px
    size = 2 * halo + lattice + 3
    near = []
    with torch.inference_mode():
        ms, pan = pair(1, 6, 2, size, size)
        other_ms, other_pan = (5 * (1 - x) for x in (ms, pan))
        before = network(ms, pan)
        for step in {0, lattice // 2, lattice - 1}:  # where a pixel lies in its block matters
            row, col = halo + 1 + step, halo + lattice - step
            for reach, same in ((halo, True), (halo // 2, False)):
                kept = [slice(max(at - reach, 0), at + reach + 1) for at in (row, col)]
                changed_ms, changed_pan = other_ms.clone(), other_pan.clone()
                changed_ms[..., kept[0], kept[1]] = ms[..., kept[0], kept[1]]
                fine = (..., *(times(s, 2) for s in kept))
                changed_pan[fine] = pan[fine]
                here = (..., slice(2 * row, 2 * row + 2), slice(2 * col, 2 * col + 2))
                equal = torch.equal(network(changed_ms, changed_pan)[here], before[here])
                assert equal or not same
                near += [] if same else [equal]
    assert not all(near)  # the halo is not far too large either


def times(part: slice, ratio: int) -> slice:
    return slice(part.start * ratio, part.stop * ratio)


@each_kind
def test_every_trained_parameter_gets_a_gradient(kind: Kind) -> None:
    network = kind.build(training=True)
    network.end_stage_one()
    ms, pan = pair(2, 6, 2, 32, 24)
    where = torch.rand(2, 32, 24) < 0.2
    logits, auxiliary = network.train_logits(ms, pan, where)
    assert logits.shape == (2, CLASSES, 64, 48)
    assert [x.shape for x in auxiliary] == [(int(where.sum()), CLASSES)] * len(auxiliary)
    sum(x.square().sum() for x in (logits, *auxiliary)).backward()
    assert silent(network.named_parameters()) == []


@each_kind
def test_stage_one_reaches_all_of_the_branches(kind: Kind) -> None:
    network = kind.build(training=True)
    encoders = network.encoders()
    assert encoders
    sum(x.square().sum() for x in network.encode(*pair(2, 6, 2, 32, 24))).backward()
    assert [silent(encoder.named_parameters()) for encoder in encoders] == [[]] * len(encoders)


def silent(parameters: Any) -> list[str]:
    """Return the names of the trained parameters without a gradient."""
    trained = [(name, p) for name, p in parameters if p.requires_grad]
    assert trained
    return [name for name, p in trained if p.grad is None or not p.grad.any()]


@each_kind
def test_finish_leaves_the_network_that_its_card_describes(kind: Kind) -> None:
    network = kind.build(training=True).eval()
    inputs = pair(1, 6, 2, 16, 24)
    with torch.inference_mode():
        before = network(*inputs)
        network.finish()
        assert torch.equal(network(*inputs), before)
        plain = kind.build(seed=7)
        plain.load_state_dict(network.state_dict())  # strict: no weight more, none less
        assert torch.equal(plain(*inputs), before)
    assert (plain.halo_px, plain.lattice_px) == (network.halo_px, network.lattice_px)


@each_kind
def test_the_landsat_preset_is_small_and_comes_back_from_its_file(
    kind: Kind, tmp_path: Path
) -> None:
    network, path = kind.build(), tmp_path / "model.safetensors"
    assert sum(p.numel() for p in network.parameters()) <= 4_000_000
    saved = save_model(path, network, card_of(kind))
    assert path.stat().st_size <= 10 * MIB
    bundle = load_bundle(path)
    assert bundle.card == saved
    assert not bundle.network.training
    assert type(bundle.network) is type(network)
    inputs = pair(1, 6, 2, 16, 24)
    with torch.inference_mode():
        assert torch.equal(bundle.network(*inputs), network(*inputs))


def card_of(kind: Kind) -> ModelCard:
    return ModelCard(
        name="test",
        title="Test",
        network=kind.name,
        arguments=kind.arguments,
        bands=tuple(Band(role, 0.5) for role in LANDSAT_ROLES),
        ratio=2,
        gsd_range_m=(20.0, 40.0),
        radiometry={"kind": "dark-object"},
        classes=ClassScheme(
            tuple(LandClass(k, f"Class {k}", "#336699") for k in range(1, CLASSES + 1))
        ),
    )


@each_network
def test_the_same_seed_gives_the_same_network(name: str) -> None:
    first, second, other = (Kind(name, {}).build(seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@each_network
def test_an_unknown_argument_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build_network(name, {"wish": 1, "hope": 2}, bands=4, ratio=2, classes=3)
    start, known = str(caught.value).split("; known: ")
    assert start == f"network {name!r} has no argument hope, wish"
    kinds = inspect.signature(NETWORKS[name]).parameters.items()
    assert known.split(", ") == [n for n, p in kinds if p.kind is p.KEYWORD_ONLY]


@each_network
@pytest.mark.parametrize(("bands", "ratio", "classes"), [(0, 2, 3), (4, 0, 3), (4, 2, 1)])
def test_an_impossible_size_is_refused(name: str, bands: int, ratio: int, classes: int) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build_network(name, {}, bands=bands, ratio=ratio, classes=classes)
    assert str(caught.value) == (
        f"cannot build {name!r} for {bands} bands, ratio {ratio}, {classes} classes"
    )


def test_an_unknown_network_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build_network("unet", {}, bands=4, ratio=2, classes=3)
    assert str(caught.value) == f"unknown network 'unet'; known: {', '.join(NETWORKS)}"
