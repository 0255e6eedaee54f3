"""Runs inside a QGIS window (``qgis --code``): opens a tool's dialog, runs it, looks at the result.

PANLOOM_SCENARIO is a JSON file: ``algorithm``, ``parameters``, ``background`` (a raster to load
first), ``screenshot``, ``report`` (JSON to write), ``cancel`` (press Cancel once the engine runs).
"""

from __future__ import annotations

import json
import os
import time
import traceback
from pathlib import Path

import processing
from qgis.core import QgsLayerTreeLayer, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QCoreApplication, QTimer
from qgis.PyQt.QtWidgets import QTextEdit
from qgis.utils import iface

SCENARIO = json.loads(Path(os.environ["PANLOOM_SCENARIO"]).read_text(encoding="utf-8"))
REPORT: dict[str, object] = {}
TIMEOUT_S = 240


def start() -> None:
    """Open the dialog and press Run."""
    iface.mainWindow().resize(1480, 920)
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
    wait_until(lambda: bool(ended))
    REPORT["successful"] = ended[0] if ended else None
    REPORT["ended_at"] = time.time()
    REPORT["log"] = "\n".join(pane.toPlainText() for pane in dialog.findChildren(QTextEdit))
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


def cancel_when_running(dialog: object) -> None:
    """Press Cancel a moment after the engine has started, and note when it is gone."""
    wait_until(lambda: bool(engine_pids()))
    pids = engine_pids()
    wait_until(lambda: False, SCENARIO.get("cancel_after_s", 3.0))
    REPORT["running_before"] = engine_pids() == pids
    pressed = time.monotonic()
    dialog.cancelButton().click()
    wait_until(lambda: not engine_pids(), 10.0)
    REPORT["cancel_s"] = time.monotonic() - pressed
    wait_until(lambda: False, 0.5)
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
    if SCENARIO.get("hide"):
        for node in root.findLayers():
            if node.name().startswith(tuple(SCENARIO["hide"])):
                node.setItemVisibilityChecked(False)
    iface.mapCanvas().zoomToFullExtent()
    wait_until(lambda: False, 1.0)
    iface.mapCanvas().refreshAllLayers()
    wait_until(lambda: not iface.mapCanvas().isDrawing(), 20.0)
    wait_until(lambda: False, 2.0)
    if SCENARIO.get("screenshot"):
        iface.mainWindow().grab().save(SCENARIO["screenshot"])


def main() -> None:
    """Run the scenario, write the report, close QGIS."""
    try:
        start()
    except Exception:
        REPORT["traceback"] = traceback.format_exc()
    Path(SCENARIO["report"]).write_text(json.dumps(REPORT), encoding="utf-8")
    QgsProject.instance().setDirty(False)
    os._exit(0)  # nothing is worth waiting for, and some versions crash when a script quits them


QTimer.singleShot(1500, main)
