"""The polygon layer of a class map: regions, their attributes, and the file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ...models.classes import ClassScheme
from ..errors import InputError
from ..events import Message
from ..grid import Grid
from ..progress import Meter, Report
from .coverage import Coverage, simplify_coverage
from .ground import GroundArea, map_coordinates
from .polygonize import PolygonBatch, polygonize
from .regions import Regions
from .runs import FloatArray, ragged_positions
from .sieve import Sieve
from .strips import ClassMapReader, Strip
from .vector_file import SCHEMA, polygon_wkb, write_vector_file

_CHUNK_BYTES = 8_000_000


def write_polygons(
    map_path: str | Path,
    output: str | Path,
    scheme: ClassScheme,
    *,
    layer: str,
    mmu_m2: float = 0.0,
    simplify_m: float = 0.0,
    confidence_path: str | Path | None = None,
    report: Report,
) -> int:
    """Write the 4-connected regions of a class map as polygons; return how many there are.

    Columns: ``class_code``, ``class_name``, ``area_m2`` (on the ellipsoid),
    ``mean_confidence`` (mean percent over the polygon's pixels that have a confidence, null where
    none has). Regions smaller than ``mmu_m2`` square metres join a neighbor first (see
    ``merge_small_regions``); the raster is not changed. ``simplify_m`` is the distance in metres by
    which outlines may move (see ``simplify_coverage``).

    Memory: a strip and the outlines of unfinished regions; with ``mmu_m2`` also a table of all
    regions and borders; with ``simplify_m`` all polygons.

    Raises InputError for rasters and options that cannot be used and OutputError where the file
    cannot be written; the file is incomplete then, and after a cancel.
    """
    for name, value, unit in (("mmu_m2", mmu_m2, "m²"), ("simplify_m", simplify_m, "m")):
        _require_amount(name, value, unit)
    confidence = None if confidence_path is None else str(confidence_path)
    with ClassMapReader(str(map_path), confidence) as reader:
        ground = GroundArea(reader.grid)
        if not ground.is_ellipsoidal:
            report(_planar_note(reader.grid))
        passes = 2 if mmu_m2 > 0 else 1
        meter = Meter(report, passes * reader.grid.width * reader.grid.height, "polygons")
        strips = _sieved(reader, ground, mmu_m2, meter)
        batches = polygonize(strips, reader.grid.width, reader.grid.height, reader.empty, ground)
        table = _Table(scheme, reader.grid, ground)
        rows = table.simplified(batches, simplify_m) if simplify_m > 0 else table.plain(batches)
        write_vector_file(output, layer, reader.grid.crs, _in_chunks(rows))
    return table.count


def _require_amount(name: str, value: float, unit: str) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise InputError(
            f"{name} is {value}; a number of {unit}, 0 or more, is needed.",
            "bad-amount",
            "Give 0 to leave it out.",
        )


def _planar_note(grid: Grid) -> Message:
    what = "no CRS" if grid.crs is None else "a CRS without an ellipsoid"
    unit = "squared units of its own coordinates (pixels²)" if grid.crs is None else "planar m²"
    return Message(f"The class map has {what}: area_m2 is in {unit}.", "warning")


def _sieved(
    reader: ClassMapReader, ground: GroundArea, mmu_m2: float, meter: Meter
) -> Iterator[Strip]:
    """Return the strips, after merging where ``mmu_m2`` asks for it; ``meter`` counts them."""
    strips: Iterable[Strip] = reader.strips()
    if mmu_m2 > 0:
        sieve = Sieve(reader.empty, ground, mmu_m2)
        sieve.learn(_metered(reader.strips(), meter))
        strips = sieve.apply(strips)
    return _metered(strips, meter)


def _metered(strips: Iterable[Strip], meter: Meter) -> Iterator[Strip]:
    for strip in strips:
        yield strip
        meter.add(strip.codes.size)


class _Table:
    """Turns batches of regions and lattice rings into rows of the polygon layer."""

    def __init__(self, scheme: ClassScheme, grid: Grid, ground: GroundArea) -> None:
        self.count = 0
        self._names = scheme.names
        self._grid = grid
        self._ground = ground

    def plain(self, batches: Iterable[PolygonBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the polygons as they are."""
        for batch in batches:
            if len(batch.regions):
                ones = np.ones(len(batch.regions))
                yield self._rows(batch.regions, self._coverage(batch), ones)

    def simplified(
        self, batches: Iterable[PolygonBatch], simplify_m: float
    ) -> Iterator[pa.RecordBatch]:
        """Yield the polygons after simplification, which needs them all at once."""
        parts = [(b.regions, self._coverage(b)) for b in batches if len(b.regions)]
        if not parts:
            return
        regions = Regions.joined([regions for regions, _ in parts])
        coverage = Coverage.joined([coverage for _, coverage in parts])
        del parts
        transform = self._grid.transform
        # Metres to units of the CRS: with degrees, such that areas keep their size in mid-map.
        tolerance = simplify_m * math.sqrt(abs(transform.determinant)) / self._grid.gsd_m
        coverage, change = simplify_coverage(coverage, tolerance)
        yield self._rows(regions, coverage, change)

    def _coverage(self, batch: PolygonBatch) -> Coverage:
        """Return closed rings in CRS coordinates, outer rings counterclockwise."""
        rings = batch.rings
        first = np.cumsum(rings.size) - rings.size
        at = ragged_positions(np.zeros(len(rings), dtype=np.int64), rings.size + 1)
        size = np.repeat(rings.size, rings.size + 1)
        if self._grid.transform.determinant < 0:
            at = size - at
        at = np.where(at == size, 0, at) + np.repeat(first, rings.size + 1)
        xy = np.stack(map_coordinates(self._grid, rings.x[at], rings.y[at]), axis=1)
        return Coverage(xy, rings.size + 1, np.bincount(rings.polygon))

    def _rows(self, regions: Regions, coverage: Coverage, change: FloatArray) -> pa.RecordBatch:
        self.count += len(regions)
        confident = regions.confident > 0
        mean = np.divide(
            regions.confidence, regions.confident, where=confident, out=np.zeros(len(regions))
        )
        codes, index = np.unique(regions.code, return_inverse=True)
        names = pa.array([self._names.get(int(code), f"Class {code}") for code in codes])
        offsets, data = polygon_wkb(coverage.xy, coverage.ring_size, coverage.ring_count)
        wkb = pa.Array.from_buffers(
            pa.large_binary(),
            len(regions),
            [None, pa.py_buffer(offsets), pa.py_buffer(data)],
        )
        box = [*coverage.xy.min(axis=0), *coverage.xy.max(axis=0)]
        return pa.RecordBatch.from_arrays(
            [
                pa.array(regions.code.astype(np.int32)),
                names.take(pa.array(index)),
                pa.array(regions.area * self._ground.unit_m2 * change),
                pa.array(mean, mask=~confident),
                wkb,
            ],
            schema=SCHEMA.with_metadata({"box": json.dumps(box)}),
        )


def _in_chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of small batches together: a few large ones are written faster."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(batch.nbytes for batch in waiting) >= _CHUNK_BYTES:
            yield _together(waiting)
            waiting = []
    if waiting:
        yield _together(waiting)


def _together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    boxes = np.array([json.loads(batch.schema.metadata[b"box"]) for batch in batches])
    box = [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)]
    plain = [batch.replace_schema_metadata(None) for batch in batches]
    return pa.concat_batches(plain).replace_schema_metadata({"box": json.dumps(box)})
