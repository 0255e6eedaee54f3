"""Stage I of training: the branches of a network learn from every valid pixel, without labels.

Each branch is to see in its own modality what the other one sees in the same place.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...models.contract import FusionNetwork
from .agreement import AgreementWeights, Projection, agreement_loss
from .collapse import Check, CollapseGuard, CollapseLimits, Spread
from .crops import Batch, CropSource
from .loop import finite_loss, too_little_memory
from .optimizer import make_optimizer, set_rate
from .scenes import UNLABELLED
from .schedule import Cycle

CPU = torch.device("cpu")


@dataclass(frozen=True)
class StageOneOptions:
    """How long, how fast and how watched. ``rate`` is the peak of the one-cycle learning rate.

    Each step looks at up to ``pixels`` MS pixels of the batch. Projections have ``layers`` layers
    of ``projection_width`` channels. Every ``check_steps`` steps, and at the last, the spread of
    the features is measured and held against ``limits``.
    """

    steps: int = 200
    batch_size: int = 8
    rate: float = 2e-3
    weight_decay: float = 0.02
    pixels: int = 2048
    projection_width: int = 64
    layers: int = 3
    weights: AgreementWeights = field(default_factory=AgreementWeights)
    check_steps: int = 10
    limits: CollapseLimits = field(default_factory=CollapseLimits)
    seed: int = 0


@dataclass(frozen=True)
class StageOneRecord:
    """How stage I went: its checks in order, the last of them at the last step."""

    steps: int
    seconds: float
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the first and the last check as plain JSON values, for a model card."""
        first, last = self.checks[0], self.checks[-1]
        return {
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "first": first.to_json(),
            "last": last.to_json(),
        }


def train_stage_one(
    network: FusionNetwork,
    source: CropSource,
    options: StageOneOptions,
    report: Callable[[int, float], None] = lambda step, loss: None,
    *,
    on_check: Callable[[Check], None] = lambda check: None,
    device: torch.device = CPU,
) -> StageOneRecord:
    """Train the ``encoders`` of ``network``, in place, and end its stage I.

    ``source`` is that of ``unlabelled_crops``. ``report`` gets every step's number from 0 and its
    loss, and stops the training by raising; ``on_check`` gets every check. What is drawn at random
    afterwards does not depend on stage I, and on a CPU the same seed gives the same weights.
    Raises PanloomError where features collapse or the loss is no number any more, ValueError for a
    network without encoders.
    """
    if not network.encoders():
        raise ValueError(f"{type(network).__name__} has no encoders, so no stage I")
    began, checks = time.monotonic(), list[Check]()
    guard = CollapseGuard(options.limits)
    with torch.random.fork_rng(devices=[]):  # all that is drawn is drawn on the CPU
        torch.manual_seed(options.seed)
        run = _Run(network.train(), source, options, device)
        for step in range(options.steps):
            last = step + 1 == options.steps
            loss, check = run.step(step, watched=step % options.check_steps == 0 or last)
            if check is not None:
                checks.append(check)
                on_check(check)
                guard.look(check)
            report(step, loss)
    network.end_stage_one()
    return StageOneRecord(options.steps, time.monotonic() - began, tuple(checks))


class _Run:
    """Stage I under way; the projections are made here and end with it."""

    def __init__(
        self,
        network: FusionNetwork,
        source: CropSource,
        options: StageOneOptions,
        device: torch.device,
    ) -> None:
        self.network = network.to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.source, self.options, self.device = source, options, device
        self.cycle = Cycle(options.rate, options.steps)
        sizes = _channels(network, device), options.projection_width, options.layers
        self.heads = Projection(*sizes).to(device), Projection(*sizes).to(device)
        self.network.train()
        trained = nn.ModuleList([*network.encoders(), *self.heads])
        self.parameters = list(trained.parameters())
        self.optimizer = make_optimizer(trained, options.rate, options.weight_decay)

    def step(self, step: int, *, watched: bool) -> tuple[float, Check | None]:
        """Take one step and return its loss and, if ``watched``, what its features were like."""
        try:
            ms, pan = self._features(self.source.batch(self.options.batch_size))
            layers = [[x, *head(x)] for x, head in zip((ms, pan), self.heads)]
            loss, similarity = agreement_loss(layers[0], layers[1], self.options.weights)
            value = finite_loss(float(loss.detach()), step)
            self._descend(loss, step)
        except torch.OutOfMemoryError as error:
            raise too_little_memory(self.device, self.options.batch_size) from error
        if not watched:
            return value, None
        spreads = Spread.of(ms), Spread.of(pan)
        return value, Check(step + 1, value, float(similarity.detach()), *spreads)

    def _features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the features (n, C) of MS and PAN at random valid pixels of the batch."""
        valid = torch.nonzero(batch.labels.flatten() != UNLABELLED)[:, 0]
        chosen = valid[torch.randperm(len(valid))[: self.options.pixels]].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            maps = self.network.encode(batch.ms.to(self.device), batch.pan.to(self.device))
        ms, pan = (m.float().permute(0, 2, 3, 1).flatten(0, 2)[chosen] for m in maps)
        return ms, pan

    def _descend(self, loss: Tensor, step: int) -> None:
        set_rate(self.optimizer, self.cycle, step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 2.0)
        self.optimizer.step()


@torch.no_grad()
def _channels(network: FusionNetwork, device: torch.device) -> int:
    """Return how many channels the features have, without a trace in any statistics."""
    network.eval()
    size = network.lattice_px
    ms = torch.zeros(1, network.bands, size, size, device=device)
    pan = torch.zeros(1, 1, network.ratio * size, network.ratio * size, device=device)
    return network.encode(ms, pan)[0].shape[1]
