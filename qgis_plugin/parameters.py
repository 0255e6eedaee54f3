"""Parameters that several algorithms share, each with its help."""

from __future__ import annotations

from typing import TypeVar

from qgis.core import (
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from ..models.card import CardError
from ..models.file import shipped_models
from .settings import trained_models

Parameter = TypeVar("Parameter", bound=QgsProcessingParameterDefinition)

RUNTIMES = ("auto", "torch", "onnxruntime", "openvino")


def with_help(parameter: Parameter, text: str, advanced: bool = False) -> Parameter:
    """Return ``parameter`` with its help, and filed under the advanced ones if asked."""
    parameter.setHelp(text)
    if advanced:
        parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
    return parameter


def ms_parameter() -> QgsProcessingParameterRasterLayer:
    """Return the parameter of the multispectral raster."""
    return with_help(
        QgsProcessingParameterRasterLayer("MS", "Multispectral raster (MS)"),
        "The raster with the color and infrared bands, at its own, coarser resolution. Its bands "
        "are needed in the model's order. One file per band? Join them first with Raster → "
        "Miscellaneous → Build Virtual Raster, “Place each input file into a separate band” on.",
    )


def pan_parameter() -> QgsProcessingParameterRasterLayer:
    """Return the parameter of the panchromatic raster."""
    return with_help(
        QgsProcessingParameterRasterLayer("PAN", "Panchromatic raster (PAN)"),
        "The raster with one fine band of the same scene. No pan-sharpening is needed first. Other "
        "CRS, extent or origin than the MS are fine.",
    )


def model_parameters(
    optional: bool = False, name: str = "MODEL", title: str = "Model"
) -> list[QgsProcessingParameterDefinition]:
    """Return ``name``, a model's name or path, and ``name``_FILE, which goes before it."""
    shipped = _shipped_names()
    default = None if optional else (shipped[0] if shipped else "landsat-5class")
    model = QgsProcessingParameterString(name, title, default, optional=optional)
    model.setMetadata({"widget_wrapper": {"value_hints": [*shipped, *trained_models()]}})
    with_help(
        model,
        "The model that classifies: one that comes with Panloom, or one that “Train a model” made "
        "here. From scripts and qgis_process the path of a model's file is taken here too.",
    )
    own = QgsProcessingParameterFile(
        f"{name}_FILE",
        f"{title} file of your own",
        optional=True,
        fileFilter="Models (*.safetensors *.onnx)",
    )
    text = (
        "A .safetensors file written by Panloom, or a network of your own: an .onnx file with its "
        f"card (.json) beside it. It is used instead of “{title}”."
    )
    return [model, with_help(own, text, advanced=True)]


def device_parameter() -> QgsProcessingParameterString:
    """Return the parameter of the device that the network runs on."""
    device = QgsProcessingParameterString("DEVICE", "Device", "auto")
    device.setMetadata({"widget_wrapper": {"value_hints": ["auto", "cpu", "cuda", "mps"]}})
    return with_help(
        device,
        "auto takes the GPU where the engine has one and says in the log which device and why. "
        "From scripts, cuda:1 names the second GPU.",
        advanced=True,
    )


def runtime_parameter() -> QgsProcessingParameterEnum:
    """Return the parameter of the software that computes the network."""
    runtime = QgsProcessingParameterEnum(
        "RUNTIME", "Runtime", list(RUNTIMES), defaultValue="auto", usesStaticStrings=True
    )
    return with_help(
        runtime,
        "What computes the network: auto takes ONNX Runtime for large maps on a CPU, where it is "
        "faster, and torch otherwise; the log says which and why. openvino has to be installed "
        "into the engine's Python by hand.",
        advanced=True,
    )


def polygon_parameters() -> list[QgsProcessingParameterDefinition]:
    """Return MMU and SIMPLIFY, which shape polygons."""
    mmu = with_help(
        QgsProcessingParameterNumber(
            "MMU",
            "Minimum mapping unit of the polygons (m²)",
            QgsProcessingParameterNumber.Double,
            0.0,
            minValue=0.0,
        ),
        "Polygons smaller than this many square meters are merged into the neighbor with which "
        "they share the longest border. 0 keeps every one. The raster stays as it is.",
    )
    simplify = with_help(
        QgsProcessingParameterNumber(
            "SIMPLIFY",
            "Simplification of the polygons (m)",
            QgsProcessingParameterNumber.Double,
            0.0,
            minValue=0.0,
        ),
        "Smooths the stair-steps of pixels within this tolerance, in meters in any CRS. Neighbors "
        "keep their common border: no gaps, no overlaps. One to two PAN pixels is a good start.",
    )
    return [mmu, simplify]


def _shipped_names() -> list[str]:
    try:
        return [card.name for _, card in shipped_models()]
    except CardError:
        # A damaged file must not keep the toolbox from loading; the run itself says what is wrong.
        return []
