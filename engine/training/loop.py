"""The training loop: AdamW, one cycle, a running mean of the weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...models.contract import FusionNetwork
from ..errors import DeviceError, PanloomError
from .crops import Batch, CropSource
from .losses import balanced_loss, training_loss
from .optimizer import make_optimizer, set_rate
from .schedule import Cycle, Pace
from .weight_mean import WeightMean

__all__ = ["Clock", "EpochEnd", "TrainingOptions", "balanced_loss", "train"]

CPU = torch.device("cpu")
SETTLE_SHARE = 0.3


@dataclass(frozen=True)
class TrainingOptions:
    """How long and how fast. ``rate`` is the peak of the one-cycle learning rate.

    The result is the running mean of the weights over about the last ``average_share`` of the
    steps. After ``settle_share`` of the steps the statistics of batch normalization stay fixed. A
    batch of a few crops has statistics of its own, and a network that may use them to the end reads
    from them what else is in the batch, which a map does not have. With 0 a base model's stay.

    An epoch is ``epoch_steps`` steps. With ``seconds`` the cycle ends when they are over, or with
    ``steps`` if that comes first; ``steps`` None leaves it to the time alone. The weights then
    depend on how fast the machine was. With ``warm_average`` the mean is over few steps at first,
    so that it is of use after any epoch, and not only at the end.

    ``fresh`` names the parameters that start from random values in a network that has learned
    before: their peak rate is ``fresh_rate``, and for ``alone_share`` of the steps only they learn.
    """

    steps: int | None = 900
    batch_size: int = 8
    rate: float = 4e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    average_share: float = 0.1
    settle_share: float = SETTLE_SHARE
    seed: int = 0
    epoch_steps: int = 50
    seconds: float | None = None
    warm_average: bool = False
    fresh: frozenset[str] = frozenset()
    fresh_rate: float = 4e-3
    alone_share: float = 0.1


@dataclass(frozen=True)
class EpochEnd:
    """What there is after an epoch: its number from 1, how far the training is, its mean loss.

    ``share`` is in (0, 1]. ``network`` returns a copy of the running mean of the weights, in eval
    mode and finished: what the training would give if it ended here.
    """

    number: int
    step: int
    share: float
    loss: float
    network: Callable[[], FusionNetwork]


def train(
    make_network: Callable[[], FusionNetwork],
    source: CropSource,
    options: TrainingOptions,
    report: Callable[[int, float], None] = lambda step, loss: None,
    *,
    device: torch.device = CPU,
    after_epoch: Callable[[EpochEnd], bool] = lambda end: True,
    place: Callable[[float], None] = lambda share: None,
) -> FusionNetwork:
    """Return a trained network in eval mode: the running mean of the weights over the last steps.

    ``make_network`` is called once, after the seed is set. ``report`` gets every step's number and
    loss, ``place`` the share of the training done; each stops it by raising. ``after_epoch`` ends
    it by returning False; the last epoch may be shorter. On a CPU, and without ``seconds``, the
    same seed gives the same weights. Raises DeviceError where the device has too little memory, and
    PanloomError where the loss is no number any more.
    """
    torch.manual_seed(options.seed)
    run = _Run(make_network().train(), source, options, device)
    step, losses = 0, list[float]()
    while True:
        loss = run.step(step)
        losses.append(loss)
        report(step, loss)
        step += 1
        share = min(1.0, run.pace.place(step) / run.pace.cycle_steps)
        place(share)
        if step % options.epoch_steps == 0 or share >= 1.0:
            number = -(-step // options.epoch_steps)
            end = EpochEnd(number, step, share, sum(losses) / len(losses), run.finished)
            losses.clear()
            if not after_epoch(end) or share >= 1.0:
                return run.finished()


class _Run:
    """A training under way."""

    def __init__(
        self,
        network: FusionNetwork,
        source: CropSource,
        options: TrainingOptions,
        device: torch.device,
    ) -> None:
        self.network = network.to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.source, self.options, self.device = source, options, device
        self.pace = Pace(options.steps, options.seconds)
        self.cycle = Cycle(options.rate, self.pace.cycle_steps)
        self.optimizer = make_optimizer(
            network, options.rate, options.weight_decay,
            fresh=options.fresh, fresh_rate=options.fresh_rate,
            held_until=options.alone_share * self.cycle.steps,
        )  # fmt: skip
        self.mean = WeightMean(network, options.average_share, warm=options.warm_average)
        self.settled = False

    def step(self, step: int) -> float:
        """Take one step and return its loss."""
        place = min(self.pace.place(step), self.cycle.steps - 1.0)
        if not self.settled and place >= int(self.cycle.steps * self.options.settle_share):
            _settle(self.network)
            self.settled = True
        set_rate(self.optimizer, self.cycle, place)
        batch = self.source.batch(self.options.batch_size)
        try:
            loss = self._loss(batch)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError as error:
            raise too_little_memory(self.device, self.options.batch_size) from error
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self.mean.take(self.network, step, self.pace.planned_steps(step + 1))
        return finite_loss(float(loss.detach()), step)

    def finished(self) -> FusionNetwork:
        """Return a copy of the running mean of the weights, ready to predict."""
        return self.mean.finished()

    def _loss(self, batch: Batch) -> Tensor:
        ms, pan, labels = (x.to(self.device) for x in (batch.ms, batch.pan, batch.labels))
        return training_loss(self.network, Batch(ms, pan, labels), self.options.label_smoothing)


def _settle(network: nn.Module) -> None:
    """Keep the statistics of every batch normalization as they are from here on."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def finite_loss(loss: float, step: int) -> float:
    """Return ``loss``; raises PanloomError where it is no number any more at ``step``, from 0."""
    if loss - loss != 0.0:
        raise PanloomError(
            f"The training diverged: at step {step + 1} the loss was {loss}.",
            "diverged",
            "Look for pixels of extreme value in the rasters that are not marked as nodata.",
        )
    return loss


def too_little_memory(device: torch.device, crops: int) -> DeviceError:
    """Return what to say where a step of ``crops`` crops does not fit the device's memory."""
    return DeviceError(
        f"A training step of {crops} crops does not fit the memory of {device}.",
        "out-of-memory",
        "Choose the CPU (`--device cpu`), or end other programs that use the device.",
    )


class Clock:
    """Prints a line every ``every`` steps: step, mean loss, seconds."""

    def __init__(self, every: int, name: str = "") -> None:
        self.every, self.name = every, name
        self.began, self.losses = time.monotonic(), list[float]()

    def __call__(self, step: int, loss: float) -> None:
        """Take note of a step."""
        self.losses.append(loss)
        if (step + 1) % self.every == 0:
            mean = sum(self.losses) / len(self.losses)
            spent = time.monotonic() - self.began
            print(f"{self.name} step {step + 1}: loss {mean:.3f}, {spent:.0f} s", flush=True)
            self.losses.clear()
