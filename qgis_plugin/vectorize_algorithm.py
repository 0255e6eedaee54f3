"""``panloom:vectorize``: polygons of a class map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
)
from qgis.PyQt.QtGui import QIcon

from .engine_run import engine_state, run_for_feedback
from .layer_files import raster_file
from .loaded_layers import LayerGroup, LayerOutput
from .parameters import polygon_parameters, with_help
from .presentation import MANUAL, MAPS, icon, paragraphs

_HELP = """
Makes polygons of a class map: class code and name, ellipsoidal area in m² and, where a
confidence raster is given, its mean.

Small polygons can be merged into their neighbors (minimum mapping unit) and the stair-steps of
pixels smoothed. Neighbors share their borders exactly: no gaps, no overlaps, no seams.
"""


class VectorizeAlgorithm(QgsProcessingAlgorithm):
    """Starts ``panloom vectorize`` and loads the polygons."""

    def createInstance(self) -> QgsProcessingAlgorithm:
        return VectorizeAlgorithm()

    def name(self) -> str:
        return "vectorize"

    def displayName(self) -> str:
        return "Class map to polygons"

    def shortDescription(self) -> str:
        return "Polygons without gaps or overlaps from a class map"

    def shortHelpString(self) -> str:
        return paragraphs(_HELP)

    def helpUrl(self) -> str:
        return MANUAL

    def group(self) -> str:
        return MAPS[0]

    def groupId(self) -> str:
        return MAPS[1]

    def tags(self) -> list[str]:
        return ["polygonize", "vectorize", "simplify", "minimum mapping unit", "sieve", "coverage"]

    def icon(self) -> QIcon:
        return icon("vectorize")

    def canExecute(self) -> tuple[bool, str]:
        return engine_state()

    def initAlgorithm(self, configuration: Any = None) -> None:
        class_map = QgsProcessingParameterRasterLayer("MAP", "Class map")
        confidence = QgsProcessingParameterRasterLayer("CONFIDENCE", "Confidence", optional=True)
        polygons = QgsProcessingParameterVectorDestination(
            "OUTPUT", "Land-cover polygons", QgsProcessing.TypeVectorPolygon
        )
        for parameter in (
            with_help(class_map, "A class map made by Panloom, or any 8-bit raster of classes."),
            with_help(confidence, "The confidence raster of the same run, for its mean."),
            *polygon_parameters(),
            with_help(polygons, "The polygons: .gpkg, .fgb or .parquet."),
        ):
            self.addParameter(parameter)

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        class_map = raster_file(self, parameters, "MAP", context, feedback)
        target = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        result = run_for_feedback(
            feedback,
            "vectorize",
            class_map,
            target,
            confidence=raster_file(self, parameters, "CONFIDENCE", context, feedback),
            mmu_m2=self.parameterAsDouble(parameters, "MMU", context) or None,
            simplify_m=self.parameterAsDouble(parameters, "SIMPLIFY", context) or None,
            overwrite=True,
        )
        title = self.parameterDefinition("OUTPUT").description()
        style = result.outputs.get("polygons_style", "")
        output = LayerOutput("polygons", target, title, Path(class_map).stem, style)
        LayerGroup().add(context, output)
        return {"OUTPUT": target}
