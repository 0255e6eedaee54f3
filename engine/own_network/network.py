"""A user's network, ready to run: checked against its card and tried on one tile."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...models.card import ModelCard
from ...models.file import read_card
from ..allocator import give_back_memory
from ..errors import DeviceError, ModelError
from ..machine import resident_memory
from .graph_file import read_graph
from .session import is_memory, open_session, reason_of
from .settings import LOGITS, BlendSettings, read_settings
from .signature import Signature, read_signature, wrong_classes

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from ..device import Device

Image = NDArray[np.float32]


@dataclass(frozen=True)
class OwnNetwork:
    """A network that came as ONNX, with its card; ``on_pan_grid`` says which grid its output has.

    ``card.weights_sha256`` is over the graph's file and the files of its external weights.
    ``tile_bytes`` is the memory that one tile took, and that is kept for the next one.
    """

    path: Path
    card: ModelCard
    settings: BlendSettings
    signature: Signature
    session: InferenceSession
    on_pan_grid: bool = True
    tile_bytes: int = 0

    @property
    def probabilities_bytes(self) -> int:
        """Memory of one tile's probabilities on the PAN grid, while they are made and weighted."""
        fine_px = (self.settings.tile_px * self.card.ratio) ** 2
        return 2 * 4 * len(self.card.classes) * fine_px

    @property
    def worker_bytes(self) -> int:
        """Memory of each tile that is computed at once."""
        return self.tile_bytes + self.probabilities_bytes

    def probabilities(self, ms: Image, pan: Image) -> Image:
        """Return probabilities (K, H, W) for input ms (C, t, t) and pan (1, r·t, r·t).

        H and W are those of the PAN or of the MS, see ``on_pan_grid``. Raises ModelError where the
        network fails or gives NaN, DeviceError where memory does not suffice.
        """
        output = self._run(ms, pan)
        if self.settings.output == LOGITS:
            output = softmax(output, self.card.temperature)
        if not np.isfinite(output).all():
            raise ModelError(
                f"`{self.path.name}` gives NaN or infinity; every pixel needs finite numbers.",
                "onnx-output",
                "Check that the card's radiometry is the one that the network was trained with.",
            )
        return output

    def _run(self, ms: Image, pan: Image) -> Image:
        feed = {self.signature.ms: ms[np.newaxis], self.signature.pan: pan[np.newaxis]}
        try:
            output = self.session.run([self.signature.output], feed)[0]
        except Exception as error:  # the runtime's errors have no common base of their own
            raise self._failed(error) from error
        found: Image = np.asarray(output, np.float32)
        if not found.shape or not len(found):
            raise self.wrong_shape(found.shape)
        first: Image = found[0]
        return first

    def wrong_shape(self, shape: tuple[int, ...]) -> ModelError:
        """Return the error for an output of ``shape``."""
        side, classes = self.settings.tile_px, len(self.card.classes)
        fine = side * self.card.ratio
        return ModelError(
            f"`{self.path.name}` gives {shape} for a tile of {side} × {side} MS pixels; "
            f"{(1, classes, fine, fine)} on the PAN grid or {(1, classes, side, side)} on the MS "
            "grid is needed.",
            "onnx-shape",
            "Export it so that the output is as large as the PAN or the MS that goes in.",
        )

    def _failed(self, error: Exception) -> ModelError | DeviceError:
        side = self.settings.tile_px
        if is_memory(error):
            return DeviceError(
                f"One tile of {side} × {side} MS pixels of `{self.path.name}` does not fit the "
                "memory.",
                "out-of-memory",
                f"Make `tile_px` smaller in `{self.path.stem}.json`.",
            )
        return ModelError(
            f"`{self.path.name}` fails on a tile of {side} × {side} MS pixels: {reason_of(error)}.",
            "onnx-run",
            "Set `tile_px` in the card's arguments to a size that the network takes, or export it "
            "with symbolic sizes.",
        )


def load_own_network(path: Path, device: Device) -> OwnNetwork:
    """Return the network in ``path`` with the card beside it, every check done.

    ``device`` is one that ``runtime_device`` gave. Raises ModelFileError for the card, ModelError
    for what cannot run, DeviceError where one tile takes too much memory.
    """
    card = read_card(path)
    graph, weights = read_graph(path)
    signature = read_signature(path, graph, card)
    settings = read_settings(card, signature.fixed_px)
    del graph  # up to 2 GB
    card = _vouched(path, card, weights)
    return _tried(OwnNetwork(path, card, settings, signature, open_session(path, device)))


def softmax(logits: Image, temperature: float) -> Image:
    """Return softmax(logits / temperature) over the first axis of (K, H, W)."""
    scaled: Image = (logits - logits.max(axis=0)) / np.float32(temperature)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=0)
    return scaled


def _vouched(path: Path, card: ModelCard, weights: Iterable[Path]) -> ModelCard:
    """Return the card with the network's SHA-256; raises ModelError where it names another."""
    digest = hashlib.sha256()
    for part in (path, *weights):
        with part.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    found = digest.hexdigest()
    if card.weights_sha256 not in ("", found):
        raise ModelError(
            f"`{path.name}` does not match its card: SHA-256 {found[:12]}…, the card says "
            f"{card.weights_sha256[:12]}….",
            "onnx-card",
            f"Take `weights_sha256` out of `{path.stem}.json` if the network was exported again.",
        )
    return replace(card, weights_sha256=found)


def _tried(network: OwnNetwork) -> OwnNetwork:
    """Return the network with its output's grid, found out by running it on one tile of noise."""
    card, settings = network.card, network.settings
    side, fine = settings.tile_px, settings.tile_px * card.ratio
    give_back_memory()  # what lies free would hide what the tile takes
    noise, before = np.random.default_rng(0), resident_memory()
    output = network._run(
        noise.random((len(card.bands), side, side), np.float32),
        noise.random((1, fine, fine), np.float32),
    )
    tile_bytes = max(0, resident_memory() - before)
    shape, classes = output.shape, len(card.classes)
    if len(shape) == 3 and shape[0] != classes and shape[1:] in ((fine, fine), (side, side)):
        raise wrong_classes(network.path, shape[0], card)
    if shape not in ((classes, fine, fine), (classes, side, side)):
        raise network.wrong_shape((1, *shape))
    _require_kind(network, output)
    return replace(network, on_pan_grid=shape[1] == fine, tile_bytes=tile_bytes)


def _require_kind(network: OwnNetwork, output: Image) -> None:
    """Raise ModelError where the output's numbers are not what the card says that they are."""
    sums_to_one = bool(
        output.min() >= 0 and np.allclose(output.sum(axis=0, dtype=np.float64), 1, atol=1e-3)
    )
    if sums_to_one == (network.settings.output != LOGITS):
        return
    found, wanted = ("", "logits") if sums_to_one else (" not", "probabilities")
    other = "probabilities" if sums_to_one else "logits"
    raise ModelError(
        f"The output of `{network.path.name}` is{found} between 0 and 1 with a sum of 1 over the "
        f"classes; its card calls it {wanted}.",
        "onnx-output",
        f'Put "output": "{other}" into the `arguments` of `{network.path.stem}.json`.',
    )
