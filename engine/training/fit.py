"""A training that is watched: epochs reported, the best model kept in its file, an end in time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...models.contract import FusionNetwork
from ..device import Device
from ..errors import Cancelled
from ..events import Message, Progress
from ..progress import Report
from .checkpoint import Checkpoint
from .crops import CropSource
from .early_stopping import BestSoFar
from .loop import EpochEnd, TrainingOptions, train
from .plan import ModelPlan
from .scenes import LabelledScene
from .trained_card import Standing, TrainingFacts, make_card
from .validation import Evaluation, Validation

PATIENCE_EPOCHS = 6
"""Epochs without a better one after which a training ends."""

WATCHED_TILES, FINAL_TILES = 24, 128
"""Validation tiles that are mapped after every epoch, and once for the accuracy in the card."""


@dataclass(frozen=True)
class Outcome:
    """A finished training: what its card says, and of what kind its end was."""

    standing: Standing
    evaluation: Evaluation | None
    cancelled: bool = False


@dataclass(frozen=True)
class _Best:
    network: FusionNetwork
    evaluation: Evaluation | None
    standing: Standing


class Fit:
    """The training of one model, which is in the file of ``checkpoint`` after the first epoch.

    Without validation scenes the latest epoch counts as the best.
    """

    def __init__(
        self,
        plan: ModelPlan,
        facts: TrainingFacts,
        validation: Sequence[LabelledScene],
        device: Device,
        checkpoint: Checkpoint,
    ) -> None:
        self.plan, self.facts, self.device, self.checkpoint = plan, facts, device, checkpoint
        self._scenes = list(validation)
        self._best = BestSoFar[_Best](PATIENCE_EPOCHS)
        self._watched = self._validation(WATCHED_TILES)

    def run(
        self,
        network: FusionNetwork,
        source: CropSource,
        options: TrainingOptions,
        report: Report,
    ) -> Outcome:
        """Train ``network`` on ``source`` and write the best; Cancelled only before there is one.

        A cancel, which is ``report`` raising Cancelled, ends the training with the best so far.
        """
        watch = _Watch(report, options)
        try:
            train(
                lambda: network, source, options, lambda step, loss: None,
                device=self.device.torch, place=watch.place,
                after_epoch=lambda end: self._after_epoch(end, watch),
            )  # fmt: skip
            return self._finish(_ending(self._best, watch), watch)
        except Cancelled:
            best = self._best.best
            if best is None or self.checkpoint.written is None:
                raise
            return Outcome(replace(best.standing, ended="cancelled"), best.evaluation, True)

    def _after_epoch(self, end: EpochEnd, watch: _Watch) -> bool:
        network = end.network()
        evaluation = self._evaluate(self._watched, network, watch)
        standing = Standing(end.number, end.number, end.step, "under way")
        rank = (float(end.number),) if evaluation is None else evaluation.rank
        found = _Best(network, evaluation, standing)
        is_best = self._best.offer(rank, found, end.number, end.share)
        if is_best:
            self._write(found)
        watch.say(end, evaluation, is_best)
        return not self._best.is_over

    def _finish(self, ended: str, watch: _Watch) -> Outcome:
        """Measure the best on more of the validation samples and write it with its whole card."""
        best = self._best.best
        assert best is not None
        evaluation = self._evaluate(self._validation(FINAL_TILES), best.network, watch)
        standing = replace(best.standing, epochs=watch.epochs, steps=watch.steps, ended=ended)
        self._write(replace(best, evaluation=evaluation, standing=standing))
        return Outcome(standing, evaluation)

    def _write(self, found: _Best) -> None:
        card = make_card(self.plan, self.facts, found.standing, found.evaluation)
        self.checkpoint.write(found.network, card)

    def _validation(self, tiles: int) -> Validation | None:
        if not self._scenes:
            return None
        return Validation(
            self._scenes, self.plan.radiometry, self.plan.classes,
            max_tiles=tiles, seed=self.facts.seed,
        )  # fmt: skip

    def _evaluate(
        self, validation: Validation | None, network: FusionNetwork, watch: _Watch
    ) -> Evaluation | None:
        if validation is None:
            return None
        return validation.evaluate(
            network, self.device.torch, lambda share: watch.alive(), workers=self.device.workers
        )


class _Watch:
    """Tells how far a training is; every call raises Cancelled once the user asked to stop."""

    def __init__(self, report: Report, options: TrainingOptions) -> None:
        self.report, self.options = report, options
        self.steps = self.epochs = 0
        self.share = 0.0
        self._began = time.monotonic()
        steps = options.steps
        self._total = f" of {-(-steps // options.epoch_steps)}" if steps is not None else ""

    def place(self, share: float) -> None:
        """Take note of a step, after which ``share`` of the training is done."""
        self.steps, self.share = self.steps + 1, share
        self.epochs = -(-self.steps // self.options.epoch_steps)
        self.alive()

    def alive(self) -> None:
        """Send the progress as it is."""
        spent = time.monotonic() - self._began
        left = spent * (1 - self.share) / self.share if self.share > 0 else None
        stage = f"training: epoch {max(1, self.epochs)}{self._total}"
        self.report(Progress(self.share, stage, remaining_s=left))

    def say(self, end: EpochEnd, evaluation: Evaluation | None, is_best: bool) -> None:
        """Send a line on an epoch."""
        text = f"Epoch {end.number}{self._total}: loss {end.loss:.3f}"
        if evaluation is not None:
            oa = evaluation.matrix.oa or 0.0
            text += (
                f"; validation: balanced accuracy {evaluation.balanced_accuracy:.1%}, "
                f"overall {oa:.1%}{', the best so far' if is_best else ''}"
            )
        self.report(Message(f"{text}."))


def _ending(best: BestSoFar[_Best], watch: _Watch) -> str:
    if best.is_over:
        return f"no better for {best.patience} epochs"
    in_time = watch.options.seconds is not None
    steps = watch.options.steps
    return "time limit" if in_time and (steps is None or watch.steps < steps) else "all epochs"
