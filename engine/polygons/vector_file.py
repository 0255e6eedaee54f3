"""Polygon files: GeoPackage, FlatGeobuf, GeoJSON and GeoParquet, written batch by batch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
from rasterio.crs import CRS

from ..errors import InputError, OutputError
from .runs import FloatArray, IntArray, ragged_positions

_DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON"}
_DATASET_OPTIONS = {".gpkg": {"VERSION": "1.2"}}  # newer ones draw a warning from QGIS 3.22
_LAYER_OPTIONS = {".geojson": {"RFC7946": "NO"}}  # keeps the CRS of the map
_PARQUET = ".parquet"
_ROW_GROUP = 65_536

SCHEMA = pa.schema(
    [
        pa.field("class_code", pa.int32(), nullable=False),
        pa.field("class_name", pa.string(), nullable=False),
        pa.field("area_m2", pa.float64(), nullable=False),
        pa.field("mean_confidence", pa.float64()),
        pa.field(
            "geometry",
            pa.large_binary(),
            nullable=False,
            metadata={"ARROW:extension:name": "geoarrow.wkb"},
        ),
    ]
)
"""Columns of every polygon layer; ``mean_confidence`` in percent, null where there is none."""


def require_vector_format(path: str | Path) -> None:
    """Raise InputError where the extension names no format that polygons can be written in."""
    suffix = Path(path).suffix.lower()
    if suffix not in (*_DRIVERS, _PARQUET):
        raise InputError(
            f"`{Path(path).name}` names no format for polygons; .gpkg (GeoPackage), .fgb "
            "(FlatGeobuf), .parquet (GeoParquet) and .geojson are possible.",
            "polygon-format",
            "Give the file one of these extensions.",
        )


def write_vector_file(
    path: str | Path, layer: str, crs: CRS | None, batches: Iterable[pa.RecordBatch]
) -> None:
    """Write the batches (of ``SCHEMA``) to ``path`` as they come, in the format of its extension.

    ``layer`` names the layer where the format has names. Raises OutputError where writing fails,
    and whatever ``batches`` raises.
    """
    path = Path(path)
    require_vector_format(path)
    if path.suffix.lower() == _PARQUET:
        _write_parquet(path, crs, batches)
    else:
        _write_ogr(path, layer, crs, batches)


def polygon_wkb(
    xy: FloatArray, ring_size: IntArray, ring_count: IntArray
) -> tuple[IntArray, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Return (offsets (n + 1,), bytes) of little-endian WKB polygons, without geometry objects.

    ``xy`` (v, 2) are the vertices of closed rings (the first repeated at the end), ``ring_size``
    the vertices of each ring and ``ring_count`` (n,) the rings of each polygon.
    """
    polygon_bytes = 9 + 4 * ring_count
    first_ring = np.cumsum(ring_count) - ring_count
    vertices = (
        np.add.reduceat(ring_size, first_ring) if len(first_ring) else np.empty(0, dtype=np.int64)
    )
    offsets = np.zeros(len(ring_count) + 1, dtype=np.int64)
    np.cumsum(polygon_bytes + 16 * vertices, out=offsets[1:])
    # Where ring headers lie: after the polygon headers and rings before them.
    before = np.cumsum(4 + 16 * ring_size) - (4 + 16 * ring_size)
    headers_before = np.repeat(np.arange(1, len(ring_count) + 1), ring_count) * 9
    ring_at = before + headers_before

    buffer = np.empty(int(offsets[-1]), dtype=np.uint8)
    is_header = np.zeros(len(buffer), dtype=bool)
    for at, size in ((offsets[:-1], 9), (ring_at, 4)):
        is_header[ragged_positions(at, np.full(len(at), size))] = True
    buffer[~is_header] = np.ascontiguousarray(xy, dtype="<f8").reshape(-1).view(np.uint8)
    head = np.empty((len(ring_count), 9), dtype=np.uint8)
    head[:, 0] = 1  # little-endian
    head[:, 1:5] = np.array([3], dtype="<u4").view(np.uint8)  # a polygon
    head[:, 5:9] = ring_count.astype("<u4").view(np.uint8).reshape(-1, 4)
    for at, values in (
        (offsets[:-1], head),
        (ring_at, ring_size.astype("<u4").view(np.uint8).reshape(-1, 4)),
    ):
        buffer[at[:, None] + np.arange(values.shape[1])] = values
    return offsets, buffer


def _write_ogr(path: Path, layer: str, crs: CRS | None, batches: Iterable[pa.RecordBatch]) -> None:
    # Built in a thread, the index of a GeoPackage has a file of its own, left by a hard end.
    pyogrio.set_gdal_config_options({"OGR_GPKG_ALLOW_THREADED_RTREE": False})
    failed: list[BaseException] = []
    stream = pa.RecordBatchReader.from_batches(SCHEMA, _remembering(batches, failed))
    try:
        with warnings.catch_warnings():
            # A map without a CRS has had its own warning, in words for users.
            warnings.filterwarnings("ignore", "'crs' was not provided")
            pyogrio.write_arrow(
                stream,
                str(path),
                layer=layer,
                driver=_DRIVERS[path.suffix.lower()],
                geometry_name="geometry",
                geometry_type="Polygon",
                dataset_options=_DATASET_OPTIONS.get(path.suffix.lower(), {}),
                crs=None if crs is None else crs.to_wkt(),
                layer_options=_LAYER_OPTIONS.get(path.suffix.lower(), {}),
            )
    except Exception as error:
        if failed:
            raise failed[0] from None
        raise _cannot_write(path, error) from error
    if failed:
        raise failed[0]


def _remembering(
    batches: Iterable[pa.RecordBatch], failed: list[BaseException]
) -> Iterator[pa.RecordBatch]:
    """Yield the batches; keep the error they raise, which does not survive the way through C."""
    try:
        yield from batches
    except BaseException as error:
        failed.append(error)
        raise


def _write_parquet(path: Path, crs: CRS | None, batches: Iterable[pa.RecordBatch]) -> None:
    box = np.array([np.inf, np.inf, -np.inf, -np.inf])
    try:
        with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch, row_group_size=_ROW_GROUP)
                if batch.schema.metadata:
                    west, south, east, north = json.loads(batch.schema.metadata[b"box"])
                    box[:2] = np.minimum(box[:2], (west, south))
                    box[2:] = np.maximum(box[2:], (east, north))
            writer.add_key_value_metadata({"geo": json.dumps(_geo_metadata(crs, box))})
    except (OSError, pa.ArrowException) as error:
        raise _cannot_write(path, error) from error


def _geo_metadata(crs: CRS | None, box: FloatArray) -> dict[str, Any]:
    """Return the file metadata of GeoParquet 1.1.0."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": None if crs is None else pyproj.CRS.from_user_input(crs).to_json_dict(),
        "orientation": "counterclockwise",
        "edges": "planar",
    }
    if np.isfinite(box).all():
        column["bbox"] = box.tolist()
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _cannot_write(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"The polygons cannot be written to `{path.name}`: {error}.",
        "polygons-unwritable",
        "Check the free space of the disk, or choose another folder or format.",
    )
