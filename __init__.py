"""Panloom: land-cover maps from a multispectral and a panchromatic raster.

This folder is both the Python package ``panloom`` and the QGIS plugin. Nothing heavy is imported
here: QGIS loads this module in its own Python, where torch, rasterio and numpy must not enter.
"""

from __future__ import annotations

from typing import Any


def classFactory(iface: Any) -> Any:  # noqa: N802 - the name QGIS looks for
    """Return the plugin object that QGIS asks every plugin package for."""
    from .qgis_plugin.plugin import PanloomPlugin

    return PanloomPlugin(iface)
