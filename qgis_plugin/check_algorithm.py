"""``panloom:checkengine``: does the engine work on this machine?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
)
from qgis.PyQt.QtGui import QIcon

from .engine_run import run_for_feedback
from .presentation import ENGINE, MANUAL, icon, paragraphs

_HELP = """
Starts the engine and tries everything that a run needs: versions, projections, the device
(GPU or CPU, and why) and one forward pass of a network. The outcome is in the log.
"""


class CheckEngineAlgorithm(QgsProcessingAlgorithm):
    """Starts ``panloom check`` and lists its findings."""

    def createInstance(self) -> QgsProcessingAlgorithm:
        return CheckEngineAlgorithm()

    def name(self) -> str:
        return "checkengine"

    def displayName(self) -> str:
        return "Check the engine"

    def shortDescription(self) -> str:
        return "Tries the engine: versions, device, projections, one forward pass"

    def shortHelpString(self) -> str:
        return paragraphs(_HELP)

    def helpUrl(self) -> str:
        return MANUAL

    def group(self) -> str:
        return ENGINE[0]

    def groupId(self) -> str:
        return ENGINE[1]

    def tags(self) -> list[str]:
        return ["gpu", "cuda", "torch", "version", "diagnose", "self-test"]

    def icon(self) -> QIcon:
        return icon("engine")

    def initAlgorithm(self, configuration: Any = None) -> None:
        self.addOutput(QgsProcessingOutputString("SUMMARY", "Findings (JSON)"))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        result = run_for_feedback(feedback, "check")
        for name, value in _flat(result.summary):
            feedback.pushInfo(f"{name}: {value}")
        feedback.pushInfo("The engine works.")
        return {"SUMMARY": json.dumps(result.summary, ensure_ascii=False)}


def _flat(summary: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in summary.items():
        if name == "runtimes":
            yield from ((package, found["text"]) for package, found in value.items())
        elif isinstance(value, dict):
            yield from value.items()
        elif name != "ok":
            yield name.replace("_", " "), value
