"""Runs inside a QGIS window (``qgis --code``): opens a tool's dialog, runs it, looks at the result.

PANLOOM_SCENARIO is a JSON file: ``algorithm``, ``parameters``, ``background`` (a raster to load
first), ``screenshot``, ``dialog_screenshot`` (before the run) and ``log_screenshot`` (after it),
``report`` (JSON to write), ``cancel`` (press Cancel as soon as the log has this text), ``tidy``
(for a picture: no browser, no messages). Instead, ``batch`` gives rows of parameters for the batch
dialog, and ``options`` values for Panloom's page of the options.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from pathlib import Path

import processing
from qgis.core import (
    QgsApplication,
    QgsContrastEnhancement,
    QgsLayerTree,
    QgsLayerTreeLayer,
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProject,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
)
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QCoreApplication, QTimer
from qgis.PyQt.QtWidgets import QCheckBox, QDockWidget, QLabel, QTextEdit, QWidget
from qgis.utils import iface

SCENARIO = json.loads(Path(os.environ["PANLOOM_SCENARIO"]).read_text(encoding="utf-8"))
REPORT: dict[str, object] = {}
TIMEOUT_S = 240


def start() -> None:
    """Open the dialog and press Run."""
    iface.mainWindow().resize(*SCENARIO.get("size", (1480, 920)))
    project = QgsProject.instance()
    background = SCENARIO.get("background")
    if background:
        layer = QgsRasterLayer(background, Path(background).stem)
        project.addMapLayer(layer)
        iface.mapCanvas().setExtent(layer.extent())
    dialog = processing.createAlgorithmDialog(SCENARIO["algorithm"], SCENARIO["parameters"])
    dialog.show()
    QCoreApplication.processEvents()
    if SCENARIO.get("dialog_screenshot"):
        dialog.resize(960, 760)
        QCoreApplication.processEvents()
        dialog.grab().save(SCENARIO["dialog_screenshot"])
    ended: list[bool] = []
    dialog.algorithmFinished.connect(lambda successful, _: ended.append(successful))
    dialog.runButton().click()
    if SCENARIO.get("cancel"):
        cancel_when_running(dialog)
    # QGIS 3.40 and later do not say that a cancelled run has ended; their button tells.
    wait_until(lambda: ended or (SCENARIO.get("cancel") and not dialog.cancelButton().isEnabled()))
    REPORT["successful"] = bool(ended and ended[0])
    REPORT["log"] = log_of(dialog)
    if SCENARIO.get("log_screenshot"):
        dialog.resize(960, 760)
        QCoreApplication.processEvents()
        dialog.grab().save(SCENARIO["log_screenshot"])
    dialog.close()
    # The layers are put in order by an event that is still to come.
    wait_until(lambda: False, 1.0)
    REPORT["tree"] = [describe(node) for node in project.layerTreeRoot().findLayers()]
    show_all()


def engine_pids() -> list[int]:
    """Return the processes whose command line is the engine's."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if b"panloom.engine" in words and parent == os.getpid():
                found.append(int(entry.name))
    return found


def log_of(dialog: QWidget) -> str:
    """Return what the dialog shows as its log."""
    return "\n".join(pane.toPlainText() for pane in dialog.findChildren(QTextEdit))


def cancel_when_running(dialog: QWidget) -> None:
    """Press Cancel as soon as the log has the scenario's text, and note when the engine is gone."""
    wait_until(lambda: bool(engine_pids()))
    pids = engine_pids()
    wait_until(lambda: SCENARIO["cancel"] in log_of(dialog) or not engine_pids())
    REPORT["running_before"] = SCENARIO["cancel"] in log_of(dialog) and engine_pids() == pids
    pressed = time.monotonic()
    dialog.cancelButton().click()
    wait_until(lambda: not engine_pids(), 30.0)
    REPORT["cancel_s"] = time.monotonic() - pressed
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 5.0)
    REPORT["left"] = [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def wait_until(done: object, seconds: float = TIMEOUT_S) -> None:
    """Let the window work until ``done()`` or the time is up."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        QCoreApplication.processEvents()
        time.sleep(0.02)


def describe(node: QgsLayerTreeLayer) -> dict[str, object]:
    """Return what a user sees of a layer in the tree."""
    layer = node.layer()
    renderer = layer.renderer()
    kind = renderer.type() if renderer is not None else ""
    if kind == "paletted":
        classes = {c.label: c.color.name() for c in renderer.classes()}
    elif kind == "categorizedSymbol":
        classes = {c.label(): c.symbol().color().name() for c in renderer.categories()}
    else:
        classes = {}
    return {
        "name": node.name(),
        "valid": layer.isValid(),
        "visible": node.isVisible(),
        "renderer": kind,
        "classes": classes,
        "source": layer.source().partition("|")[0],
    }


def show_all() -> None:
    """Zoom to the result, wait until it is drawn, and keep a picture of the window."""
    root = QgsProject.instance().layerTreeRoot()
    for node in root.findLayers():
        node.setExpanded(True)
    iface.mapCanvas().zoomToFullExtent()
    if SCENARIO.get("tidy"):
        tidy(root)
    wait_until(lambda: False, 1.0)
    iface.mapCanvas().refreshAllLayers()
    wait_until(lambda: not iface.mapCanvas().isDrawing(), 20.0)
    wait_until(lambda: False, 2.0)
    if SCENARIO.get("screenshot"):
        iface.mainWindow().grab().save(SCENARIO["screenshot"])


def tidy(root: QgsLayerTree) -> None:
    """Leave the layers and the map alone in the window, the imagery in natural colors."""
    for dock in iface.mainWindow().findChildren(QDockWidget):
        dock.setVisible(dock.objectName() == "Layers")
    iface.messageBar().clearWidgets()
    stretch_natural_color(root.findLayers()[-1].layer())
    iface.mapCanvas().zoomToFullExtent()


def stretch_natural_color(layer: QgsRasterLayer) -> None:
    """Show red, green and blue (bands 3, 2, 1) between the 2nd and 98th percentile."""
    renderer = QgsMultiBandColorRenderer(layer.dataProvider(), 3, 2, 1)
    layer.setRenderer(renderer)
    layer.setContrastEnhancement(
        QgsContrastEnhancement.StretchToMinimumMaximum,
        QgsRasterMinMaxOrigin.CumulativeCut,
    )


def run_batch() -> None:
    """Run the rows of a batch in the dialog that “Run as Batch Process…” opens."""
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog

    registry = QgsApplication.processingRegistry()
    dialog = BatchAlgorithmDialog(registry.createAlgorithmById(SCENARIO["algorithm"]))
    dialog.show()
    fill_rows(dialog.mainWidget(), SCENARIO["batch"])
    dialog.runButton().click()
    outputs = [Path(row["OUTPUT"]) for row in SCENARIO["batch"]]
    wait_until(lambda: all(path.is_file() for path in outputs))
    wait_until(lambda: not dialog.cancelButton().isEnabled(), 30.0)
    REPORT["log"] = log_of(dialog)


def fill_rows(panel: QWidget, rows: list[dict[str, object]]) -> None:
    """Type the values of each row into the table of a batch dialog."""
    context = QgsProcessingContext()
    panel.clear()
    for number, row in enumerate(rows):
        panel.addRow()
        for name, value in row.items():
            column = panel.parameter_to_column[name]
            if panel.alg.parameterDefinition(name).isDestination():
                panel.tblParameters.cellWidget(number + 1, column).setValue(value)
            else:
                panel.wrappers[number][column].setParameterValue(value, context)


def change_options() -> None:
    """Fill in Panloom's page of the options, accept it, and read back what was kept."""
    from panloom.qgis_plugin import settings
    from panloom.qgis_plugin.options_page import PanloomOptionsFactory

    factory = PanloomOptionsFactory()
    page = factory.createWidget()
    page.resize(700, 200)
    widgets = page.findChildren(QgsFileWidget)
    widgets[0].setFilePath(SCENARIO["options"]["python"])
    widgets[1].setFilePath(SCENARIO["options"]["folder"])
    warm = page.findChild(QCheckBox)
    REPORT["warm"] = [warm.isChecked()]
    warm.setChecked(True)
    page.show()
    wait_until(lambda: False, 0.3)
    if SCENARIO.get("screenshot"):
        page.grab().save(SCENARIO["screenshot"])
    page.apply()
    REPORT["kept"] = [settings.python_setting(), str(settings.engine_folder())]
    REPORT["texts"] = [label.text() for label in page.findChildren(QLabel)]
    later = factory.createWidget()
    REPORT["warm"].append(later.findChild(QCheckBox).isChecked())
    warm.setChecked(False)
    page.apply()
    REPORT["warm"].append(settings.keeps_warm())
    settings.set_python_setting("")
    settings.set_engine_folder(settings.default_engine_folder())
    REPORT["emptied"] = [settings.python_setting(), str(settings.engine_folder())]


def main() -> None:
    """Run the scenario, write the report, close QGIS."""
    try:
        if "options" in SCENARIO:
            change_options()
        elif "batch" in SCENARIO:
            run_batch()
        else:
            start()
    except Exception:
        REPORT["traceback"] = traceback.format_exc()
    Path(SCENARIO["report"]).write_text(json.dumps(REPORT), encoding="utf-8")
    QgsProject.instance().setDirty(False)
    os._exit(0)  # nothing is worth waiting for, and some versions crash when a script quits them


QTimer.singleShot(1500, main)
