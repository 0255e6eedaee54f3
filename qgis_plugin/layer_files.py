"""From QGIS's layers to the files that the engine opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from qgis.core import (
    QgsFeatureRequest,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingUtils,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
)

_FORMATS = ["gpkg", "fgb", "shp", "geojson"]


def raster_file(
    algorithm: QgsProcessingAlgorithm,
    parameters: dict[str, Any],
    name: str,
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
) -> str:
    """Return what GDAL opens for a raster parameter, or nothing where it is left out.

    Raises QgsProcessingException for a layer that is no GDAL raster; warns of what QGIS knows about
    the layer and the engine, which reads the file, does not.
    """
    layer = algorithm.parameterAsRasterLayer(parameters, name, context)
    if layer is None:
        if parameters.get(name) is None:
            return ""
        raise QgsProcessingException(algorithm.invalidRasterError(parameters, name))
    if layer.providerType() != "gdal":
        raise QgsProcessingException(
            f"The layer “{layer.name()}” comes from “{layer.providerType()}”, and the engine reads "
            "raster files only.\nSave it first: right-click the layer → Export → Save As… → "
            "GeoTIFF with raw data. Then choose the new layer."
        )
    _warn_of_layer_settings(layer, feedback)
    return _gdal_name(layer.source())


def vector_file(
    algorithm: QgsProcessingAlgorithm,
    parameters: dict[str, Any],
    name: str,
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
    field: str = "",
) -> str:
    """Return a file with the features of a vector parameter, or nothing where it is left out.

    A layer that is a file of its own is used as it is. Anything else (a selection, a filter, a
    database, a scratch layer, one of several layers in a file, a CRS that only QGIS knows, a
    ``field`` that is joined or virtual, edits that are not saved) goes to a temporary GeoPackage.
    """
    if not parameters.get(name):
        return ""
    layer = _vector_layer(algorithm, parameters, name, context)
    if layer is not None and layer.isModified():
        source = algorithm.parameterAsSource(parameters, name, context)
        return _edited_copy(layer, source, name, context, feedback)
    path, layer_name = algorithm.parameterAsCompatibleSourceLayerPathAndLayerName(
        parameters, name, context, _FORMATS, "gpkg", feedback
    )
    if not path:
        raise QgsProcessingException(algorithm.invalidSourceError(parameters, name))
    source = algorithm.parameterAsSource(parameters, name, context)
    if not _holds(path, layer_name, source, field):
        # No format is compatible: QGIS has to write the layer, as it shows it, to a file.
        path = algorithm.parameterAsCompatibleSourceLayerPath(
            parameters, name, context, ["none"], "gpkg", feedback
        )
    if Path(path).stem == name:
        _tell_of_copy(path, source, feedback)
    return path


def _gdal_name(source: str) -> str:
    """Return the name that GDAL opens: a layer's source without QGIS's own options."""
    if "|" not in source:
        return source
    parts = QgsProviderRegistry.instance().decodeUri("gdal", source)
    return str(parts.get("path") or source)


def _warn_of_layer_settings(layer: QgsRasterLayer, feedback: QgsProcessingFeedback) -> None:
    provider = layer.dataProvider()
    in_file = provider.crs()
    if layer.crs() != in_file:
        feedback.pushWarning(
            f"“{layer.name()}” is shown in {_crs_name(layer.crs())}, and its file says "
            f"{_crs_name(in_file)}. The engine goes by the file; to change the file use "
            "Raster → Projections → Assign Projection."
        )
    if any(provider.userNoDataValues(band) for band in range(1, layer.bandCount() + 1)):
        feedback.pushWarning(
            f"The additional no-data values of “{layer.name()}” are a setting of the layer; the "
            "engine does not see them. Save the layer to a file to make them count."
        )


def _crs_name(crs: Any) -> str:
    return crs.authid() or "a CRS of its own" if crs.isValid() else "no CRS"


def _vector_layer(
    algorithm: QgsProcessingAlgorithm,
    parameters: dict[str, Any],
    name: str,
    context: QgsProcessingContext,
) -> Optional[QgsVectorLayer]:
    """Return the layer behind a vector parameter, also behind “Selected features only”."""
    value = parameters[name]
    if isinstance(value, QgsProcessingFeatureSourceDefinition):
        value = value.source
    return algorithm.parameterAsVectorLayer({**parameters, name: value}, name, context)


def _edited_copy(
    layer: QgsVectorLayer,
    source: QgsProcessingFeatureSource,
    name: str,
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
) -> str:
    """Write what QGIS shows of a layer in editing, which its file does not hold yet."""
    # A feature that is not saved has a placeholder as its key, which no other file takes.
    keys = layer.primaryKeyAttributes()
    kept = [index for index in layer.attributeList() if index not in keys]
    shown = source.materialize(QgsFeatureRequest().setSubsetOfAttributes(kept))
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    path = QgsProcessingUtils.generateTempFilename(f"{name}.gpkg")
    error, *texts = QgsVectorFileWriter.writeAsVectorFormatV3(
        shown, path, context.transformContext(), options
    )
    if error != QgsVectorFileWriter.NoError:
        raise QgsProcessingException(
            f"The edits of “{source.sourceName()}” could not be copied: {texts[0]}\n"
            "Save them first: Layer → Save Layer Edits."
        )
    feedback.pushInfo(f"The edits of “{source.sourceName()}” that are not saved yet count too.")
    _tell_of_copy(path, source, feedback)
    return str(path)


def _tell_of_copy(
    path: str, source: QgsProcessingFeatureSource, feedback: QgsProcessingFeedback
) -> None:
    feedback.pushInfo(
        f"The engine reads a temporary copy of “{source.sourceName()}”; what it writes calls "
        f"it {Path(path).name}."
    )


def _holds(path: str, layer_name: str, source: QgsProcessingFeatureSource, field: str) -> bool:
    """Say whether a file holds what QGIS shows of it: one layer, the same CRS, the field."""
    options = QgsVectorLayer.LayerOptions()
    options.skipCrsValidation = True  # QGIS may ask for a missing CRS, and this is no place to ask
    layer = QgsVectorLayer(path, "", "ogr", options)
    if not layer.isValid():
        return True
    if layer_name and len(layer.dataProvider().subLayers()) > 1:
        return False
    same_crs = layer.dataProvider().crs() == source.sourceCrs()
    return bool(same_crs and (not field or layer.fields().lookupField(field) >= 0))
