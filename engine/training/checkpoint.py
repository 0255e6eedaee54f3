"""The model file of a training under way: whole at any moment, or not there yet."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError

from ...models.bundle import save_model
from ...models.card import ModelCard
from ...models.contract import FusionNetwork
from ...models.file import SUFFIX
from ..errors import InputError, OutputError
from ..outputs import Outputs


class Checkpoint:
    """Writes model after model to one path; each replaces the one before at a single stroke.

    Whatever ends the run, the file is the last model that was written, or what was there before the
    run. Raises OutputError where it cannot be written, InputError for another file extension.
    """

    def __init__(self, outputs: Outputs, target: str | Path) -> None:
        self.target = Path(target).absolute()
        if self.target.suffix.lower() != SUFFIX:
            raise InputError(
                f"The model `{self.target.name}` would not be a {SUFFIX} file.",
                "model-format",
                f"Give it the extension {SUFFIX}.",
            )
        # A folder of the run's own: it goes with all that is in it, however the run ends.
        self._folder = outputs.scratch(outputs.draft(self.target), ".models")
        self.written: ModelCard | None = None

    def write(self, network: FusionNetwork, card: ModelCard) -> None:
        """Write the model."""
        draft = self._folder / self.target.name
        try:
            self._folder.mkdir(exist_ok=True)
            self.written = save_model(draft, network, card)
            os.replace(draft, self.target)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(
                f"`{self.target.name}` cannot be written ({reason}).",
                "output-unwritable",
                "Check the free space and the permissions of the folder, or choose another one.",
            ) from error
