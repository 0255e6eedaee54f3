"""QGIS styles, read by QGIS itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from panloom.engine.style import write_polygon_style, write_raster_style
from panloom.models.classes import ClassScheme, LandClass

SCHEME = ClassScheme(
    (
        LandClass(12, "Wald & <Wiese> \"é\"", "#1b7837"),
        LandClass(1, "water", "#2c7fb8"),
    )
)  # fmt: skip
EXPECTED = [["1", "water", "#2c7fb8"], ["12", "Wald & <Wiese> \"é\"", "#1b7837"]]  # fmt: skip

_IN_QGIS = """
import json, sys
from qgis.core import QgsApplication, QgsRasterLayer, QgsVectorLayer
app = QgsApplication([], False)
app.initQgis()
def look(raster_path, raster_style, vector_path, vector_style):
    raster, vector = QgsRasterLayer(raster_path, "r"), QgsVectorLayer(vector_path, "v")
    loaded = [raster.loadNamedStyle(raster_style)[1], vector.loadNamedStyle(vector_style)[1]]
    return {
        "loaded": loaded,
        "raster": [[str(int(c.value)), c.label, c.color.name()]
                   for c in raster.renderer().classes()],
        "vector": [[str(c.value()), c.label(), c.symbol().color().name()]
                   for c in vector.renderer().categories()],
        "attribute": vector.renderer().classAttribute(),
        "kinds": [raster.renderer().type(), vector.renderer().type()],
    }
print("RESULT " + json.dumps(look(*sys.argv[1:])))
app.exitQgis()
"""


def _qgis(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return subprocess.run(
        ["/usr/bin/python3", "-c", script, *arguments],
        env=kept | {
            "PATH": "/usr/bin:/bin", "QT_QPA_PLATFORM": "offscreen", "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(runtime), "PYTHONUTF8": "1",
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_qgis_shows_the_names_and_colors_of_the_classes(tmp_path):
    if not Path("/usr/bin/python3").exists() or _qgis(tmp_path, "import qgis.core").returncode:
        pytest.skip("needs QGIS: /usr/bin/python3 cannot import qgis.core")
    with rasterio.open(
        tmp_path / "map.tif", "w", driver="GTiff", dtype="uint8", count=1, width=3, height=1,
        nodata=0, crs="EPSG:32632", transform=rasterio.Affine(1, 0, 0, 0, -1, 0),
    ) as dataset:  # fmt: skip
        dataset.write(np.array([[0, 1, 12]], dtype=np.uint8), 1)
    frame = geopandas.GeoDataFrame(
        {"class_code": [1, 12]}, geometry=[shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)],
        crs="EPSG:32632",
    )  # fmt: skip
    frame.to_file(tmp_path / "map.fgb")
    write_raster_style(tmp_path / "raster.qml", SCHEME)
    write_polygon_style(tmp_path / "vector.qml", SCHEME)
    names = ("map.tif", "raster.qml", "map.fgb", "vector.qml")
    done = _qgis(tmp_path, _IN_QGIS, *(str(tmp_path / name) for name in names))
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stderr
    result = json.loads(lines[0].removeprefix("RESULT "))
    assert result["loaded"] == [True, True]
    assert result["kinds"] == ["paletted", "categorizedSymbol"]
    assert result["raster"] == EXPECTED
    assert result["vector"] == EXPECTED
    assert result["attribute"] == "class_code"


def test_styles_are_xml_without_an_entry_for_nodata(tmp_path):
    write_raster_style(tmp_path / "r.qml", SCHEME)
    write_polygon_style(tmp_path / "v.qml", SCHEME)
    palette = ET.parse(tmp_path / "r.qml").getroot().findall("pipe/rasterrenderer//paletteEntry")
    assert [[e.get("value"), e.get("label"), e.get("color")] for e in palette] == EXPECTED
    categories = ET.parse(tmp_path / "v.qml").getroot().findall("renderer-v2/categories/category")
    assert [[c.get("value"), c.get("label")] for c in categories] == [e[:2] for e in EXPECTED]
