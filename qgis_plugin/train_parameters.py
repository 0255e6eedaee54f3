"""The parameters of ``panloom:train``, each with its help."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
)

from .parameters import (
    device_parameter,
    model_parameters,
    ms_parameter,
    pan_parameter,
    with_help,
)

SAMPLE_SOURCES = ("SAMPLES", "SAMPLES_RASTER", "SAMPLES_FILE")
"""The parameters of which exactly one gives the samples."""

NETWORKS = ("adcdnet", "adcdnet_patch", "cafmnet", "danet", "dsnet", "mscn")
FUSIONS = ("cafm", "concat", "dual_attention", "gated", "msaf", "msc", "sum")
VALIDATIONS = ("blocks", "random", "none")


def train_parameters() -> list[QgsProcessingParameterDefinition]:
    """Return every parameter, in the order of the dialog."""
    return [ms_parameter(), pan_parameter(), *_samples(), *_base(), *_length(), *_special(), _out()]


def _samples() -> list[QgsProcessingParameterDefinition]:
    kinds = [QgsProcessing.TypeVectorPoint, QgsProcessing.TypeVectorPolygon]
    return [
        with_help(
            QgsProcessingParameterFeatureSource("SAMPLES", "Samples", kinds, optional=True),
            "Polygons or points whose class is known, in any CRS: several of each class, spread "
            "over the scene. With “Selected features only” just the selection counts; edits that "
            "are not saved yet count too. Leave it empty for a label raster.",
        ),
        with_help(
            QgsProcessingParameterField(
                "CLASS_FIELD", "Class field", parentLayerParameterName="SAMPLES", optional=True
            ),
            "The field of the samples with the class, as name or as code 1 … 254. Left empty it is "
            "class_code, as in Panloom's own polygons.",
        ),
        with_help(
            QgsProcessingParameterRasterLayer("SAMPLES_RASTER", "Label raster", optional=True),
            "Instead of samples: a raster with class codes 1 … 254 where the class is known and 0 "
            "elsewhere.",
        ),
        with_help(
            QgsProcessingParameterFile(
                "SAMPLES_FILE",
                "Label array",
                optional=True,
                fileFilter="Label arrays (*.npy *.mat)",
            ),
            "Instead of samples: a .npy or .mat file with an array of class codes, 0 where the "
            "class is not known, one for each pixel of the MS.",
            advanced=True,
        ),
    ]


def _base() -> list[QgsProcessingParameterDefinition]:
    base, own = model_parameters(optional=True, name="BASE", title="Base model")
    own.setFileFilter("Models (*.safetensors)")  # an ONNX network cannot be trained further
    return [
        with_help(
            base,
            "The model to start from: far fewer samples and less time are needed where it was "
            "trained on imagery like this. The bands and the ratio of the pair have to be its own. "
            "Left empty, a new model is trained from the samples alone.",
        ),
        with_help(own, "A .safetensors file to start from, instead of “Base model”."),
    ]


def _length() -> list[QgsProcessingParameterDefinition]:
    whole, real = QgsProcessingParameterNumber.Integer, QgsProcessingParameterNumber.Double
    return [
        with_help(
            QgsProcessingParameterNumber(
                "MINUTES", "Time limit (minutes)", real, optional=True, minValue=0.01
            ),
            "Training ends after this long with the best model so far. Left empty, it ends when "
            "the model does not get better. Cancel keeps the best so far too.",
        ),
        with_help(
            QgsProcessingParameterNumber("EPOCHS", "Epochs", whole, optional=True, minValue=1),
            "The most epochs to train for; each ends with a line of loss and accuracy in the log.",
            advanced=True,
        ),
    ]


def _special() -> list[QgsProcessingParameterDefinition]:
    return [
        with_help(
            _choice("NETWORK", "Network", NETWORKS),
            "The architecture of a new model. Left empty, that of the base model, or else adcdnet.",
            advanced=True,
        ),
        with_help(
            _choice("FUSION", "Fusion", FUSIONS),
            "How adcdnet joins the features of MS and PAN. Left empty, the network's own.",
            advanced=True,
        ),
        with_help(
            QgsProcessingParameterBoolean("STAGE1", "Learn from unlabelled pixels first", False),
            "Stage I: the network first learns what MS and PAN have in common from every pixel of "
            "the scene, without samples.",
            advanced=True,
        ),
        with_help(
            QgsProcessingParameterEnum(
                "VALIDATION",
                "Validation",
                list(VALIDATIONS),
                defaultValue="blocks",
                usesStaticStrings=True,
            ),
            "How the accuracy in the log is measured, and the best model chosen. blocks: on areas "
            "that are kept apart from training, with a margin. random: on samples taken at "
            "random, which flatters, since neighbors are alike. none: every sample is trained on.",
            advanced=True,
        ),
        with_help(
            QgsProcessingParameterNumber(
                "SEED", "Seed", QgsProcessingParameterNumber.Integer, 0, minValue=0
            ),
            "Another number gives another training; the same number the same one on a CPU.",
            advanced=True,
        ),
        device_parameter(),
    ]


def _choice(name: str, title: str, values: tuple[str, ...]) -> QgsProcessingParameterEnum:
    return QgsProcessingParameterEnum(
        name, title, list(values), optional=True, usesStaticStrings=True
    )


def _out() -> QgsProcessingParameterDefinition:
    return with_help(
        QgsProcessingParameterFileDestination(
            "OUTPUT", "Trained model", "Model files (*.safetensors)"
        ),
        "The model: one file with weights, bands, classes and how it was trained. “Classify land "
        "cover” offers it under “Model” afterwards.",
    )
