"""Icons, the manual's address, the groups of the toolbox, and how help is laid out."""

from __future__ import annotations

from pathlib import Path

from qgis.PyQt.QtGui import QIcon

MANUAL = "https://panloom.example/docs/qgis"
MAPS = ("Maps", "maps")
MODELS = ("Models", "models")
ENGINE = ("Engine", "engine")


def icon_path(name: str) -> str:
    """Return the path of the SVG icon called ``name``."""
    return str(Path(__file__).parent / "icons" / f"{name}.svg")


def icon(name: str) -> QIcon:
    """Return the icon called ``name``."""
    return QIcon(icon_path(name))


def paragraphs(text: str) -> str:
    """Return ``text``, paragraphs divided by empty lines, as HTML without line ends.

    QGIS turns each line end of a help text into a break.
    """
    blocks = (" ".join(block.split()) for block in text.strip().split("\n\n"))
    return "".join(f"<p>{block}</p>" for block in blocks)
