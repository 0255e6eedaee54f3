"""The Processing provider ``panloom``."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from ..engine.version import __version__
from .assess_algorithm import AssessAlgorithm
from .check_algorithm import CheckEngineAlgorithm
from .classify_algorithm import ClassifyAlgorithm
from .inspect_algorithm import InspectAlgorithm
from .presentation import icon, icon_path
from .setup_algorithm import SetUpEngineAlgorithm
from .train_algorithm import TrainAlgorithm
from .vectorize_algorithm import VectorizeAlgorithm


class PanloomProvider(QgsProcessingProvider):
    """Offers Panloom's algorithms to the toolbox, models, scripts and ``qgis_process``."""

    def id(self) -> str:
        return "panloom"

    def name(self) -> str:
        return "Panloom"

    def longName(self) -> str:
        return "Panloom: land cover from MS and PAN"

    def versionInfo(self) -> str:
        return __version__

    def icon(self) -> QIcon:
        return icon("panloom")

    def svgIconPath(self) -> str:
        return icon_path("panloom")

    def loadAlgorithms(self) -> None:
        for algorithm in (
            ClassifyAlgorithm,
            InspectAlgorithm,
            VectorizeAlgorithm,
            AssessAlgorithm,
            TrainAlgorithm,
            CheckEngineAlgorithm,
            SetUpEngineAlgorithm,
        ):
            self.addAlgorithm(algorithm())

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        return ["tif"]

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        return ["gpkg", "fgb", "parquet"]

    def supportsNonFileBasedOutput(self) -> bool:
        return False
