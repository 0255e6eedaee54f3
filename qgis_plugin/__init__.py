"""The QGIS Processing provider: it starts the engine and loads what the engine wrote."""
