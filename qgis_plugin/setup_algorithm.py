"""``panloom:setupengine``: makes the environment that the engine runs in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
)
from qgis.PyQt.QtGui import QIcon

from .engine_process import EngineCancelled, EngineError
from .engine_run import retire_warm_engine, sentences_of
from .environment_setup import DEVICES, SetupOptions, Voice, set_up
from .parameters import with_help
from .presentation import ENGINE, MANUAL, icon, paragraphs
from .settings import (
    child_environment,
    engine_folder,
    proxy_url,
    python_setting,
    set_engine_folder,
)

_HELP = """
Makes the engine's own environment: almost 2 GB on disk, 3 to 8 GB with a GPU, some minutes once.
Nothing is installed into QGIS's Python, and other plugins never notice.

Run it as it is; the parameters are for special cases. QGIS's proxy settings are used. At the end
the engine runs once as proof. To remove everything again, delete the folder.
"""


class SetUpEngineAlgorithm(QgsProcessingAlgorithm):
    """Makes the engine's environment and remembers where it is."""

    def createInstance(self) -> QgsProcessingAlgorithm:
        return SetUpEngineAlgorithm()

    def name(self) -> str:
        return "setupengine"

    def displayName(self) -> str:
        return "Set up the engine"

    def shortDescription(self) -> str:
        return "Makes the environment that Panloom's engine runs in"

    def shortHelpString(self) -> str:
        return paragraphs(_HELP)

    def helpUrl(self) -> str:
        return MANUAL

    def group(self) -> str:
        return ENGINE[0]

    def groupId(self) -> str:
        return ENGINE[1]

    def tags(self) -> list[str]:
        return ["install", "environment", "venv", "torch", "gpu", "cuda", "offline", "proxy"]

    def icon(self) -> QIcon:
        return icon("engine")

    def initAlgorithm(self, configuration: Any = None) -> None:
        for parameter in _parameters():
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputString("INTERPRETER", "Python of the engine"))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        folder = Path(self.parameterAsString(parameters, "FOLDER", context) or engine_folder())
        options = SetupOptions(
            folder=folder,
            base_python=self.parameterAsString(parameters, "PYTHON", context),
            device=self.parameterAsEnumString(parameters, "DEVICE", context),
            wheels=self.parameterAsString(parameters, "WHEELS", context),
            proxy=proxy_url(),
            environment=child_environment(),
        )
        retire_warm_engine()  # it holds files of the environment that is replaced
        try:
            python = set_up(options, _voice(feedback))
        except EngineCancelled:
            raise QgsProcessingException("Cancelled: the engine is as it was before.") from None
        except EngineError as error:
            raise QgsProcessingException(sentences_of(error)) from error
        set_engine_folder(folder)
        _tell_the_end(python, feedback)
        return {"INTERPRETER": python}


def _parameters() -> list[QgsProcessingParameterDefinition]:
    folder = QgsProcessingParameterFile.Folder
    return [
        with_help(
            QgsProcessingParameterEnum(
                "DEVICE",
                "Build of torch",
                list(DEVICES),
                defaultValue="auto",
                usesStaticStrings=True,
            ),
            "auto takes the GPU build where this machine has an NVIDIA GPU. The CPU build is much "
            "smaller and runs everywhere.",
        ),
        with_help(
            QgsProcessingParameterFile("PYTHON", "Base Python", optional=True),
            "The Python (3.10 … 3.14) to make the environment from. Left empty, one is looked for.",
        ),
        with_help(
            QgsProcessingParameterFile("FOLDER", "Folder", behavior=folder, optional=True),
            "Where the environment goes. Left empty, a folder in your QGIS profile.",
        ),
        with_help(
            QgsProcessingParameterFile(
                "WHEELS", "Folder of wheels", behavior=folder, optional=True
            ),
            "For machines without a network: a folder with every package as a wheel. Nothing is "
            "downloaded then. The manual says how to fill it.",
        ),
    ]


def _voice(feedback: QgsProcessingFeedback) -> Voice:
    def step(fraction: float, title: str) -> None:
        feedback.setProgress(100.0 * fraction)
        feedback.setProgressText(title)

    return Voice(step=step, line=feedback.pushConsoleInfo, is_cancelled=feedback.isCanceled)


def _tell_the_end(python: str, feedback: QgsProcessingFeedback) -> None:
    feedback.setProgress(100.0)
    feedback.pushInfo(f"The engine is ready: {python}")
    if python_setting():
        feedback.pushWarning(
            f"The setting “Python of the engine” still names “{python_setting()}”, which goes "
            "before it. Empty it in Settings → Options → Panloom to use the new environment."
        )
