"""``panloom train``: from pairs of rasters with samples to a model that maps their classes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from ...models.bundle import load_bundle
from ...models.file import find_model
from ..device import Device, choose_device, one_thread
from ..events import Message, Progress, Result
from ..outputs import Outputs
from ..progress import Report, section
from ..scene.raster_files import gdal_cache, prepare_gdal
from ..training.blocks import split_scenes
from ..training.checkpoint import Checkpoint
from ..training.crops import CropOptions, CropSource
from ..training.fit import Fit, Outcome
from ..training.loop import SETTLE_SHARE, TrainingOptions
from ..training.plan import ModelPlan, choose_network, new_plan, plan_from_base
from ..training.pretraining import pretrain
from ..training.scene_list import SceneSource, read_scene_list
from ..training.scenes import LabelledScene
from ..training.sensor import require_pairs_fit
from ..training.stage_one import StageOneOptions
from ..training.summary import as_text, make_summary
from ..training.trained_card import TrainingFacts, class_pixels, input_statistics, model_name
from ..training.training_set import TrainingSet, load_training_set

__all__ = ["TrainOptions", "as_text", "run"]

EPOCHS, EPOCHS_FROM_BASE = 20, 10
"""Most epochs of a training without a time limit, and of one that starts from a base model."""

EPOCH_STEPS, STAGE_ONE_STEPS, BATCH_SIZE, CROP_PX = 50, 200, 8, 40
RATE, RATE_FROM_BASE = 4e-3, 2e-3
"""Peak rates of what starts anew, and of what a base model has learned."""


@dataclass(frozen=True)
class TrainOptions:
    """What ``panloom train`` takes: one pair with its samples, or ``scenes``, a list of several.

    ``minutes`` limits the training itself, not the reading before it; ``stage1`` is on or off,
    ``validation`` blocks, random or none.
    """

    output: str
    ms: str = ""
    pan: str = ""
    samples: str = ""
    scenes: str | None = None
    class_field: str | None = None
    network: str | None = None
    fusion: str | None = None
    base: str | None = None
    epochs: int | None = None
    minutes: float | None = None
    stage1: str = "off"
    validation: str = "blocks"
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False


@dataclass(frozen=True)
class _Task:
    """What the training works on; ``scenes`` have all labels, the others their share of them."""

    plan: ModelPlan
    scenes: list[LabelledScene]
    training: list[LabelledScene]
    validation: list[LabelledScene]


@gdal_cache()
def run(options: TrainOptions, report: Report) -> Result:
    """Train a model and write it; raises PanloomError, leaving no file or the best one so far.

    Everything that can be wrong with the input is found before the training starts. A cancel ends
    it with the best model so far as the result; Cancelled is raised only where there is none yet.
    """
    began = time.monotonic()
    prepare_gdal()
    sources = _sources(options)
    with Outputs(overwrite=options.overwrite, inputs=_inputs(options, sources)) as outputs:
        checkpoint = Checkpoint(outputs, options.output)
        device = choose_device(options.device)
        task = _prepare(options, sources, report)
        report(Message(device.reason))
        with one_thread(device):
            outcome = _train(
                options,
                task,
                _facts(options, sources, task, device),
                device,
                checkpoint,
                section(report, 0.05, 0.98),
            )
    if not outcome.cancelled:
        report(Progress(1.0))
    assert checkpoint.written is not None
    summary = make_summary(task.plan, outcome, checkpoint.written, time.monotonic() - began)
    return Result({"model": str(checkpoint.target)}, summary)


def _sources(options: TrainOptions) -> list[SceneSource]:
    if options.scenes is None:
        return [SceneSource(options.ms, options.pan, options.samples, options.class_field)]
    return [
        source
        if source.class_field
        else SceneSource(source.ms, source.pan, source.samples, options.class_field, source.group)
        for source in read_scene_list(options.scenes)
    ]


def _inputs(options: TrainOptions, sources: list[SceneSource]) -> tuple[str, ...]:
    files = [spec for s in sources for spec in (s.ms, s.pan, s.samples.partition("|")[0])]
    others = [str(find_model(options.base))] if options.base else []
    return (*files, *others, *([options.scenes] if options.scenes else []))


def _prepare(options: TrainOptions, sources: list[SceneSource], report: Report) -> _Task:
    """Read and check everything that the training needs."""
    base = load_bundle(find_model(options.base)) if options.base else None
    choice = choose_network(options.network, options.fusion, options.stage1 == "on", base)
    if base is not None:
        require_pairs_fit(sources, base.card)
    known = load_training_set(
        sources,
        scheme=base.card.classes if base else None,
        ratio=base.card.ratio if base else None,
        report=section(report, 0.0, 0.05),
    )
    for note in known.notes:
        report(Message(note))
    if base is None:
        plan = new_plan(choice, known, sources[0])
    else:
        plan = plan_from_base(choice, known, base)
    return _Task(plan, known.scenes, *_split(options, known, report))


def _facts(
    options: TrainOptions, sources: list[SceneSource], task: _Task, device: Device
) -> TrainingFacts:
    plan = task.plan
    return TrainingFacts(
        name=model_name(options.output),
        sources=tuple(sources),
        crops=CropOptions(crop_px=_crop_px(task.scenes)),
        seed=options.seed,
        device=str(device.torch),
        validation=options.validation if task.validation else "none",
        pixels=class_pixels(task.scenes, plan.classes),
        statistics=input_statistics(task.scenes, plan.radiometry),
    )


def _train(
    options: TrainOptions,
    task: _Task,
    facts: TrainingFacts,
    device: Device,
    checkpoint: Checkpoint,
    report: Report,
) -> Outcome:
    """Train by both stages, or by stage II alone, and keep the best in the checkpoint."""
    plan, settings, start = task.plan, _settings(options, task.plan), 0.0
    torch.manual_seed(options.seed)
    network = plan.build()
    if options.stage1 == "on":
        stage_one, seconds = pretrain(
            network, plan, task.scenes, facts.crops,
            StageOneOptions(STAGE_ONE_STEPS, BATCH_SIZE, seed=options.seed),
            settings.seconds, device.torch, section(report, 0.0, 0.2),
        )  # fmt: skip
        facts, settings = replace(facts, stage_one=stage_one), replace(settings, seconds=seconds)
        start = 0.2
    source = CropSource(
        task.training, plan.radiometry, len(plan.classes), facts.crops, options.seed
    )
    fit = Fit(plan, facts, task.validation, device, checkpoint)
    return fit.run(network, source, settings, section(report, start, 1.0))


def _split(
    options: TrainOptions, known: TrainingSet, report: Report
) -> tuple[list[LabelledScene], list[LabelledScene]]:
    names = [c.name for c in known.scheme.classes]
    training, validation = split_scenes(
        known.scenes, options.validation, seed=options.seed, names=names, report=report
    )
    if options.validation != "none" and not any((s.labels >= 0).any() for s in validation):
        report(Message("No sample could be kept apart: the accuracy stays unknown.", "warning"))
        return training, []
    return training, validation


def _crop_px(scenes: list[LabelledScene]) -> int:
    """Return an even side of crops, in MS pixels, that fits every scene."""
    sides = [int(side) // 2 * 2 for s in scenes for side in s.labels.shape]
    return min(CROP_PX, *sides)


def _settings(options: TrainOptions, plan: ModelPlan) -> TrainingOptions:
    epochs = options.epochs
    if epochs is None and options.minutes is None:
        epochs = EPOCHS if plan.base is None else EPOCHS_FROM_BASE
    return TrainingOptions(
        steps=None if epochs is None else epochs * EPOCH_STEPS,
        epoch_steps=EPOCH_STEPS,
        batch_size=BATCH_SIZE,
        warm_average=True,
        rate=RATE if plan.base is None else RATE_FROM_BASE,
        settle_share=0.0 if plan.keeps_classes else SETTLE_SHARE,
        fresh=plan.fresh(),
        fresh_rate=RATE,
        seed=options.seed,
        seconds=None if options.minutes is None else 60 * options.minutes,
    )
