"""Panloom's page in Settings → Options: the engine's Python, its set-up, and whether it stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtWidgets import QCheckBox, QFormLayout, QLabel, QPushButton

from .engine_run import engine_state, retire_warm_engine
from .presentation import icon
from .settings import (
    default_engine_folder,
    engine_folder,
    engine_python,
    keeps_warm,
    python_setting,
    set_engine_folder,
    set_keeps_warm,
    set_python_setting,
)


class PanloomOptionsFactory(QgsOptionsWidgetFactory):
    """Makes the page when the options are opened."""

    def __init__(self) -> None:
        super().__init__()
        self.setTitle("Panloom")
        self.setIcon(icon("panloom"))

    def createWidget(self, parent: Any = None) -> QgsOptionsPageWidget:
        return PanloomOptionsPage(parent)


class PanloomOptionsPage(QgsOptionsPageWidget):
    """Interpreter, folder, whether the engine stays, state, and a button that opens the set-up."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._python = QgsFileWidget(self)
        self._python.setFilePath(python_setting())
        self._python.setToolTip("Empty: the environment that “Set up the engine” made.")
        self._folder = QgsFileWidget(self)
        self._folder.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self._folder.setFilePath(str(engine_folder()))
        self._keeps_warm = QCheckBox("Keep the engine warm between runs", self)
        self._keeps_warm.setChecked(keeps_warm())
        self._keeps_warm.setToolTip(
            "The next run begins at once instead of after some seconds. The engine holds some "
            "hundred MB meanwhile; it ends with QGIS, or ten minutes after the last run."
        )
        set_up = QPushButton("Set up the engine…", self)
        set_up.clicked.connect(_open_set_up)
        state = QLabel(_state(), self)
        state.setWordWrap(True)
        layout = QFormLayout(self)
        layout.addRow("Python of the engine", self._python)
        layout.addRow("Folder of its environment", self._folder)
        layout.addRow("", self._keeps_warm)
        layout.addRow("State", state)
        layout.addRow("", set_up)

    def apply(self) -> None:
        """Keep what the page says; called by QGIS when the options are accepted."""
        set_python_setting(self._python.filePath().strip())
        set_engine_folder(Path(self._folder.filePath().strip() or default_engine_folder()))
        set_keeps_warm(self._keeps_warm.isChecked())
        if not keeps_warm():
            retire_warm_engine()


def _state() -> str:
    ready, message = engine_state()
    return f"Ready: {engine_python()}" if ready else message


def _open_set_up() -> None:
    import processing  # QGIS's own plugin; on the path only once QGIS has started

    processing.execAlgorithmDialog("panloom:setupengine", {})
