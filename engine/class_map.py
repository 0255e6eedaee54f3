"""Class maps and confidence rasters as GeoTIFF: written in tiles, read back with their classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from ..models.classes import UNCLASSIFIED, ClassScheme, LandClass
from .errors import InputError
from .grid import Grid, Window
from .halving import majority, mean
from .map_raster import MapRaster

CONFIDENCE_NODATA = 255
"""Confidence rasters hold percent, 0…100."""

CLASSES_TAG = "PANLOOM_CLASSES"
_FEW_CLASSES = 24


@dataclass(frozen=True)
class MapPaths:
    """Where to write: the class map and, if wanted, the confidence raster."""

    class_map: Path
    confidence: Path | None = None


class ClassMapWriter:
    """Writes a class map, and its confidence, block row by block row.

    ``write`` takes windows row of tiles by row of tiles and makes the overviews on the way; about
    one row of blocks of each level is held in memory. ``close`` (or leaving the context without an
    error) adds overviews, class names and the attribute table. ``threads`` of GDAL compress beside
    the caller's: only where a GPU classifies and cores are idle; they cost more time in all.
    """

    def __init__(
        self,
        paths: MapPaths,
        grid: Grid,
        scheme: ClassScheme,
        tags: Mapping[str, str],
        threads: int | None = None,
    ) -> None:
        self._paths = paths
        self._scheme = scheme
        self._map = MapRaster(paths.class_map, grid, UNCLASSIFIED, majority, threads)
        self._map.dataset.write_colormap(1, _colormap(scheme))
        self._map.dataset.update_tags(**tags, **{CLASSES_TAG: json.dumps(scheme.to_json())})
        self._confidence: MapRaster | None = None
        if paths.confidence is not None:
            self._confidence = MapRaster(paths.confidence, grid, CONFIDENCE_NODATA, mean, threads)
            self._confidence.dataset.update_tags(**tags)
            self._confidence.dataset.set_band_description(1, "confidence (percent)")
        self.counts: NDArray[np.int64] = np.zeros(256, np.int64)

    def __enter__(self) -> ClassMapWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()

    def write(
        self, window: Window, codes: NDArray[np.uint8], confidence: NDArray[np.uint8]
    ) -> None:
        """Take class codes (0: nodata) and confidence (percent, 255: nodata), both (h, w)."""
        self._map.write(window, codes)
        self._count(codes)
        if self._confidence is not None:
            self._confidence.write(window, confidence)

    def close(self) -> None:
        """Finish the files; raises ValueError where rows are missing."""
        try:
            self._map.close()
            if self._confidence is not None:
                self._confidence.close()
        except BaseException:
            self._discard()
            raise
        _write_names(self._paths.class_map, self._scheme, self.counts)

    def _discard(self) -> None:
        for raster in (self._map, self._confidence):
            if raster is not None:
                raster.discard()

    def _count(self, codes: NDArray[np.uint8]) -> None:
        """Add to ``counts``: for few classes much faster than ``np.bincount``, which widens all."""
        if len(self._scheme.codes) > _FEW_CLASSES:
            self.counts += np.bincount(codes.ravel(), minlength=256)
            return
        for code in (UNCLASSIFIED, *self._scheme.codes):
            self.counts[code] += np.count_nonzero(codes == code)


def read_scheme(path: str | Path) -> ClassScheme:
    """Return the classes of a class map: from Panloom's tag, else from the values that occur.

    Raises InputError where the raster cannot be a class map.
    """
    with rasterio.open(path) as dataset:
        text = dataset.tags().get(CLASSES_TAG)
        if text is not None:
            return ClassScheme.from_json(json.loads(text))
        dtype = np.dtype(dataset.dtypes[0])
        if not np.issubdtype(dtype, np.integer):
            raise InputError(
                f"`{Path(path).name}` holds {dtype} values; a class map holds whole numbers.",
                "not-a-class-map",
                "Choose a class map.",
            )
        return _guess_scheme(dataset)


def _guess_scheme(dataset: rasterio.DatasetReader) -> ClassScheme:
    codes: set[int] = set()
    for _, window in dataset.block_windows(1):
        block = dataset.read(1, window=window, masked=True)
        codes.update(int(v) for v in np.unique(block.compressed()))
    codes.discard(UNCLASSIFIED)
    outside = sorted(code for code in codes if not 1 <= code <= 254)
    if outside:
        raise InputError(
            f"`{Path(dataset.name).name}` holds the value {outside[0]}; class codes lie in 1…254.",
            "not-a-class-map",
            "Choose a class map, or reclassify the raster first.",
        )
    colors = dataset.colormap(1) if dataset.colorinterp[0] == ColorInterp.palette else {}
    names = category_names(Path(dataset.name))
    # A scheme has two classes at least; maps of fewer get placeholders that do not occur.
    codes |= set(sorted({1, 2, 3} - codes)[: max(0, 2 - len(codes))])
    return ClassScheme(
        tuple(
            LandClass(code, names.get(code) or f"Class {code}", _hex(colors.get(code), code))
            for code in sorted(codes)
        )
    )


def _hex(color: tuple[int, ...] | None, code: int) -> str:
    if color is None:
        hue = (code * 0.61803398875) % 1.0  # golden ratio: neighboring codes get distant hues
        rgb = [int(255 * (0.55 + 0.35 * np.cos(2 * np.pi * (hue + k / 3)))) for k in range(3)]
        return "#{:02x}{:02x}{:02x}".format(*rgb)
    return "#{:02x}{:02x}{:02x}".format(*color[:3])


def category_names(path: Path) -> dict[int, str]:
    """Return names by code from ``NAME.aux.xml``; empty where there are none."""
    sidecar = path.with_name(path.name + ".aux.xml")
    if not sidecar.is_file():
        return {}
    try:
        root = ET.parse(sidecar).getroot()
    except ET.ParseError:
        return {}
    names = root.findall("PAMRasterBand[@band='1']/CategoryNames/Category")
    return {code: item.text for code, item in enumerate(names) if item.text}


def _colormap(scheme: ClassScheme) -> dict[int, tuple[int, int, int, int]]:
    colors = dict.fromkeys(range(256), (0, 0, 0, 0))
    return colors | {c.code: (*c.rgb, 255) for c in scheme.classes}


def _write_names(path: Path, scheme: ClassScheme, counts: NDArray[np.int64]) -> None:
    """Write class names and the attribute table where GDAL and QGIS look for them.

    GeoTIFF has no place for either; GDAL keeps them in ``NAME.aux.xml`` (its PAM format). rasterio
    cannot write them, so the few elements are written here.
    """
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    ET.SubElement(band, "Description").text = "class_code"
    names = scheme.names
    categories = ET.SubElement(band, "CategoryNames")
    for code in range(max(scheme.codes) + 1):
        ET.SubElement(categories, "Category").text = names.get(code, "")
    band.append(_attribute_table(scheme, counts))
    ET.indent(root)
    sidecar = path.with_name(path.name + ".aux.xml")
    ET.ElementTree(root).write(sidecar, encoding="utf-8", xml_declaration=False)


# Type and usage numbers are GDAL's GDALRATFieldType and GDALRATFieldUsage.
_COLUMNS = (
    ("Value", 0, 5),
    ("Class", 2, 2),
    ("Red", 0, 6),
    ("Green", 0, 7),
    ("Blue", 0, 8),
    ("Count", 1, 1),
)


def _attribute_table(scheme: ClassScheme, counts: NDArray[np.int64]) -> ET.Element:
    table = ET.Element("GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(column, "Name").text = name
        ET.SubElement(column, "Type").text = str(kind)
        ET.SubElement(column, "Usage").text = str(usage)
    for index, c in enumerate(sorted(scheme.classes, key=lambda c: c.code)):
        row = ET.SubElement(table, "Row", index=str(index))
        for value in (c.code, c.name, *c.rgb, int(counts[c.code])):
            ET.SubElement(row, "F").text = str(value)
    return table
