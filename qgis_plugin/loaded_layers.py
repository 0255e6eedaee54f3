"""Names, styles and the order of the layers that a run adds to the project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from qgis.core import (
    QgsColorRampShader,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsRasterLayer,
    QgsRasterShader,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtGui import QColor

ROLES = ("polygons", "map", "confidence")
"""From the top of the layer tree to the bottom."""

CONFIDENCE_COLORS = (
    (0.0, "#2d1e4f"),
    (40.0, "#7a3b6e"),
    (60.0, "#c4617a"),
    (80.0, "#f0a06a"),
    (100.0, "#fff3c4"),
)
"""Percent and color; half of the steps lie above 60 %, where most pixels are."""

# QGIS keeps no reference to a post-processor written in Python; they stay alive here until used.
_waiting: set[_Finish] = set()


@dataclass(frozen=True)
class LayerOutput:
    """A layer that a run writes: its role, file, the output's own title, scene and style file."""

    role: str
    path: str
    title: str
    scene: str
    style: str = ""


class LayerGroup:
    """The layers of one run: they are put in order once the last of them has been added."""

    def __init__(self) -> None:
        self._layers: list[tuple[str, str]] = []

    def add(self, context: QgsProcessingContext, output: LayerOutput) -> None:
        """Have the layer of ``output`` named and styled if the run loads it.

        The context is that of the algorithm's thread: it is gone when the layers are loaded. A name
        that the user or a model gave is kept.
        """
        if not context.willLoadLayerOnCompletion(output.path):
            return
        details = context.layerToLoadOnCompletionDetails(output.path)
        if details.name in ("", output.title):
            details.name = f"{output.title} ({output.scene})"
        finish = _Finish(self, output)
        _waiting.add(finish)
        details.setPostProcessor(finish)

    def added(self, role: str, layer_id: str, project: QgsProject) -> None:
        """Take note of a layer; the tree is put in order when QGIS is done with adding."""
        self._layers.append((role, layer_id))
        QTimer.singleShot(0, lambda: _arrange(project, dict(self._layers)))


class _Finish(QgsProcessingLayerPostProcessorInterface):
    def __init__(self, group: LayerGroup, output: LayerOutput) -> None:
        super().__init__()
        self._group, self._output = group, output

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Called by QGIS for the loaded layer."""
        if self._output.style:
            layer.loadNamedStyle(self._output.style)
        elif self._output.role == "confidence" and isinstance(layer, QgsRasterLayer):
            _style_confidence(layer)
        layer.triggerRepaint()
        self._group.added(self._output.role, layer.id(), context.project() or QgsProject.instance())
        QTimer.singleShot(0, lambda: _waiting.discard(self))


def _style_confidence(layer: QgsRasterLayer) -> None:
    """Show 0 … 100 percent from dark to bright, without stretching to the scene."""
    colors = QgsColorRampShader(0.0, 100.0)
    colors.setColorRampType(QgsColorRampShader.Interpolated)
    colors.setColorRampItemList(
        [
            QgsColorRampShader.ColorRampItem(percent, QColor(color), f"{percent:.0f} %")
            for percent, color in CONFIDENCE_COLORS
        ]
    )
    shader = QgsRasterShader(0.0, 100.0)
    shader.setRasterShaderFunction(colors)
    layer.setRenderer(QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1, shader))


def _arrange(project: QgsProject, ids: dict[str, str]) -> None:
    """Put polygons above the class map above the confidence; the confidence starts hidden."""
    nodes = {role: project.layerTreeRoot().findLayer(layer_id) for role, layer_id in ids.items()}
    present = [nodes[role] for role in ROLES if nodes.get(role) is not None]
    if "confidence" in nodes and len(present) > 1 and nodes["confidence"] is not None:
        nodes["confidence"].setItemVisibilityChecked(False)
    parent = _only_parent(present)
    if parent is None:
        return
    order = parent.children()
    top = min(order.index(node) for node in present)
    for offset, node in enumerate(present):
        parent.insertChildNode(top + offset, node.clone())
    for node in present:
        parent.removeChildNode(node)


def _only_parent(nodes: list[Any]) -> Optional[Any]:
    parents = {id(node.parent()): node.parent() for node in nodes}
    return next(iter(parents.values())) if len(parents) == 1 and len(nodes) > 1 else None
