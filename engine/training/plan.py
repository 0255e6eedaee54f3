"""What is to be trained: network, bands, radiometry and classes, new or from a base model."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch

from ...models.bundle import ModelBundle
from ...models.card import Band
from ...models.classes import ClassScheme
from ...models.contract import FusionNetwork
from ...models.fusion import FUSIONS
from ...models.networks import NETWORKS, build_network
from ..errors import InputError
from .scene_list import SceneSource
from .sensor import choose_radiometry, gsd_range, read_sensor
from .training_set import TrainingSet

DEFAULT_NETWORK = "adcdnet"
_PRIOR = "prior"


@dataclass(frozen=True)
class NetworkChoice:
    """A network by name, the arguments that its card will hold, and those of training only."""

    name: str
    arguments: dict[str, Any]
    training_arguments: dict[str, Any]


@dataclass(frozen=True)
class ModelPlan:
    """Everything about a model that is fixed before its training; ``gsd_range_m`` is of the MS."""

    choice: NetworkChoice
    bands: tuple[Band, ...]
    ratio: int
    gsd_range_m: tuple[float, float]
    radiometry: dict[str, Any]
    classes: ClassScheme
    base: ModelBundle | None = None

    @property
    def keeps_classes(self) -> bool:
        """True where a base model's classes, and so all of its weights, are kept."""
        return self.base is not None and self.base.card.classes == self.classes

    def build(self) -> FusionNetwork:
        """Return the network to train, with the weights of the base model where there is one.

        What is ``fresh`` starts anew.
        """
        network = self._build(len(self.classes))
        if self.base is not None:
            _take_over(network, self.base.network, self.fresh())
            if self.choice.arguments.get(_PRIOR):  # its stage I is behind it
                network.end_stage_one()
        return network

    def fresh(self) -> frozenset[str]:
        """Return the names of the weights that a base model does not give; none without a base.

        Those are what only training has, and with other classes what depends on their number.
        """
        if self.base is None:
            return frozenset()
        return frozenset(self._training_weights() | self._class_weights())

    def _build(self, classes: int) -> FusionNetwork:
        arguments = {**self.choice.arguments, **self.choice.training_arguments}
        return build_network(
            self.choice.name, arguments, bands=len(self.bands), ratio=self.ratio, classes=classes
        )

    def _training_weights(self) -> set[str]:
        """Return the names of the weights that a finished network does not have."""
        state = torch.get_rng_state()
        network = self._build(len(self.classes))
        torch.set_rng_state(state)
        names = set(network.state_dict())
        network.finish()
        return names - set(network.state_dict())

    def _class_weights(self) -> set[str]:
        """Return the names of the weights whose shape depends on the number of classes."""
        if self.keeps_classes:
            return set()
        state = torch.get_rng_state()
        other = self._build(len(self.classes) + 1).state_dict()
        torch.set_rng_state(state)
        own = self._build(len(self.classes)).state_dict()
        torch.set_rng_state(state)
        return {name for name, tensor in own.items() if tensor.shape != other[name].shape}


def choose_network(
    network: str | None, fusion: str | None, stage_one: bool, base: ModelBundle | None
) -> NetworkChoice:
    """Return the network that the options ask for; raises InputError where they do not fit."""
    if base is not None:
        _require_base_network(network, fusion, base)
        extra = _only_training(base.card.network, stage_one=False)  # its stage I is behind it
        return NetworkChoice(base.card.network, dict(base.card.arguments), extra)
    name = network or DEFAULT_NETWORK
    if name not in NETWORKS:
        raise InputError(
            f"There is no network `{name}`; {', '.join(NETWORKS)} are known.",
            "network",
            "Choose one of them with `--network`.",
        )
    arguments: dict[str, Any] = {}
    if fusion is not None:
        arguments["fusion"] = _require_fusion(fusion, name)
    if stage_one and _has_argument(name, _PRIOR):
        arguments[_PRIOR] = True
    return NetworkChoice(name, arguments, _only_training(name, stage_one))


def new_plan(choice: NetworkChoice, known: TrainingSet, first: SceneSource) -> ModelPlan:
    """Return the plan of a model from scratch for what is known of the scenes."""
    sensor = read_sensor(first, known.band_names)
    radiometry = choose_radiometry(sensor, known.scenes)
    gsd_range_m = gsd_range(known.gsd_m)
    return ModelPlan(choice, sensor.bands, known.ratio, gsd_range_m, radiometry, known.scheme)


def plan_from_base(choice: NetworkChoice, known: TrainingSet, base: ModelBundle) -> ModelPlan:
    """Return the plan of a model that starts from ``base``: its bands, ratio and radiometry."""
    card = base.card
    low, high = card.gsd_range_m
    if known.gsd_m is not None:
        low, high = min(low, known.gsd_m), max(high, known.gsd_m)
    return ModelPlan(
        choice, card.bands, card.ratio, (low, high), card.radiometry, known.scheme, base
    )


def _only_training(name: str, stage_one: bool) -> dict[str, Any]:
    """Return the arguments of a network that is trained, with or without stage I before."""
    network = NETWORKS[name]
    always: dict[str, Any] = getattr(network, "training_arguments", {})
    after: dict[str, Any] = getattr(network, "stage_one_arguments", {}) if stage_one else {}
    return {**always, **after}


def _has_argument(network: str, argument: str) -> bool:
    return argument in inspect.signature(NETWORKS[network]).parameters


def _require_fusion(fusion: str, network: str) -> str:
    if not _has_argument(network, "fusion"):
        having = ", ".join(n for n in NETWORKS if _has_argument(n, "fusion"))
        raise InputError(
            f"Network `{network}` has a fusion of its own; `--fusion {fusion}` is for {having}.",
            "fusion",
            f"Leave `--fusion` out, or choose `--network {having.split(',')[0]}`.",
        )
    if fusion not in FUSIONS:
        raise InputError(
            f"There is no fusion `{fusion}`; {', '.join(FUSIONS)} are known.",
            "fusion",
            "Choose one of them with `--fusion`.",
        )
    return fusion


def _require_base_network(network: str | None, fusion: str | None, base: ModelBundle) -> None:
    card = base.card
    if network is not None and network != card.network:
        raise InputError(
            f"The base model `{card.name}` is of network `{card.network}`; `--network {network}` "
            "would be another one.",
            "base-network",
            "Leave `--network` out, or train without `--base`.",
        )
    own = card.arguments.get("fusion", _default_fusion(card.network))
    if fusion is not None and fusion != own:
        raise InputError(
            f"The base model `{card.name}` has the fusion `{own}`; `--fusion {fusion}` would be "
            "another one.",
            "base-network",
            "Leave `--fusion` out, or train without `--base`.",
        )


def _default_fusion(network: str) -> str:
    parameter = inspect.signature(NETWORKS[network]).parameters.get("fusion")
    return "none" if parameter is None else str(parameter.default)


def _take_over(network: FusionNetwork, base: FusionNetwork, anew: frozenset[str]) -> None:
    """Load the base's weights into ``network`` but for those named ``anew``."""
    kept = {name: t for name, t in base.state_dict().items() if name not in anew}
    missing, unknown = network.load_state_dict(kept, strict=False)
    left = set(missing) - anew
    if unknown or left:
        raise ValueError(f"base and network differ: {sorted(left)[:2]}, {sorted(unknown)[:2]}")
