"""How a user's network is tiled and what its numbers mean: the card's arguments."""

from __future__ import annotations

from dataclasses import dataclass

from ...models.card import ModelCard
from ..errors import ModelError

LOGITS, PROBABILITIES = "logits", "probabilities"
_KEYS = ("tile_px", "overlap_px", "output")
_TILE_PX = 128
_MOST_PAN_PX = 4096
"""Along a tile's side; 4 GB for one layer of 64 channels."""


@dataclass(frozen=True)
class BlendSettings:
    """Tile side and overlap of neighboring tiles in MS pixels; output: logits or probabilities."""

    tile_px: int
    overlap_px: int
    output: str

    @property
    def step_px(self) -> int:
        """MS pixels from one tile to the next."""
        return self.tile_px - self.overlap_px


def read_settings(card: ModelCard, fixed_px: int | None) -> BlendSettings:
    """Return the settings in ``card.arguments``; ``fixed_px`` is the tile side built into the file.

    Without ``tile_px`` it is the file's, or 128; without ``overlap_px`` it is a quarter of that.
    Raises ModelError for an argument that is unknown or cannot be.
    """
    unknown = sorted(set(card.arguments) - set(_KEYS))
    if unknown:
        raise _wrong(f"names {', '.join(unknown)}; {', '.join(_KEYS)} are known")
    tile_px = _whole(card, "tile_px", fixed_px or _TILE_PX)
    if fixed_px is not None and tile_px != fixed_px:
        raise _wrong(f"has tile_px {tile_px}; the file takes tiles of {fixed_px} MS pixels only")
    overlap_px = _whole(card, "overlap_px", max(1, tile_px // 4))
    if not 2 <= tile_px <= _MOST_PAN_PX // card.ratio:
        most = _MOST_PAN_PX // card.ratio
        raise _wrong(f"has tile_px {tile_px}; 2 to {most} is needed at a ratio of {card.ratio}")
    if not 1 <= overlap_px <= tile_px // 2:
        raise _wrong(f"has overlap_px {overlap_px}; 1 to {tile_px // 2}, half the tile, is needed")
    output = card.arguments.get("output", LOGITS)
    if output not in (LOGITS, PROBABILITIES):
        raise _wrong(f"has output {output!r:.40}; {LOGITS!r} or {PROBABILITIES!r} is needed")
    if output == PROBABILITIES and card.temperature != 1:
        raise _wrong(
            f"has output {output!r} and the card a temperature of {card.temperature:g}; a "
            "temperature is for logits"
        )
    return BlendSettings(tile_px, overlap_px, output)


def _whole(card: ModelCard, key: str, default: int) -> int:
    value = card.arguments.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(f"has {key} {value!r:.40}; a whole number of MS pixels is needed")
    return value


def _wrong(what: str) -> ModelError:
    return ModelError(
        f"The card's `arguments` {what}.", "onnx-card", "Correct it in the JSON file."
    )
