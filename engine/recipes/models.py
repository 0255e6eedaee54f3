"""``panloom models``: the models that come with Panloom, or one of any, and what each needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ...models.card import ModelCard
from ...models.file import find_model, read_card, shipped_models
from ..events import Result
from ..progress import Report


@dataclass(frozen=True)
class ModelsOptions:
    """``panloom models`` takes one model's name or file, or nothing for those that are shipped."""

    model: str | None = None


def run(options: ModelsOptions, report: Report) -> Result:
    """Return the cards of the shipped models, or of the one asked for; raises ModelFileError."""
    found = [read_card(find_model(options.model))] if options.model else None
    cards = [card for _, card in shipped_models()] if found is None else found
    return Result(summary={"models": [json.loads(card.to_json()) for card in cards]})


def as_text(summary: dict[str, Any]) -> str:
    """Return the list for people, a paragraph a model."""
    cards = [ModelCard.from_json(json.dumps(body)) for body in summary["models"]]
    return "\n\n".join(_paragraph(card) for card in cards)


def _paragraph(card: ModelCard) -> str:
    low, high = card.gsd_range_m
    return "\n".join(
        (
            f"{card.name}: {card.title}",
            f"  MS bands  {', '.join(card.band_roles)} ({low:g}–{high:g} m), "
            f"PAN {card.ratio} times finer",
            f"  classes   {', '.join(f'{c.code} {c.name}' for c in card.classes.classes)}",
            f"  network   {card.network}",
            f"  use       {card.intended_use}",
        )
    )
