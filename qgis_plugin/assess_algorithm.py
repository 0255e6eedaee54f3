"""``panloom:assess``: how well a class map agrees with reference samples."""

from __future__ import annotations

import json
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterLayer,
)
from qgis.PyQt.QtGui import QIcon

from .accuracy_text import accuracy_lines
from .engine_run import engine_state, run_for_feedback
from .layer_files import raster_file, vector_file
from .parameters import with_help
from .presentation import MANUAL, MAPS, icon, paragraphs

_HELP = """
Compares a class map with reference samples, points, polygons or a raster, and writes a report:
confusion matrix, accuracy of every class, overall accuracy, kappa, areas corrected for the map's
errors, and a picture of where map and reference disagree.

The figures are as good as the samples. The ± of the report assumes samples drawn at random, and not
the areas that the model was trained on; the report says what else to mind.

The report opens in the Results Viewer, and the figures that matter most stand in the log.
"""
_NUMBERS = {"OA": "oa", "KAPPA": "kappa"}


class AssessAlgorithm(QgsProcessingAlgorithm):
    """Starts ``panloom assess`` and shows its report."""

    def createInstance(self) -> QgsProcessingAlgorithm:
        return AssessAlgorithm()

    def name(self) -> str:
        return "assess"

    def displayName(self) -> str:
        return "Accuracy of a class map"

    def shortDescription(self) -> str:
        return "Confusion matrix, accuracies and corrected areas from reference samples"

    def shortHelpString(self) -> str:
        return paragraphs(_HELP)

    def helpUrl(self) -> str:
        return MANUAL

    def group(self) -> str:
        return MAPS[0]

    def groupId(self) -> str:
        return MAPS[1]

    def tags(self) -> list[str]:
        return [
            "accuracy assessment",
            "validation",
            "confusion matrix",
            "error matrix",
            "kappa",
            "overall accuracy",
            "reference",
            "ground truth",
            "area estimation",
        ]

    def icon(self) -> QIcon:
        return icon("assess")

    def canExecute(self) -> tuple[bool, str]:
        return engine_state()

    def initAlgorithm(self, configuration: Any = None) -> None:
        for parameter in (*_inputs(), *_destinations()):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("OA", "Overall accuracy (0 … 1)"))
        self.addOutput(QgsProcessingOutputNumber("KAPPA", "Kappa"))
        self.addOutput(QgsProcessingOutputString("SUMMARY", "Main figures (JSON)"))

    def checkParameterValues(
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        given = [name for name in ("REFERENCE", "REFERENCE_RASTER") if parameters.get(name)]
        if len(given) != 1:
            found = "Two references are given" if given else "No reference is given"
            return False, (
                f"{found}, and one is needed. Choose either a layer of points or polygons in "
                "“Reference samples” or a raster in “Reference raster”, and leave the other empty."
            )
        valid, text = super().checkParameterValues(parameters, context)
        return valid, text

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        files = {
            "REPORT": self.parameterAsFileOutput(parameters, "REPORT", context),
            "JSON": self.parameterAsFileOutput(parameters, "JSON", context),
        }
        class_map = raster_file(self, parameters, "MAP", context, feedback)
        field = self.parameterAsString(parameters, "CLASS_FIELD", context)
        samples = vector_file(self, parameters, "REFERENCE", context, feedback, field)
        result = run_for_feedback(
            feedback,
            "assess",
            class_map,
            samples or raster_file(self, parameters, "REFERENCE_RASTER", context, feedback),
            class_field=field if samples else "",
            report=files["REPORT"],
            json=files["JSON"],
            overwrite=True,
        )
        for line in accuracy_lines(result.summary):
            feedback.pushInfo(line)
        return {**{name: path for name, path in files.items() if path}, **_values(result.summary)}


def _values(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs beside the files; a figure that does not exist is left out."""
    numbers = {name: summary.get(key) for name, key in _NUMBERS.items()}
    return {
        **{name: value for name, value in numbers.items() if value is not None},
        "SUMMARY": json.dumps(summary, ensure_ascii=False),
    }


def _inputs() -> list[QgsProcessingParameterDefinition]:
    samples = QgsProcessingParameterFeatureSource(
        "REFERENCE",
        "Reference samples",
        [QgsProcessing.TypeVectorPoint, QgsProcessing.TypeVectorPolygon],
        optional=True,
    )
    field = QgsProcessingParameterField(
        "CLASS_FIELD", "Class field", parentLayerParameterName="REFERENCE", optional=True
    )
    raster = QgsProcessingParameterRasterLayer(
        "REFERENCE_RASTER", "Reference raster", optional=True
    )
    return [
        with_help(
            QgsProcessingParameterRasterLayer("MAP", "Class map"),
            "The map to assess: made by Panloom, or any 8-bit raster of classes.",
        ),
        with_help(
            samples,
            "Points or polygons whose class is known, in any CRS. A point stands for the map pixel "
            "that it lies in, a polygon for every pixel whose center lies in it. With “Selected "
            "features only” just the selection counts. Leave it empty for a reference raster.",
        ),
        with_help(
            field,
            "The field of the samples with the class, as code or as the map's name of it. Left "
            "empty it is class_code, as in Panloom's own polygons.",
        ),
        with_help(
            raster,
            "A raster with the same class codes, instead of samples; its nodata is left out. Other "
            "CRS, extent and resolution than the map are fine.",
        ),
    ]


def _destinations() -> list[QgsProcessingParameterDefinition]:
    figures = QgsProcessingParameterFileDestination(
        "JSON", "Figures (JSON)", "JSON files (*.json)", optional=True, createByDefault=False
    )
    return [
        with_help(
            QgsProcessingParameterFileDestination("REPORT", "Report", "HTML files (*.html)"),
            "The report: one page that holds its pictures and needs no network.",
        ),
        with_help(figures, "Every figure of the report, for scripts."),
    ]
