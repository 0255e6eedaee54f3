"""The area table of a class map, as CSV."""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from ...models.classes import ClassScheme
from ..progress import Meter, Report
from .ground import GroundArea
from .runs import Runs
from .strips import ClassMapReader


@dataclass(frozen=True)
class ClassArea:
    """One row: ``area_m2`` on the ellipsoid, ``share_percent`` of the whole classified area."""

    class_code: int
    class_name: str
    pixels: int
    area_m2: float
    share_percent: float


def class_areas(
    map_path: str | Path, scheme: ClassScheme, report: Report | None = None
) -> list[ClassArea]:
    """Return pixels and ground area of every class of the scheme and every other code that occurs.

    Nodata is left out. The share is of the area of all classified pixels, not of the pixels, which
    differ in size on the ground. Without a CRS the area is in squared units of the coordinates.
    """
    pixels: dict[int, float] = dict.fromkeys(sorted(scheme.codes), 0.0)
    units = dict(pixels)
    with ClassMapReader(str(map_path)) as reader:
        ground = GroundArea(reader.grid)
        meter = Meter(
            report or (lambda event: None), reader.grid.width * reader.grid.height, "areas"
        )
        for strip in reader.strips():
            runs = Runs(strip.codes)
            codes, index = np.unique(runs.code, return_inverse=True)
            area = ground.of_runs(runs.row + strip.row, runs.col, runs.length)
            for total, column in ((pixels, runs.length), (units, area)):
                for code, value in zip(codes.tolist(), np.bincount(index, column)):
                    if code != reader.empty:
                        total[code] = total.get(code, 0.0) + float(value)
            meter.add(strip.codes.size)
    whole = sum(units.values())
    return [
        ClassArea(
            code,
            scheme.names.get(code, f"Class {code}"),
            int(pixels[code]),
            units[code] * ground.unit_m2,
            100 * units[code] / whole if whole else 0.0,
        )
        for code in pixels
    ]


def write_areas(
    map_path: str | Path, output: str | Path, scheme: ClassScheme, report: Report | None = None
) -> None:
    """Write ``class_areas`` as CSV with one row a class; areas to 0.01 m², shares to 0.0001 %."""
    rows = class_areas(map_path, scheme, report)
    with Path(output).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([column.name for column in fields(ClassArea)])
        for row in rows:
            code, name, count, area, share = astuple(row)
            table.writerow([code, name, count, f"{area:.2f}", f"{share:.4f}"])
