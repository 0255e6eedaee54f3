"""Networks by name, as a model card names them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .adcdnet import AdcdNet
from .cafmnet import CafmNet
from .contract import FusionNetwork
from .danet import DaNet
from .dsnet import DsNet
from .mscn import Mscn
from .patchnet import PatchAdcdNet

NETWORKS: dict[str, Callable[..., FusionNetwork]] = {
    "adcdnet": AdcdNet,
    "adcdnet_patch": PatchAdcdNet,
    "cafmnet": CafmNet,
    "danet": DaNet,
    "dsnet": DsNet,
    "mscn": Mscn,
}


def build_network(
    name: str, arguments: dict[str, Any], *, bands: int, ratio: int, classes: int
) -> FusionNetwork:
    """Return a new network with random weights, in training mode.

    Raises ValueError for an unknown network, argument or value, with the names that are known.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
    network = NETWORKS[name]
    parameters = inspect.signature(network).parameters.values()
    known = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise ValueError(
            f"network {name!r} has no argument {', '.join(unknown)}; known: {', '.join(known)}"
        )
    if min(bands, ratio) < 1 or classes < 2:
        raise ValueError(
            f"cannot build {name!r} for {bands} bands, ratio {ratio}, {classes} classes"
        )
    return network(bands, ratio, classes, **arguments)
