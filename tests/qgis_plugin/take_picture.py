"""Makes the picture of the README: ``python -m tests.qgis_plugin.take_picture DATA OUT.png``.

DATA is the folder of real imagery. The scene (Landsat-7, public domain) has no CRS; a copy with
pixels of 30 and 15 units, north up, is classified within a slanted half, so that the imagery shows
beside the map.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import geopandas
import rasterio
import shapely
from PIL import Image
from rasterio.transform import from_origin

from .qgis_runner import QgisRunner

ROOT = Path(__file__).resolve().parents[2]
SCENE = "33"
MS_PX_UNITS = 30.0


def main(data: Path, picture: Path) -> None:
    """Classify the scene in a QGIS window and keep its picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = data / "landsat7_pairs"
        ms = north_up(pairs / f"{SCENE}_ms.tif", folder / "landsat7.tif", MS_PX_UNITS)
        pan_source = pairs / f"{SCENE}_pan_aligned.tif"
        pan = north_up(pan_source, folder / "landsat7_pan.tif", MS_PX_UNITS / 2)
        parameters = {
            "MS": str(ms),
            "PAN": str(pan),
            "AOI": str(slanted_half(ms, folder / "area.gpkg")),
            "MMU": 4000,
            "SIMPLIFY": 15,
        }
        scenario = {
            "algorithm": "panloom:classify",
            "parameters": parameters,
            "background": str(ms),
            "screenshot": str(picture.absolute()),
            "report": str(folder / "report.json"),
            "tidy": True,
            "size": [1200, 760],
        }
        plan = folder / "scenario.json"
        plan.write_text(json.dumps(scenario), encoding="utf-8")
        runner = QgisRunner("qgis_process.bin", folder / "profile", ROOT)
        runner.process("plugins", "enable", "panloom")
        done = runner.window(
            Path(__file__).with_name("window_script.py"), PANLOOM_SCENARIO=str(plan)
        )
        report = json.loads(Path(scenario["report"]).read_text(encoding="utf-8"))
        if not report.get("successful"):
            sys.exit(report.get("traceback") or report.get("log") or done.stderr)
    with Image.open(picture) as image:
        packed = image.convert("RGB")
    packed.save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


def north_up(source: Path, target: Path, pixel: float) -> Path:
    """Copy a raster, placing its top left corner at (0, 0) with north up."""
    with rasterio.open(source) as dataset:
        profile = {**dataset.profile, "transform": from_origin(0, 0, pixel, pixel)}
        with rasterio.open(target, "w", **profile) as copy:
            copy.write(dataset.read())
            copy.descriptions = dataset.descriptions
    return target


def slanted_half(raster: Path, target: Path) -> Path:
    """Write the right half of a raster's extent, cut by a slanted line."""
    with rasterio.open(raster) as dataset:
        left, bottom, right, top = dataset.bounds
    cut = [left + (right - left) * share for share in (0.45, 0.22)]
    half = shapely.Polygon([(cut[0], top), (right, top), (right, bottom), (cut[1], bottom)])
    geopandas.GeoDataFrame(geometry=[half]).to_file(target)
    return target


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
