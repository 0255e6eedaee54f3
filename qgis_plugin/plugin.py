"""The plugin object that QGIS holds: a Processing provider and a page in the options."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsApplication

from .engine_run import close_warm_engine
from .provider import PanloomProvider


class PanloomPlugin:
    """Registers the provider, and with a window the options page too."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: Optional[PanloomProvider] = None
        self._options: Any = None

    def initProcessing(self) -> None:
        """Register the provider; ``qgis_process`` calls this and nothing else."""
        self._provider = PanloomProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Register the provider and the options page."""
        from .options_page import PanloomOptionsFactory  # needs qgis.gui, absent without a window

        self.initProcessing()
        self._options = PanloomOptionsFactory()
        self._iface.registerOptionsWidgetFactory(self._options)

    def unload(self) -> None:
        """Remove what was registered, and end the engine if one was kept."""
        close_warm_engine()
        if self._options is not None:
            self._iface.unregisterOptionsWidgetFactory(self._options)
            self._options = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
