"""Names, styles and the order of the layers that a run adds to the project."""

from __future__ import annotations

import collections
from typing import Any, Optional

from qgis.core import (
    QgsColorRampShader,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsRasterLayer,
    QgsSingleBandPseudoColorRenderer,
    QgsStyle,
)
from qgis.PyQt.QtCore import QTimer

ROLES = ("polygons", "map", "confidence")
"""From the top of the layer tree to the bottom."""

# QGIS keeps no reference to a post-processor written in Python; the last ones stay alive here.
_alive: collections.deque[_Finish] = collections.deque(maxlen=300)


class LayerGroup:
    """The layers of one run: they are put in order once the last of them has been added."""

    def __init__(self, context: QgsProcessingContext) -> None:
        self._context = context
        self._layers: list[tuple[str, str]] = []

    def add(self, role: str, destination: str, title: str, of: str, style: str = "") -> None:
        """Have the layer in ``destination`` named and styled if the run loads it.

        ``title`` is the output's own title; a name that the user or a model gave is kept.
        """
        if not self._context.willLoadLayerOnCompletion(destination):
            return
        details = self._context.layerToLoadOnCompletionDetails(destination)
        if details.name in ("", title):
            details.name = f"{title} ({of})" if of else title
        finish = _Finish(self, role, style)
        _alive.append(finish)
        details.setPostProcessor(finish)

    def added(self, role: str, layer_id: str) -> None:
        """Take note of a layer; the tree is put in order when QGIS is done with adding."""
        self._layers.append((role, layer_id))
        project = self._context.project() or QgsProject.instance()
        QTimer.singleShot(0, lambda: _arrange(project, dict(self._layers)))


class _Finish(QgsProcessingLayerPostProcessorInterface):
    def __init__(self, group: LayerGroup, role: str, style: str) -> None:
        super().__init__()
        self._group, self._role, self._style = group, role, style

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Called by QGIS for the loaded layer."""
        if self._style:
            layer.loadNamedStyle(self._style)
        elif self._role == "confidence" and isinstance(layer, QgsRasterLayer):
            _style_confidence(layer)
        layer.triggerRepaint()
        self._group.added(self._role, layer.id())


def _style_confidence(layer: QgsRasterLayer) -> None:
    """Show 0 … 100 percent from dark to bright, without stretching to the scene."""
    renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1)
    renderer.setClassificationMin(0.0)
    renderer.setClassificationMax(100.0)
    ramp = QgsStyle.defaultStyle().colorRamp("Viridis")
    renderer.createShader(ramp, QgsColorRampShader.Interpolated, QgsColorRampShader.Continuous)
    layer.setRenderer(renderer)


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
