"""Model files: safetensors with the model's card in the header, or ONNX with a card beside it.

Standard library only, Python 3.9, so that QGIS can list models without torch.
File layout (https://github.com/huggingface/safetensors): 8 bytes little-endian header length, the
JSON header, the tensor bytes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO

from .card import CardError, ModelCard
from .own_card import NEEDED, ONNX_SUFFIX, own_card

SUFFIX = ".safetensors"
CARD_KEY = "panloom.card"
HEADER_LIMIT = 4 * 1024 * 1024
"""Bytes; a card and some hundred tensor entries need about 50 kB."""

_SHIPPED = Path(__file__).resolve().parent / "weights"


class ModelFileError(CardError):
    """A model that cannot be found or read; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def shipped_models() -> list[tuple[Path, ModelCard]]:
    """Return the models that come with Panloom, by name."""
    return [(path, read_card(path)) for path in sorted(_SHIPPED.glob(f"*{SUFFIX}"))]


def find_model(name_or_path: str) -> Path:
    """Return the file of a shipped model's name or of a path; raises ModelFileError."""
    shipped = _SHIPPED / f"{name_or_path}{SUFFIX}"
    if "/" not in name_or_path and "\\" not in name_or_path and shipped.is_file():
        return shipped
    path = Path(name_or_path)
    if path.is_file():
        return path
    names = ", ".join(p.stem for p in sorted(_SHIPPED.glob(f"*{SUFFIX}"))) or "none"
    raise ModelFileError(
        f"There is no model named `{name_or_path}` and no file of that name.",
        f"Shipped models: {names}. Name one of them, or give the path of a {SUFFIX} or "
        f"{ONNX_SUFFIX} file.",
    )


def is_onnx(path: Path) -> bool:
    """Return whether a model's file is a user's own network, by its name."""
    return path.suffix.lower() == ONNX_SUFFIX


def read_card(path: Path) -> ModelCard:
    """Return the card of a model file without reading its weights; raises ModelFileError."""
    if is_onnx(path):
        return _card_beside(path)
    return _card(path, read_header(path)[0])


def verify_weights(path: Path) -> ModelCard:
    """Return the card, the weights' SHA-256 compared with it; raises ModelFileError."""
    header, start = read_header(path)
    card = _card(path, header)
    found = hash_weights(path, start)
    if found != card.weights_sha256:
        raise ModelFileError(
            f"The weights in `{path.name}` do not match their card: SHA-256 {found[:12]}…, "
            f"the card says {card.weights_sha256[:12]}….",
            "The file is damaged or was changed; fetch it again.",
        )
    return card


def hash_weights(path: Path, start: int) -> str:
    """Return the SHA-256 (hex) of the bytes from offset ``start`` to the file's end."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the JSON header of a safetensors file and the offset where the tensor bytes start."""
    try:
        with path.open("rb") as file:
            return _read_header(path, file)
    except OSError as error:
        raise ModelFileError(f"`{path}` cannot be read ({error.strerror}).") from error


def _read_header(path: Path, file: BinaryIO) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= HEADER_LIMIT:
        raise _no_model(path, f"its header would be {length} bytes long")
    text = file.read(length)
    if len(text) < length:
        raise _no_model(path, "it ends within its header")
    try:
        header = json.loads(text)
    except ValueError as error:
        raise _no_model(path, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _no_model(path, "its header is not a JSON object")
    return header, 8 + length


def _card(path: Path, header: dict[str, Any]) -> ModelCard:
    metadata = header.get("__metadata__")
    text = metadata.get(CARD_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ModelFileError(
            f"`{path.name}` holds weights without a Panloom card.",
            "Only models written by Panloom say which bands, ratio and classes they have.",
        )
    try:
        return ModelCard.from_json(text)
    except CardError as error:
        raise ModelFileError(f"The card in `{path.name}` cannot be used: {error}.") from error


def _card_beside(path: Path) -> ModelCard:
    beside = path.with_suffix(".json")
    needed = f"{', '.join(NEEDED[:-1])} and {NEEDED[-1]}"
    try:
        with beside.open("rb") as file:
            text = file.read(HEADER_LIMIT + 1)
    except FileNotFoundError as error:
        raise ModelFileError(
            f"`{path.name}` has no card: there is no `{beside.name}` beside it.",
            f"Write one with {needed}; docs/own-models.md has one to copy.",
        ) from error
    except OSError as error:
        raise ModelFileError(f"`{beside}` cannot be read ({error.strerror}).") from error
    hint = f"A card needs {needed}; docs/own-models.md has one to copy."
    if len(text) > HEADER_LIMIT:
        raise ModelFileError(f"The card `{beside.name}` is longer than {HEADER_LIMIT} bytes.", hint)
    try:
        return own_card(text.decode("utf-8"), path.stem)
    except (CardError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFileError(f"The card `{beside.name}` cannot be used: {error}.", hint) from error


def _no_model(path: Path, reason: str) -> ModelFileError:
    return ModelFileError(
        f"`{path.name}` is not a model file: {reason}.", f"A {SUFFIX} file with a card is needed."
    )
