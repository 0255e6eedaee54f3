"""``panloom:train``: a model of one's own classes from a pair of rasters and samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingUtils,
)
from qgis.PyQt.QtGui import QIcon

from .engine_process import EngineCancelled
from .engine_run import engine_state, run_with_grace
from .layer_files import raster_file, vector_file
from .presentation import MANUAL, MODELS, icon, paragraphs
from .settings import remember_trained_model
from .train_parameters import SAMPLE_SOURCES, train_parameters
from .training_text import training_lines

GRACE_S = 10.0
"""How long a cancelled training may take to write its best model."""

_NUMBERS = {"OA": "oa", "KAPPA": "kappa"}
_KEPT = "Cancelled: the best model so far is in {}"
_HELP = """
Trains a model on a multispectral (MS) and a panchromatic (PAN) raster with samples: polygons or
points whose class is known, or a raster of labels. The model is one file, for “Classify land
cover (MS + PAN)”.

Loss and accuracy of each epoch stand in the log. The accuracy is that of samples kept apart from
training, by which the best model is chosen; “Accuracy of a class map” tells what a map is worth.
Cancel whenever it is good enough: the best so far stays in the file.

Few samples? Start from a base model that was trained on imagery like yours. Several scenes at once?
Use the command line, panloom train.
"""


class TrainAlgorithm(QgsProcessingAlgorithm):
    """Starts ``panloom train`` and has its model offered to ``panloom:classify``."""

    def createInstance(self) -> QgsProcessingAlgorithm:
        return TrainAlgorithm()

    def name(self) -> str:
        return "train"

    def displayName(self) -> str:
        return "Train a model (MS + PAN + samples)"

    def shortDescription(self) -> str:
        return "Model for your own classes from a pair of rasters and samples"

    def shortHelpString(self) -> str:
        return paragraphs(_HELP)

    def helpUrl(self) -> str:
        return MANUAL

    def group(self) -> str:
        return MODELS[0]

    def groupId(self) -> str:
        return MODELS[1]

    def tags(self) -> list[str]:
        return [
            "training",
            "fine-tuning",
            "learn",
            "deep learning",
            "supervised classification",
            "training samples",
            "training areas",
            "labels",
            "neural network",
            "signature",
        ]

    def icon(self) -> QIcon:
        return icon("train")

    def canExecute(self) -> tuple[bool, str]:
        return engine_state()

    def initAlgorithm(self, configuration: Any = None) -> None:
        for parameter in train_parameters():
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("OA", "Overall accuracy of validation (0 … 1)"))
        self.addOutput(QgsProcessingOutputNumber("KAPPA", "Kappa of validation"))
        self.addOutput(QgsProcessingOutputString("SUMMARY", "Main figures (JSON)"))

    def checkParameterValues(
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        sentence = _fault_of_samples(parameters)
        if sentence:
            return False, sentence
        valid, text = super().checkParameterValues(parameters, context)
        return valid, text

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        target = self.parameterAsFileOutput(parameters, "OUTPUT", context)
        before = _stamp(target)
        field = self.parameterAsString(parameters, "CLASS_FIELD", context)
        layer = vector_file(self, parameters, "SAMPLES", context, feedback, field)
        try:
            result = run_with_grace(
                feedback,
                GRACE_S,
                "train",
                raster_file(self, parameters, "MS", context, feedback),
                raster_file(self, parameters, "PAN", context, feedback),
                layer
                or raster_file(self, parameters, "SAMPLES_RASTER", context, feedback)
                or self.parameterAsFile(parameters, "SAMPLES_FILE", context),
                target,
                class_field="" if parameters.get("SAMPLES_RASTER") else field,
                **self._options(parameters, context),
            )
        except EngineCancelled:
            raise QgsProcessingException(_left(target, before, feedback)) from None
        for line in training_lines(result.summary):
            feedback.pushInfo(line)
        if feedback.isCanceled():
            feedback.pushInfo(_KEPT.format(target))
        _offer(target, feedback)
        return {"OUTPUT": target, **_values(result.summary)}

    def _options(
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> dict[str, object]:
        """Return the options of the command line; what is left empty is left to the engine."""
        given = {name for name in ("EPOCHS", "MINUTES") if parameters.get(name) is not None}
        return {
            "network": self.parameterAsEnumString(parameters, "NETWORK", context),
            "fusion": self.parameterAsEnumString(parameters, "FUSION", context),
            "base": self.parameterAsFile(parameters, "BASE_FILE", context)
            or self.parameterAsString(parameters, "BASE", context),
            "epochs": self.parameterAsInt(parameters, "EPOCHS", context)
            if "EPOCHS" in given
            else None,
            "minutes": self.parameterAsDouble(parameters, "MINUTES", context)
            if "MINUTES" in given
            else None,
            "stage1": "on" if self.parameterAsBool(parameters, "STAGE1", context) else "off",
            "validation": self.parameterAsEnumString(parameters, "VALIDATION", context),
            "seed": self.parameterAsInt(parameters, "SEED", context),
            "device": self.parameterAsString(parameters, "DEVICE", context),
            "overwrite": True,
        }


def _values(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs beside the file; a figure that does not exist is left out."""
    accuracy = summary["accuracy"] or {}
    numbers = {name: accuracy.get(key) for name, key in _NUMBERS.items()}
    return {
        **{name: value for name, value in numbers.items() if value is not None},
        "SUMMARY": json.dumps(summary, ensure_ascii=False),
    }


def _fault_of_samples(parameters: dict[str, Any]) -> str:
    """Return a sentence unless the samples come from one place."""
    given = [name for name in SAMPLE_SOURCES if parameters.get(name)]
    if len(given) != 1:
        found = "More than one kind of samples is given" if given else "No samples are given"
        return (
            f"{found}, and one is needed. Choose a layer of points or polygons in “Samples”, a "
            "raster in “Label raster” or a file in “Label array”, and leave the others empty."
        )
    return ""


def _stamp(path: str) -> tuple[int, int]:
    """Return what tells a file from another that replaces it; (0, 0) where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino


def _left(target: str, before: tuple[int, int], feedback: QgsProcessingFeedback) -> str:
    """Return what a cancelled training has left, in words; have its model offered if there is one.

    A file of the same name from an earlier run is not taken for this one's.
    """
    if _stamp(target) in (before, (0, 0)):
        return "Cancelled before there was a model: nothing was written."
    _offer(target, feedback)
    return _KEPT.format(target)


def _offer(path: str, feedback: QgsProcessingFeedback) -> None:
    """Have the tools offer the model under “Model”."""
    remember_trained_model(path)
    feedback.pushInfo(f"“Classify land cover (MS + PAN)” offers it under “Model”: {path}")
    if Path(path).is_relative_to(QgsProcessingUtils.tempFolder()):
        feedback.pushWarning(
            "The model lies in a temporary folder and goes when QGIS is closed. Copy the file to "
            "keep it, and choose it in “Model file of your own”."
        )
