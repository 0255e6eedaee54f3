"""The names that a raster of class codes gives its classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ..class_map import CLASSES_TAG, category_names

_VALUE_USAGES, _NAME_USAGE = ("5", "3"), "2"  # GDAL's GDALRATFieldUsage: MinMax, Min, Name


def class_names(source: Any) -> dict[int, str]:
    """Return names by code of an open raster: Panloom's tag, category names, attribute table.

    The first of these that is there counts; empty where none is.
    """
    text = source.tags().get(CLASSES_TAG)
    if text:
        return {int(item["code"]): str(item["name"]) for item in json.loads(text)}
    path = Path(source.name)
    return category_names(path) or _attribute_table_names(path)


def _attribute_table_names(path: Path) -> dict[int, str]:
    sidecar = path.with_name(path.name + ".aux.xml")
    if not sidecar.is_file():
        return {}
    try:
        table = (
            ET.parse(sidecar).getroot().find("PAMRasterBand[@band='1']/GDALRasterAttributeTable")
        )
    except ET.ParseError:
        return {}
    if table is None:
        return {}
    usages = [field.findtext("Usage", "") for field in table.findall("FieldDefn")]
    values = [usages.index(usage) for usage in _VALUE_USAGES if usage in usages]
    if not values or _NAME_USAGE not in usages:
        return {}
    rows = [[item.text or "" for item in row.findall("F")] for row in table.findall("Row")]
    pairs = ((row[values[0]], row[usages.index(_NAME_USAGE)]) for row in rows)
    return {int(float(value)): name for value, name in pairs if _is_number(value) and name.strip()}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
