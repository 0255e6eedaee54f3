"""Scenes for the benchmarks: a real pair, or a made-up one, and mosaics that repeat a part of it.

A mosaic is a pair of VRT files: GDAL reads the same small files again and again, as it would read
the parts of a large scene, and nothing large lies on the disk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import rasterio

from panloom.engine.sample.pair import write_sample_pair

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PANLOOM_DATA") or ROOT.parent / "shared" / "data")
PERIOD_MS_PX = 512
MODEL = "landsat-5class"
"""The shipped model: six bands, ratio 2."""

_VRT_TYPES = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32"}


@dataclass(frozen=True)
class Pair:
    """Paths of an MS and a PAN raster, how many PAN pixels a side has, and what they show."""

    ms: str
    pan: str
    width: int
    height: int
    text: str

    @property
    def pixels(self) -> int:
        """PAN pixels, which is how many pixels a map has."""
        return self.width * self.height


def base_pair(folder: Path) -> Pair:
    """Return Landsat 8 over Alabama where PANLOOM_DATA has it, else a made-up pair of that size."""
    alabama = DATA / "landsat8_alabama"
    if (alabama / "pan.tif").is_file():
        return described(alabama / "ms.tif", alabama / "pan.tif", "Landsat 8, Alabama")
    made = write_sample_pair(folder / "made-up", size_ms_px=(627, 603))
    return described(made.ms, made.pan, "a made-up Landsat pair")


def small_pair(folder: Path) -> Pair:
    """Return the pair that `panloom sample` makes."""
    made = write_sample_pair(folder / "sample")
    return described(made.ms, made.pan, "the pair of `panloom sample`")


def described(ms: Path, pan: Path, text: str) -> Pair:
    """Return the pair of two files with the size of its PAN."""
    with rasterio.open(pan) as source:
        return Pair(str(ms), str(pan), source.width, source.height, text)


def mosaic(pair: Pair, width: int, height: int, folder: Path) -> Pair:
    """Return a pair of ``width`` × ``height`` PAN pixels that repeats the upper left of ``pair``.

    512 × 512 MS pixels are repeated, so that MS and PAN keep their places to each other. Raises
    ValueError for a pair that is smaller or whose ratio is no whole number.
    """
    with rasterio.open(pair.ms) as ms, rasterio.open(pair.pan) as pan:
        ratio = ms.transform.a / pan.transform.a
        if ratio != int(ratio) or min(ms.width, ms.height) < PERIOD_MS_PX:
            raise ValueError(f"{pair.ms}: {ms.width} × {ms.height} MS pixels, ratio {ratio}")
        scale = int(ratio)
        names = (
            folder / f"mosaic_{width}x{height}_ms.vrt",
            folder / f"mosaic_{width}x{height}_pan.vrt",
        )
        ms_size = -(-width // scale), -(-height // scale)
        _write_mosaic(names[0], ms, ms_size, PERIOD_MS_PX)
        _write_mosaic(names[1], pan, (width, height), PERIOD_MS_PX * scale)
    text = f"{pair.text}, repeated every {PERIOD_MS_PX * scale:,} PAN pixels"
    return described(*names, text)


def scene_size(side: int, most_mpx: float) -> tuple[int, int]:
    """Return width and height of a scene ``side`` pixels wide; whole multiples of 256 if limited.

    ``most_mpx`` is the most million pixels, 0 for no limit; at least 256 rows are left.
    """
    if not most_mpx or side * side <= most_mpx * 1e6:
        return side, side
    return side, max(256, int(most_mpx * 1e6 / side) // 256 * 256)


def _write_mosaic(
    path: Path, source: rasterio.DatasetReader, size: tuple[int, int], period: int
) -> None:
    """Write a VRT of ``size`` (width, height) that repeats the source's first ``period`` pixels.

    It repeats a row of them, which is a VRT too: as one table of a thousand places for each band
    it would take more memory than what is to be measured.
    """
    width, height = size
    row = path.with_name(f"{path.stem}_row.vrt")
    _write_vrt(row, source, (width, min(period, height)), (period, period))
    with rasterio.open(row) as one_row:
        _write_vrt(path, one_row, size, (width, period))


def _write_vrt(
    path: Path, source: rasterio.DatasetReader, size: tuple[int, int], step: tuple[int, int]
) -> None:
    """Write a VRT of ``size`` (width, height) that repeats the source's first ``step`` pixels."""
    width, height = size
    root = ET.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    ET.SubElement(root, "SRS").text = source.crs.to_wkt()
    transform = ", ".join(repr(v) for v in source.transform.to_gdal())
    ET.SubElement(root, "GeoTransform").text = transform
    for index, dtype in zip(source.indexes, source.dtypes, strict=True):
        band = ET.SubElement(root, "VRTRasterBand", dataType=_VRT_TYPES[dtype], band=str(index))
        ET.SubElement(band, "Description").text = source.descriptions[index - 1] or ""
        if source.nodata is not None:
            ET.SubElement(band, "NoDataValue").text = str(source.nodata)
        for row in range(0, height, step[1]):
            for col in range(0, width, step[0]):
                part = min(step[0], width - col), min(step[1], height - row)
                band.append(_simple_source(source, index, part, (col, row)))
    ET.ElementTree(root).write(path, encoding="utf-8")


def _simple_source(
    source: rasterio.DatasetReader, index: int, part: tuple[int, int], at: tuple[int, int]
) -> ET.Element:
    """Return the element that puts the source's upper left, ``part`` pixels, at (col, row)."""
    element = ET.Element("SimpleSource")
    ET.SubElement(element, "SourceFilename").text = os.path.abspath(source.name)
    ET.SubElement(element, "SourceBand").text = str(index)
    rows, cols = source.block_shapes[index - 1]
    ET.SubElement(
        element,
        "SourceProperties",
        RasterXSize=str(source.width),
        RasterYSize=str(source.height),
        DataType=_VRT_TYPES[source.dtypes[index - 1]],
        BlockXSize=str(cols),
        BlockYSize=str(rows),
    )
    for name, (col, row) in (("SrcRect", (0, 0)), ("DstRect", at)):
        ET.SubElement(
            element, name, xOff=str(col), yOff=str(row), xSize=str(part[0]), ySize=str(part[1])
        )
    return element
