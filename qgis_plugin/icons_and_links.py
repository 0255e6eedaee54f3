"""Icons, the manual's address and the groups of the toolbox."""

from __future__ import annotations

from pathlib import Path

from qgis.PyQt.QtGui import QIcon

MANUAL = "https://panloom.example/docs/qgis"
MAPS = ("Maps", "maps")
ENGINE = ("Engine", "engine")


def icon_path(name: str) -> str:
    """Return the path of the SVG icon called ``name``."""
    return str(Path(__file__).parent / "icons" / f"{name}.svg")


def icon(name: str) -> QIcon:
    """Return the icon called ``name``."""
    return QIcon(icon_path(name))
