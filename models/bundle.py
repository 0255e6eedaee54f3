"""Save and load models: network, weights and card in one file, never unpickled."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .card import ModelCard
from .contract import FusionNetwork
from .file import CARD_KEY, ModelFileError, hash_weights, is_onnx, read_header, verify_weights
from .networks import build_network


@dataclass(frozen=True)
class ModelBundle:
    """A network in eval mode with exactly the weights its card vouches for."""

    card: ModelCard
    network: FusionNetwork


def save_model(path: Path, network: torch.nn.Module, card: ModelCard) -> ModelCard:
    """Write weights and card to ``path`` and return the card with the weights' SHA-256.

    The file appears whole or not at all.
    """
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(weights, draft, metadata={CARD_KEY: card.to_json()})
        card = replace(card, weights_sha256=hash_weights(draft, read_header(draft)[1]))
        save_file(weights, draft, metadata={CARD_KEY: card.to_json()})
        draft.chmod(0o644)  # safetensors makes files for their owner only
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return card


def load_bundle(path: Path) -> ModelBundle:
    """Return the model in ``path``, on the CPU; raises ModelFileError for a file that lies."""
    if is_onnx(path):
        raise ModelFileError(
            f"`{path.name}` is an ONNX network, which can be run but not trained; a .safetensors "
            "model is needed here."
        )
    card = verify_weights(path)
    try:
        network = build_network(
            card.network,
            card.arguments,
            bands=len(card.bands),
            ratio=card.ratio,
            classes=len(card.classes),
        )
    except (ValueError, TypeError) as error:
        raise ModelFileError(
            f"`{path.name}` needs a network that this version cannot build: {error}.",
            "Update Panloom, or use another model.",
        ) from error
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ModelFileError(f"The weights in `{path.name}` cannot be read: {error}.") from error
    _load_exactly(path, network, weights)
    return ModelBundle(card, network.eval())


def _load_exactly(path: Path, network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    expected = network.state_dict()
    missing = sorted(set(expected) - set(weights))
    unknown = sorted(set(weights) - set(expected))
    if missing or unknown:
        raise ModelFileError(
            f"The weights in `{path.name}` do not fit their network: {len(missing)} missing "
            f"({', '.join(missing[:2])}), {len(unknown)} unknown ({', '.join(unknown[:2])})."
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise ModelFileError(
                f"Tensor {name} in `{path.name}` has shape {tuple(tensor.shape)}; the network "
                f"needs {tuple(expected[name].shape)}."
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelFileError(f"Tensor {name} in `{path.name}` holds NaN or infinity.")
    network.load_state_dict(weights)
