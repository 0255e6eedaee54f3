"""Class names from wherever a raster keeps them."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from panloom.engine.class_map import ClassMapWriter, MapPaths
from panloom.engine.grid import Grid
from panloom.engine.labels.class_names import class_names
from panloom.models.classes import ClassScheme, LandClass

SCHEME = ClassScheme((LandClass(2, "Water", "#2277cc"), LandClass(5, "Forest", "#117733")))
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def names_of(path):
    with rasterio.open(path) as dataset:
        return class_names(dataset)


def test_a_class_map_of_panloom_names_its_classes(tmp_path):
    path = tmp_path / "map.tif"
    grid = Grid(None, rasterio.Affine.identity(), 8, 6)
    codes = np.full(grid.shape, 5, np.uint8)
    with ClassMapWriter(MapPaths(path), grid, SCHEME, {}) as writer:
        writer.write(grid.window, codes, codes)
    assert names_of(path) == {2: "Water", 5: "Forest"}


TABLE = """<GDALRasterAttributeTable tableType="thematic">
<FieldDefn index="0"><Name>V</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
<FieldDefn index="1"><Name>N</Name><Type>1</Type><Usage>1</Usage></FieldDefn>
<FieldDefn index="2"><Name>L</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
<Row index="0"><F>0</F><F>9</F><F></F></Row>
<Row index="1"><F>3</F><F>9</F><F>Bog</F></Row>
<Row index="2"><F>4.0</F><F>9</F><F>Sea</F></Row>
</GDALRasterAttributeTable>"""
CATEGORIES = """<CategoryNames><Category></Category><Category>Ash</Category><Category>Oak</Category>
</CategoryNames>"""


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (CATEGORIES, {1: "Ash", 2: "Oak"}),
        (TABLE, {3: "Bog", 4: "Sea"}),
        (TABLE.replace("<Usage>2</Usage>", "<Usage>0</Usage>"), {}),
        ("", {}),
        ("<broken", {}),
    ],
)
def test_names_stand_in_gdal_s_sidecar(write_raster, inside, expected):
    path = write_raster("r.tif", np.ones((4, 5), np.uint8))
    with open(f"{path}.aux.xml", "w", encoding="utf-8") as file:
        file.write(f'<PAMDataset><PAMRasterBand band="1">{inside}</PAMRasterBand></PAMDataset>')
    assert names_of(path) == expected
