"""``panloom:inspect``: what fits in a pair of rasters, and what does not."""

from __future__ import annotations

import json
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterFileDestination,
)
from qgis.PyQt.QtGui import QIcon

from .engine_run import engine_state, run_for_feedback
from .layer_files import raster_file
from .parameters import model_parameters, ms_parameter, pan_parameter, with_help
from .presentation import MANUAL, MAPS, icon, paragraphs

_HELP = """
Checks a multispectral (MS) and a panchromatic (PAN) raster before hours are spent: CRS, grids,
overlap, ratio of the pixel sizes, bands, nodata, and by how much the PAN is displaced from the MS,
measured in the images themselves. With a model it also says whether the pair fits the model.

The report opens in the Results Viewer. Nothing is classified.
"""


class InspectAlgorithm(QgsProcessingAlgorithm):
    """Starts ``panloom inspect`` and shows its report."""

    def createInstance(self) -> QgsProcessingAlgorithm:
        return InspectAlgorithm()

    def name(self) -> str:
        return "inspect"

    def displayName(self) -> str:
        return "Check a pair (MS + PAN)"

    def shortDescription(self) -> str:
        return "Tells whether two rasters can be classified together, and what the engine would do"

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
            "check",
            "registration",
            "shift",
            "alignment",
            "offset",
            "ratio",
            "overlap",
            "dry run",
            "pan",
        ]

    def icon(self) -> QIcon:
        return icon("inspect")

    def canExecute(self) -> tuple[bool, str]:
        return engine_state()

    def initAlgorithm(self, configuration: Any = None) -> None:
        report = QgsProcessingParameterFileDestination(
            "REPORT", "Report", "HTML files (*.html)", optional=True, createByDefault=True
        )
        for parameter in (ms_parameter(), pan_parameter(), *model_parameters(optional=True)):
            self.addParameter(parameter)
        self.addParameter(with_help(report, "The findings as a page."))
        self.addOutput(QgsProcessingOutputString("SUMMARY", "Findings (JSON)"))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        report = self.parameterAsFileOutput(parameters, "REPORT", context)
        result = run_for_feedback(
            feedback,
            "inspect",
            raster_file(self, parameters, "MS", context, feedback),
            raster_file(self, parameters, "PAN", context, feedback),
            model=self.parameterAsFile(parameters, "MODEL_FILE", context)
            or self.parameterAsString(parameters, "MODEL", context),
            report=report,
            overwrite=True,
        )
        values = {"SUMMARY": json.dumps(result.summary, ensure_ascii=False)}
        return {**values, "REPORT": report} if report else values
