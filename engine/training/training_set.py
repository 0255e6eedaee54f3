"""Everything that a training needs to know of its scenes, read and checked before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from ...models.classes import ClassScheme
from ..errors import InputError
from ..events import Progress
from ..labels.words import SAMPLES
from ..progress import Report
from ..scene.needs import PairNeeds, found_roles
from ..scene.pair import ScenePair
from ..scene.raster import Raster
from .sample_classes import FileClasses, agree
from .samples import Samples, read_samples
from .scene_list import SceneSource, scene_names
from .scenes import LabelledScene, read_scene, with_classes

RATIOS = (2, 3, 4, 5)


@dataclass(frozen=True)
class TrainingSet:
    """Labelled scenes with one class scheme, ratio and number of bands.

    ``gsd_m`` is the MS pixel's size, the median over scenes; None without a CRS. ``notes`` are what
    was decided and what was left out, as sentences.
    """

    scenes: list[LabelledScene]
    scheme: ClassScheme
    ratio: int
    band_names: tuple[str, ...]
    gsd_m: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    scene: LabelledScene
    classes: FileClasses
    needs: PairNeeds
    band_names: tuple[str, ...]
    gsd_m: float | None
    notes: tuple[str, ...]


def load_training_set(
    sources: Sequence[SceneSource],
    *,
    scheme: ClassScheme | None,
    ratio: int | None,
    report: Report,
    band_count: int | None = None,
) -> TrainingSet:
    """Read all scenes with their samples into memory; ``report`` gets the progress.

    With a ``scheme`` the classes are matched to it where all of them are in it, by name or else by
    code; otherwise the scheme is made from the samples, and a note says so. Without a ``ratio`` or
    ``band_count`` the first scene's counts. All scenes are held as float32: one of H × W MS pixels
    with C bands and ratio r takes about H·W·(4·C + 6·r² + 12) bytes, and twice that while it is
    read. Raises InputError for what cannot be used.
    """
    if not sources:
        raise InputError("There is no scene to train on.", "no-scenes", "Give one at least.")
    needs = PairNeeds(ratio=ratio, band_count=band_count)
    parts: list[_Part] = []
    for number, (source, name) in enumerate(zip(sources, scene_names(sources), strict=True)):
        report(Progress(number / len(sources), "reading scenes"))
        parts.append(_read(source, name, needs))
        needs = parts[0].needs
    report(Progress(1.0, "reading scenes"))
    agreed = agree([part.classes for part in parts], scheme)
    scenes = [
        with_classes(part.scene, table) for part, table in zip(parts, agreed.tables, strict=True)
    ]
    sizes = [part.gsd_m for part in parts if part.gsd_m is not None]
    notes = [note for part in parts for note in part.notes] + list(agreed.notes)
    return TrainingSet(
        scenes,
        agreed.scheme,
        scenes[0].ratio,
        parts[0].band_names,
        median(sizes) if sizes else None,
        tuple(dict.fromkeys(notes)),
    )


def _read(source: SceneSource, name: str, needs: PairNeeds) -> _Part:
    if needs.bands is None:
        needs = replace(needs, band_count=_band_count(source.ms))
    with ScenePair.open(source.ms, source.pan, needs=needs) as pair:
        if needs.ratio is None:
            _require_ratio(pair)
        samples = read_samples(source.samples, source.class_field, pair)
        scene = read_scene(name, source.group, pair, samples)
        samples.require_some(scene.labels, pair.ms.raster.label)
        present = _present(samples, scene)
        grid = pair.ms.grid
        return _Part(
            scene=scene,
            classes=present,
            needs=_needs_of(pair),
            band_names=pair.band_names,
            gsd_m=grid.gsd_m if grid.crs is not None else None,
            notes=(*(note.text for note in pair.notes), *_notes(samples, present)),
        )


def _band_count(ms: str) -> int | None:
    """Return the number of bands with the alpha band where that is an image, else None."""
    with Raster.open(ms) as raster:
        pages = raster.bands[0].dataset.subdatasets
        if raster.count == 1 and len(pages) > 1:
            raise InputError(
                f"`{raster.label}` holds {len(pages)} images; the MS needs one with all bands.",
                "many-images",
                "Join them first, or name each of them, with commas between: "
                f"GTIFF_DIR:1:{ms},GTIFF_DIR:2:{ms} and so on.",
            )
        return raster.count + 1 if raster.alpha_is_image() else None


def _require_ratio(pair: ScenePair) -> None:
    if pair.ratio in RATIOS:
        return
    ms, pan = pair.ms.raster.grid, pair.pan.raster.grid
    what = "pixels of {:.2f} m" if ms.crs is not None else "{} × {} pixels"
    sizes = [
        what.format(grid.gsd_m) if ms.crs is not None else what.format(grid.width, grid.height)
        for grid in (ms, pan)
    ]
    raise InputError(
        f"The MS has {sizes[0]} and the PAN {sizes[1]}, a ratio of about {pair.ratio}; networks "
        "need 2, 3, 4 or 5.",
        "ratio",
        "Choose a PAN that is 2 to 5 times finer than the MS, or resample one of them.",
    )


def _needs_of(pair: ScenePair) -> PairNeeds:
    """Return what further scenes need to have in common with the first one."""
    roles = tuple(role for role in found_roles(pair.ms.raster) if role is not None)
    complete = len(roles) == pair.ms.raster.count and len(set(roles)) == len(roles)
    return PairNeeds(
        ratio=pair.ratio, band_count=pair.ms.raster.count, band_roles=roles if complete else ()
    )


def _present(samples: Samples, scene: LabelledScene) -> FileClasses:
    """Return the classes that are left on valid pixels."""
    there = set(np.unique(scene.labels).tolist())
    names = {code: name for code, name in samples.classes.names.items() if code in there}
    return replace(samples.classes, names=names)


def _notes(samples: Samples, present: FileClasses) -> list[str]:
    reasons = samples.tally.reasons(samples.kind, SAMPLES.grid)
    left_out = [f"Not used of `{samples.label}`: {', '.join(reasons)}."] if reasons else []
    lost = [
        f"Class `{name or code}` of `{samples.label}` has no usable pixel in this scene."
        for code, name in samples.classes.names.items()
        if code not in present.names
    ]
    return [*samples.notes, *left_out, *lost]
