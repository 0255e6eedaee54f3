"""Which scenes to train on: one pair with its samples, or a CSV file of several."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

_NEEDED = ("ms", "pan", "samples")
_OPTIONAL = ("class_field", "group")


@dataclass(frozen=True)
class SceneSource:
    """The files of one scene; ``group`` names scenes that are alike, such as a path/row.

    ``samples`` are polygons, points, a raster or an array of class codes. ``class_field`` is the
    field with the class, in a ``.mat`` file the variable.
    """

    ms: str
    pan: str
    samples: str
    class_field: str | None = None
    group: str = ""


def read_scene_list(path: str) -> list[SceneSource]:
    """Return the scenes of a CSV file with the columns ms, pan, samples, class_field and group.

    The last two are optional, and relative paths are relative to the file. Raises InputError for a
    file that cannot be read, lacks a column or a value, or lists nothing.
    """
    name, folder = Path(path).name, Path(path).resolve().parent
    header, rows = _table(path, name)
    missing = [column for column in _NEEDED if column not in header]
    if missing:
        found = ", ".join(f"`{column}`" for column in header if column) or "none"
        raise InputError(
            f"`{name}` has no column `{missing[0]}`; its columns are {found}.",
            "scene-list",
            "Name the columns ms, pan and samples in the first row; class_field and group may "
            "follow.",
        )
    if not rows:
        raise InputError(
            f"`{name}` lists no scene.", "scene-list", "Give one row for each scene to train on."
        )
    return [_source(row, number, name, folder) for number, row in rows]


def _table(path: str, name: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the column names, and line number and values of each row that is not empty."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise InputError(
            f"There is no file `{path}`.", "missing-file", "Check the path, or choose another file."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The scene list `{name}` cannot be read ({error}).",
            "scene-list",
            "Save it as CSV in UTF-8.",
        ) from error
    first = lines[0] if lines else ""
    delimiter = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    header = [column.strip().casefold() for column in next(reader, [])]
    rows = [
        (reader.line_num, dict(zip(header, (value.strip() for value in row), strict=False)))
        for row in reader
        if any(value.strip() for value in row)
    ]
    return header, rows


def _source(row: dict[str, str], number: int, name: str, folder: Path) -> SceneSource:
    for column in _NEEDED:
        if not row.get(column):
            raise InputError(
                f"Line {number} of `{name}` gives no `{column}`.",
                "scene-list",
                "Give the files of each scene in the columns ms, pan and samples.",
            )
    class_field, group = (row.get(column, "") for column in _OPTIONAL)
    ms, pan, samples = (_beside(folder, row[column]) for column in _NEEDED)
    return SceneSource(ms, pan, samples, class_field or None, group)


def _beside(folder: Path, spec: str) -> str:
    """Return a path, or several joined by commas, as seen from the list's folder."""
    if (folder / spec).exists():
        return str(folder / spec)
    return ",".join(_part_beside(folder, part.strip()) for part in spec.split(","))


def _part_beside(folder: Path, part: str) -> str:
    file, bar, layer = part.partition("|")
    is_gdal_name = file.startswith("/vsi") or ":" in file
    if os.path.isabs(file) or (is_gdal_name and not (folder / file).exists()):
        return part
    return f"{folder / file}{bar}{layer}"


def scene_names(sources: Sequence[SceneSource]) -> list[str]:
    """Return a short name for each scene, its MS file's; numbered where two would be the same."""
    stems = [Path(source.ms.split(",")[0]).stem for source in sources]
    return [
        stem if stems.count(stem) == 1 else f"{stem} ({number})"
        for number, stem in enumerate(stems, 1)
    ]
