"""``panloom:classify``: from an MS and a PAN raster to a land-cover map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)
from qgis.PyQt.QtGui import QIcon

from ..engine.events import Result
from .engine_run import engine_state, run_for_feedback
from .layer_files import raster_file, vector_file
from .loaded_layers import LayerGroup, LayerOutput
from .parameters import (
    device_parameter,
    model_parameters,
    ms_parameter,
    pan_parameter,
    polygon_parameters,
    runtime_parameter,
    with_help,
)
from .presentation import MANUAL, MAPS, icon, paragraphs

_HELP = """
Makes a land-cover map from a multispectral (MS) and a panchromatic (PAN) raster of the same
scene, each at its own resolution: no pan-sharpening first.

The class map arrives with class names and colors, above it polygons, and below it the
confidence of each pixel (the maximum class probability in percent, which is not an accuracy).
A manifest (.panloom.json) beside the map says how it was made.

Not sure about the pair? “Check a pair” tells what fits and what does not, in seconds.

The work is done by Panloom's engine, a process of its own: cancel ends it within three seconds,
most often one, and its command in the log can be copied into a shell.
"""


class ClassifyAlgorithm(QgsProcessingAlgorithm):
    """Starts ``panloom classify`` and loads what it wrote."""

    def createInstance(self) -> QgsProcessingAlgorithm:
        return ClassifyAlgorithm()

    def name(self) -> str:
        return "classify"

    def displayName(self) -> str:
        return "Classify land cover (MS + PAN)"

    def shortDescription(self) -> str:
        return "Land-cover map from a multispectral and a panchromatic raster"

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
            "land cover",
            "land use",
            "classification",
            "deep learning",
            "segmentation",
            "panchromatic",
            "multispectral",
            "pansharpening",
            "satellite",
            "landsat",
            "map",
            "confidence",
        ]

    def icon(self) -> QIcon:
        return icon("classify")

    def canExecute(self) -> tuple[bool, str]:
        return engine_state()

    def initAlgorithm(self, configuration: Any = None) -> None:
        for parameter in (*_inputs(), *_destinations()):
            self.addParameter(parameter)

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        ms = raster_file(self, parameters, "MS", context, feedback)
        pan = raster_file(self, parameters, "PAN", context, feedback)
        aoi = vector_file(self, parameters, "AOI", context, feedback)
        targets = {
            "map": self.parameterAsOutputLayer(parameters, "OUTPUT", context),
            "polygons": self.parameterAsOutputLayer(parameters, "POLYGONS", context),
            "confidence": self.parameterAsOutputLayer(parameters, "CONFIDENCE", context),
            "areas": self.parameterAsFileOutput(parameters, "AREAS", context),
        }
        result = run_for_feedback(
            feedback,
            "classify",
            ms,
            pan,
            targets["map"],
            model=self.parameterAsFile(parameters, "MODEL_FILE", context)
            or self.parameterAsString(parameters, "MODEL", context),
            polygons=targets["polygons"],
            confidence=targets["confidence"],
            areas=targets["areas"],
            grid=self.parameterAsEnumString(parameters, "GRID", context),
            aoi=aoi,
            mmu_m2=self.parameterAsDouble(parameters, "MMU", context) or None,
            simplify_m=self.parameterAsDouble(parameters, "SIMPLIFY", context) or None,
            device=self.parameterAsString(parameters, "DEVICE", context),
            runtime=self.parameterAsEnumString(parameters, "RUNTIME", context),
            pan_shift=self.parameterAsString(parameters, "PAN_SHIFT", context),
            overwrite=True,
        )
        self._finish_layers(targets, result, Path(ms).stem, context)
        names = {"map": "OUTPUT", "polygons": "POLYGONS", "confidence": "CONFIDENCE"}
        names["areas"] = "AREAS"
        return {name: targets[role] for role, name in names.items() if targets[role]}

    def _finish_layers(
        self, targets: dict[str, str], result: Result, scene: str, context: QgsProcessingContext
    ) -> None:
        group = LayerGroup()
        for role, name in (
            ("polygons", "POLYGONS"),
            ("map", "OUTPUT"),
            ("confidence", "CONFIDENCE"),
        ):
            if targets[role]:
                title = self.parameterDefinition(name).description()
                style = result.outputs.get(f"{role}_style", "")
                group.add(context, LayerOutput(role, targets[role], title, scene, style))


def _inputs() -> list[QgsProcessingParameterDefinition]:
    grid = QgsProcessingParameterEnum(
        "GRID", "Grid of the map", ["pan", "ms"], defaultValue="pan", usesStaticStrings=True
    )
    aoi = QgsProcessingParameterFeatureSource(
        "AOI", "Area of interest", [QgsProcessing.TypeVectorPolygon], optional=True
    )
    pan_shift = QgsProcessingParameterString("PAN_SHIFT", "Shift of the PAN (pixels)", "none")
    return [
        ms_parameter(),
        pan_parameter(),
        *model_parameters(),
        with_help(
            aoi,
            "Polygons; outside of them the map is nodata. With “Selected features only” just the "
            "selection counts.",
        ),
        *polygon_parameters(),
        with_help(
            grid,
            "pan: one map pixel per PAN pixel, the finest. ms: one per MS pixel, for use beside "
            "other data at that resolution.",
            advanced=True,
        ),
        device_parameter(),
        runtime_parameter(),
        with_help(
            pan_shift,
            "By how many PAN pixels (right,down) the PAN is displaced from the MS, such as 1,1. "
            "none trusts the georeferencing; auto estimates it. “Check a pair” shows the estimate.",
            advanced=True,
        ),
    ]


def _destinations() -> list[QgsProcessingParameterDefinition]:
    polygons = QgsProcessingParameterVectorDestination(
        "POLYGONS",
        "Land-cover polygons",
        QgsProcessing.TypeVectorPolygon,
        optional=True,
        createByDefault=True,
    )
    confidence = QgsProcessingParameterRasterDestination(
        "CONFIDENCE", "Confidence", optional=True, createByDefault=True
    )
    areas = QgsProcessingParameterFileDestination(
        "AREAS", "Area table", "CSV files (*.csv)", optional=True, createByDefault=False
    )
    return [
        with_help(
            QgsProcessingParameterRasterDestination("OUTPUT", "Class map"),
            "The class map: a GeoTIFF with class codes, names and colors inside, nodata 0.",
        ),
        with_help(
            polygons,
            "The map as polygons (.gpkg, .fgb or .parquet) with class code and name, ellipsoidal "
            "area in m² and mean confidence.",
        ),
        with_help(
            confidence,
            "How sure the model is of each pixel: its maximum class probability in percent, "
            "0 … 100, nodata 255. Not an accuracy.",
        ),
        with_help(areas, "A CSV table: pixels, square meters and share of each class."),
    ]
