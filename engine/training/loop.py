"""The training loop: AdamW, one cycle, a running mean of the weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .crops import CropSource
from .scenes import UNLABELLED


@dataclass(frozen=True)
class TrainingOptions:
    """How long and how fast. ``rate`` is the peak of the one-cycle learning rate.

    The result is the running mean of the weights over about the last ``average_share`` of the
    steps. After ``settle_share`` of the steps the statistics of batch normalization stay fixed. A
    batch of a few crops has statistics of its own, and a network that may use them to the end reads
    from them what else is in the batch, which a map does not have.
    """

    steps: int = 900
    batch_size: int = 8
    rate: float = 4e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    average_share: float = 0.1
    settle_share: float = 0.3
    seed: int = 0


def train(
    make_network: Callable[[], nn.Module],
    source: CropSource,
    options: TrainingOptions,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> nn.Module:
    """Return a trained network in eval mode: the running mean of the weights over the last steps.

    ``make_network`` is called once, after the seed is set. ``report`` gets every step's number and
    loss, and stops the training by raising.
    """
    torch.manual_seed(options.seed)
    network = make_network().train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(_parameter_groups(network, options.weight_decay), lr=options.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, total_steps=options.steps, pct_start=0.2
    )
    # Half of the span, since the learning rate falls to nothing within it.
    decay = 1 - 2 / max(4.0, options.steps * options.average_share)
    follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
    for step in range(options.steps):
        if step == int(options.steps * options.settle_share):
            _settle(network)
        batch = source.batch(options.batch_size)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(batch.ms, batch.pan)  # (B, K, r·h, r·w)
        loss = balanced_loss(logits.float(), batch.labels, options.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(network)
        report(step, float(loss.detach()))
    result: nn.Module = averaged.module
    return result.eval()


def balanced_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy over labelled pixels, rare classes of the batch weighing more.

    ``logits`` are (B, K, r·h, r·w), ``labels`` (B, h, w) class indices with −1 for none. A class
    weighs 1/√(its pixels): halfway between every pixel and every class being equal.
    """
    classes = logits.shape[1]
    known = labels[labels != UNLABELLED]
    counts = torch.bincount(known, minlength=classes).to(logits.dtype)
    weights = torch.where(counts > 0, counts.clamp(min=1).rsqrt(), 0.0)
    ratio = logits.shape[-1] // labels.shape[-1]
    fine = labels.repeat_interleave(ratio, 1).repeat_interleave(ratio, 2)
    return F.cross_entropy(
        logits, fine, weights, ignore_index=UNLABELLED, label_smoothing=smoothing
    )


def _settle(network: nn.Module) -> None:
    """Keep the statistics of every batch normalization as they are from here on."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _parameter_groups(network: nn.Module, decay: float) -> list[dict[str, object]]:
    """Return weights of convolutions with weight decay, biases and scales without."""
    heavy = [p for p in network.parameters() if p.ndim > 1]
    light = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": heavy, "weight_decay": decay}, {"params": light, "weight_decay": 0.0}]


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
