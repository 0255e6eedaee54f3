"""The Landsat scenes with labels: where they lie and which belong together."""

from __future__ import annotations

import os
from pathlib import Path

from panloom.engine.training.scenes import LabelledScene, load_scene
from panloom.models.card import Band
from panloom.models.classes import ClassScheme, LandClass

RATIO = 2
CLASSES = ClassScheme(
    (
        LandClass(1, "Water", "#3182bd"),
        LandClass(2, "Woody vegetation", "#1b7837"),
        LandClass(3, "Green herbaceous", "#a6d96a"),
        LandClass(4, "Bare or dry ground", "#e0c08a"),
        LandClass(5, "Built-up", "#d7301f"),
    )
)
BANDS = (
    Band("blue", 0.48),
    Band("green", 0.56),
    Band("red", 0.66),
    Band("nir", 0.84),
    Band("swir1", 1.65),
    Band("swir2", 2.2),
)
LANDSAT7_GROUPS = (
    ("034/032", 1, 6),
    ("090/083", 7, 12),
    ("091/083", 13, 18),
    ("092/086", 19, 24),
    ("093/085", 25, 31),
    ("093/086", 32, 38),
)
"""Path/row with the first and last number of its pairs."""
LANDSAT8 = ("liverpool", "alabama", "momotombo")


def data_folder() -> Path:
    """Return the folder of real imagery: PANLOOM_DATA, or ../shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return Path(os.environ.get("PANLOOM_DATA") or beside)


def load_scenes() -> list[LabelledScene]:
    """Return every labelled Landsat scene; a Landsat-8 scene is a group of its own."""
    folder = data_folder()
    pairs = folder / "landsat7_pairs"
    scenes = []
    for labels in sorted(pairs.glob("??_labels.tif")):
        number = labels.name[:2]
        group = next(g for g, first, last in LANDSAT7_GROUPS if first <= int(number) <= last)
        ms, pan = pairs / f"{number}_ms.tif", pairs / f"{number}_pan_aligned.tif"
        scenes.append(_load(number, group, ms, pan, labels))
    for name in LANDSAT8:
        part = folder / f"landsat8_{name}"
        scenes.append(_load(name, name, part / "ms.tif", part / "pan.tif", part / "labels.tif"))
    return scenes


def _load(name: str, group: str, ms: Path, pan: Path, labels: Path) -> LabelledScene:
    codes = CLASSES.codes
    return load_scene(name, group, str(ms), str(pan), str(labels), codes=codes, ratio=RATIO)
