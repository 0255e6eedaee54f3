"""Runs in QGIS's own Python, without a window: ``python3 inside_qgis.py WHAT [JSON]``.

Prints one JSON object in its last line. Each function below is one WHAT.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsField,
    QgsGeometry,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterRasterLayer,
    QgsProject,
    QgsRasterLayer,
    QgsSettings,
    QgsVectorLayer,
    QgsVectorLayerUtils,
)
from qgis.PyQt.QtCore import QVariant


class Log(QgsProcessingFeedback):
    """Keeps everything that an algorithm says, by kind; cancels once a line has ``cancel_at``."""

    def __init__(self, cancel_at: str = "") -> None:
        super().__init__(False)
        self.said: list[list[str]] = []
        self._cancel_at = cancel_at

    def pushInfo(self, info: str) -> None:
        self.said.append(["info", info])
        if self._cancel_at and self._cancel_at in info:
            self.cancel()

    def pushWarning(self, warning: str) -> None:
        self.said.append(["warning", warning])

    def pushCommandInfo(self, info: str) -> None:
        self.said.append(["command", info])

    def pushDebugInfo(self, info: str) -> None:
        self.said.append(["debug", info])

    def setProgressText(self, text: str) -> None:
        self.said.append(["stage", text])


def describe() -> dict[str, Any]:
    """Return what the provider offers, in words."""
    provider = QgsApplication.processingRegistry().providerById("panloom")
    return {algorithm.name(): _algorithm(algorithm) for algorithm in provider.algorithms()}


def _algorithm(algorithm: Any) -> dict[str, Any]:
    return {
        "title": algorithm.displayName(),
        "group": [algorithm.group(), algorithm.groupId()],
        "help": algorithm.shortHelpString(),
        "summary": algorithm.shortDescription(),
        "url": algorithm.helpUrl(),
        "tags": algorithm.tags(),
        "has_icon": not algorithm.icon().isNull(),
        "can_execute": list(algorithm.canExecute()),
        "titles": [p.description() for p in algorithm.parameterDefinitions()],
        "parameters": {p.name(): p.help() for p in algorithm.parameterDefinitions()},
        "defaults": {p.name(): p.defaultValue() for p in algorithm.parameterDefinitions()},
        "offered": {p.name(): _offered(p) for p in algorithm.parameterDefinitions()},
    }


def _offered(parameter: Any) -> list[str]:
    """Return the values that the dialog has to choose from."""
    if hasattr(parameter, "options"):
        return list(parameter.options())
    return list(parameter.metadata().get("widget_wrapper", {}).get("value_hints", []))


def run(algorithm: str, parameters: dict[str, Any], cancel_at: str = "") -> dict[str, Any]:
    """Run an algorithm and return its outputs and its log, or its error.

    It is cancelled once a line of its log has ``cancel_at``.
    """
    return _run(algorithm, parameters, cancel_at)


def _run(algorithm: Any, parameters: dict[str, Any], cancel_at: str = "") -> dict[str, Any]:
    import processing

    log = Log(cancel_at)
    try:
        outputs = processing.run(algorithm, parameters, feedback=log)
    except QgsProcessingException as error:
        return {"error": str(error), "log": log.said}
    return {"outputs": {k: str(v) for k, v in outputs.items()}, "log": log.said}


def batch(algorithm: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Run one algorithm for several rows of parameters in one process, as a batch does."""
    return {"rows": [_run(algorithm, row) for row in rows]}


def warm(runs: list[list[Any]], unload: bool) -> dict[str, Any]:
    """Do runs (algorithm, parameters) with the engine kept warm; perhaps unload the plugin then.

    ``left`` are those engines' processes that are there at the end.
    """
    from panloom import classFactory
    from panloom.qgis_plugin import settings

    settings.set_keeps_warm(True)
    done = [_run(*run) for run in runs]
    settings.set_keeps_warm(False)
    told = [text for run in done for _, text in run["log"] if text.startswith("The warm engine")]
    if unload:
        classFactory(None).unload()
    pids = {int(word) for text in told for word in re.findall(r"\d+", text)}
    return {"runs": done, "told": told, "left": [p for p in pids if os.path.exists(f"/proc/{p}")]}


def selection(parameters: dict[str, Any], boxes: list[str]) -> dict[str, Any]:
    """Classify with an AOI layer in memory of which only the first polygon is selected."""
    layer = QgsVectorLayer(f"Polygon?crs={parameters.pop('CRS')}", "areas", "memory")
    for wkt in boxes:
        feature = QgsFeature()
        feature.setGeometry(QgsGeometry.fromWkt(wkt))
        layer.dataProvider().addFeatures([feature])
    QgsProject.instance().addMapLayer(layer)
    layer.selectByIds([next(layer.getFeatures()).id()])
    parameters["AOI"] = QgsProcessingFeatureSourceDefinition(layer.id(), True)
    return _run("panloom:classify", parameters)


def samples(
    parameters: dict[str, Any], path: str, virtual_field: list[str], chosen: str, crs: str = ""
) -> dict[str, Any]:
    """Assess with a layer that differs from its file: a field (name, formula), selection, CRS."""
    layer = QgsVectorLayer(path, "samples", "ogr")
    if crs:
        layer.setCrs(QgsCoordinateReferenceSystem(crs))
    QgsProject.instance().addMapLayer(layer)
    if virtual_field:
        name, formula = virtual_field
        layer.addExpressionField(formula, QgsField(name, QVariant.Int))
    if chosen:
        layer.selectByExpression(chosen)
    parameters["REFERENCE"] = QgsProcessingFeatureSourceDefinition(layer.id(), bool(chosen))
    return _run("panloom:assess", parameters)


def training_samples(
    parameters: dict[str, Any], path: str, new: list[list[str]], chosen: str
) -> dict[str, Any]:
    """Train with a layer in editing: features (WKT, class) that are not saved, and a selection."""
    layer = QgsVectorLayer(path, "samples", "ogr")
    QgsProject.instance().addMapLayer(layer)
    field = parameters["CLASS_FIELD"]
    if new:
        layer.startEditing()
    for wkt, name in new:
        feature = QgsVectorLayerUtils.createFeature(
            layer, QgsGeometry.fromWkt(wkt), {layer.fields().indexOf(field): name}
        )
        assert layer.addFeature(feature)
    if chosen:
        layer.selectByExpression(chosen)
    parameters["SAMPLES"] = QgsProcessingFeatureSourceDefinition(layer.id(), bool(chosen))
    return _run("panloom:train", parameters)


def layer_in_memory(parameters: dict[str, Any], formula_of: str) -> dict[str, Any]:
    """Classify a raster that QGIS computes on the fly: no file for the engine."""
    source = QgsRasterLayer(formula_of, "pan")
    extent = source.extent()
    corners = f"{extent.xMinimum()},{extent.yMinimum()},{extent.xMaximum()},{extent.yMaximum()}"
    uri = (
        f"?crs={source.crs().authid()}&extent={corners}&width={source.width()}"
        f'&height={source.height()}&formula="pan@1" * 2&pan:provider=gdal&pan:uri={formula_of}'
    )
    layer = QgsRasterLayer(uri, "doubled", "virtualraster")
    QgsProject.instance().addMapLayer(layer)
    return _run("panloom:classify", {**parameters, "PAN": layer.id()})


def other_crs(parameters: dict[str, Any]) -> dict[str, Any]:
    """Classify an MS layer whose CRS was changed in QGIS only."""
    layer = QgsRasterLayer(parameters["MS"], "ms in disguise")
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    QgsProject.instance().addMapLayer(layer)
    return _run("panloom:classify", {**parameters, "MS": layer.id()})


def model(inputs: dict[str, Any], output: str) -> dict[str, Any]:
    """Run a model of the designer: classify, then make polygons of the map."""
    chain = _model(inputs.get("MODEL", "landsat-5class"))
    # Versions differ in what they call a model's output.
    destination = chain.destinationParameterDefinitions()[0].name()
    return _run(chain, {"ms": inputs["MS"], "pan": inputs["PAN"], destination: output})


def _model(model_name: str) -> QgsProcessingModelAlgorithm:
    chain = QgsProcessingModelAlgorithm("map and polygons", "tests")
    for name in ("ms", "pan"):
        chain.addModelParameter(
            QgsProcessingParameterRasterLayer(name, name), QgsProcessingModelParameter(name)
        )
    value = QgsProcessingModelChildParameterSource
    classify = QgsProcessingModelChildAlgorithm("panloom:classify")
    classify.setChildId("classify")
    classify.addParameterSources("MS", [value.fromModelParameter("ms")])
    classify.addParameterSources("PAN", [value.fromModelParameter("pan")])
    classify.addParameterSources("MODEL", [value.fromStaticValue(model_name)])
    chain.addChildAlgorithm(classify)
    polygons = QgsProcessingModelChildAlgorithm("panloom:vectorize")
    polygons.setChildId("polygons")
    polygons.addParameterSources("MAP", [value.fromChildOutput("classify", "OUTPUT")])
    polygons.addParameterSources("MMU", [value.fromStaticValue(5000)])
    land = QgsProcessingModelOutput("land", "Land")
    land.setChildId("polygons")
    land.setChildOutputName("OUTPUT")
    polygons.setModelOutputs({"land": land})
    chain.addChildAlgorithm(polygons)
    return chain


def proxy(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the proxy that the set-up would use under these settings."""
    from panloom.qgis_plugin.settings import proxy_url

    for name, value in settings.items():
        QgsSettings().setValue(f"proxy/{name}", value)
    url = proxy_url()
    for name in settings:
        QgsSettings().remove(f"proxy/{name}")
    return {"url": url}


def plugin_life() -> dict[str, Any]:
    """Load and unload the plugin twice, as the plugin manager does."""
    from panloom import classFactory

    registry = QgsApplication.processingRegistry()
    registry.removeProvider("panloom")
    seen = []
    for _ in range(2):
        plugin = classFactory(None)
        plugin.initProcessing()
        seen.append(registry.algorithmById("panloom:classify") is not None)
        plugin.unload()
        seen.append(registry.providerById("panloom") is not None)
    return {"seen": seen}


def main() -> None:
    """Start QGIS's libraries, load the provider, do WHAT."""
    application = QgsApplication([], False)
    application.initQgis()
    from processing.core.Processing import Processing

    Processing.initialize()
    before = sorted(sys.modules)
    from panloom.qgis_plugin.provider import PanloomProvider

    provider = PanloomProvider()  # QGIS keeps the provider, and this name its Python half
    QgsApplication.processingRegistry().addProvider(provider)
    arguments = json.loads(sys.argv[2]) if len(sys.argv) > 2 else []
    answer = globals()[sys.argv[1]](*arguments)
    loaded = sorted(set(sys.modules) - set(before))
    print(json.dumps({"answer": answer, "loaded": loaded, "path": sys.path}), flush=True)
    QgsProject.instance().clear()
    os._exit(0)  # some versions crash while their libraries are torn down


if __name__ == "__main__":
    main()
