"""QGIS styles (.qml) of class maps and their polygons: the classes with their names and colors."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from ..models.classes import ClassScheme, LandClass

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_OLDEST_QGIS = "3.22.0"


def write_raster_style(path: str | Path, scheme: ClassScheme) -> None:
    """Write the style of a class map: a palette; other codes, nodata too, are transparent."""
    root = _root()
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1"
    )
    palette = ET.SubElement(renderer, "colorPalette")
    for land in _by_code(scheme):
        ET.SubElement(
            palette,
            "paletteEntry",
            value=str(land.code),
            color=land.color,
            alpha="255",
            label=land.name,
        )
    _write(root, path)


def polygon_style_path(polygons: Path, map_path: Path) -> Path:
    """Return where the style of ``polygons`` belongs: ``NAME.qml``, which QGIS applies by itself.

    Where a class map of that name lies beside, its style has that place; then NAME.polygons.qml.
    """
    style = polygons.with_suffix(".qml")
    taken = style.absolute() == map_path.with_suffix(".qml").absolute()
    return polygons.with_suffix(".polygons.qml") if taken else style


def write_polygon_style(path: str | Path, scheme: ClassScheme) -> None:
    """Write the style of a polygon layer: filled categories of ``class_code``."""
    root = _root()
    renderer = ET.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr="class_code", enableorderby="0"
    )
    categories = ET.SubElement(renderer, "categories")
    symbols = ET.SubElement(renderer, "symbols")
    for index, land in enumerate(_by_code(scheme)):
        ET.SubElement(
            categories,
            "category",
            value=str(land.code),
            type="integer",
            label=land.name,
            symbol=str(index),
            render="true",
        )
        symbols.append(_fill(str(index), land))
    _write(root, path)


def _root() -> ET.Element:
    return ET.Element("qgis", version=_OLDEST_QGIS, styleCategories="Symbology")


def _by_code(scheme: ClassScheme) -> list[LandClass]:
    return sorted(scheme.classes, key=lambda land: land.code)


def _fill(name: str, land: LandClass) -> ET.Element:
    symbol = ET.Element("symbol", type="fill", name=name, alpha="1", clip_to_extent="1")
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill"}, enabled="1", locked="0")
    options = ET.SubElement(layer, "Option", type="Map")
    # A hairline in the fill's own color closes the light seams that antialiasing leaves between
    # neighbors; "no outline" would show them.
    color = ",".join(map(str, (*land.rgb, 255)))
    for key, value in (
        ("color", color),
        ("style", "solid"),
        ("outline_color", color),
        ("outline_style", "solid"),
        ("outline_width", "0.05"),
        ("outline_width_unit", "MM"),
        ("joinstyle", "bevel"),
    ):
        ET.SubElement(options, "Option", type="QString", name=key, value=value)
    return symbol


def _write(root: ET.Element, path: str | Path) -> None:
    ET.indent(root)
    text = _DOCTYPE + ET.tostring(root, encoding="unicode") + "\n"
    Path(path).write_text(text, encoding="utf-8")
