"""The picture with errors: size, place and color of what it shows."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import MemoryFile

from panloom.engine.assessment.error_picture import SIDE_PX, ErrorPicture
from panloom.engine.assessment.reference import Pairs
from panloom.engine.grid import Grid
from panloom.engine.labels.tally import Labels
from panloom.models.classes import ClassScheme, LandClass

SCHEME = ClassScheme((LandClass(1, "Water", "#2060c0"), LandClass(2, "Forest", "#108040")))
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def picture(tmp_path, codes, samples, as_points=False, north=-10):
    """Return (h, w, 3) of the picture of ``codes`` with (row, col, reference, map) samples."""
    height, width = codes.shape
    crs, transform = CRS.from_epsg(32630), Affine(10, 0, 5e5, 0, north, 5e6)
    with rasterio.open(
        tmp_path / "m.tif", "w", driver="GTiff", width=width, height=height, count=1,
        dtype="uint8", nodata=0, crs=crs, transform=transform,
    ) as dataset:  # fmt: skip
        dataset.write(codes, 1)
    drawn = ErrorPicture(Grid(crs, transform, width, height), SCHEME, as_points=as_points)
    row, col, reference, mapped = np.array(samples).T
    labels = Labels(row, col, reference.astype(np.uint8), np.full(len(row), -1))
    drawn.add(Pairs(labels, mapped.astype(np.uint8), height))
    with MemoryFile(drawn.png(str(tmp_path / "m.tif"))) as memory, memory.open() as image:
        assert image.driver == "PNG"
        return image.read().transpose(1, 2, 0), drawn.error_color


def test_right_samples_have_full_color_and_wrong_ones_the_error_color(tmp_path):
    codes = np.ones((10, 20), np.uint8)
    codes[:, 10:] = 2
    codes[9] = 0
    image, error = picture(tmp_path, codes, [(2, 3, 1, 1), (4, 15, 1, 2), (9, 0, 1, 0)])
    assert image.shape == (500, 1000, 3)
    cells = image[25::50, 25::50]
    assert tuple(cells[2, 3]) == (0x20, 0x60, 0xC0)
    assert tuple(cells[4, 15]) == error
    assert (cells[5, 5] > 150).sum() == 3 > (cells[5, 5] > 240).sum()  # pale blue
    assert len(np.unique(cells[9].reshape(-1, 3), axis=0)) == 1  # nodata, even below a sample


def test_points_become_marks_on_their_places(tmp_path):
    codes = np.ones((400, 400), np.uint8)
    image, error = picture(tmp_path, codes, [(100, 50, 1, 1), (300, 200, 2, 1), (0, 0, 1, 1)], True)
    assert image.shape == (800, 800, 3)
    assert tuple(image[201, 101]) == (0x20, 0x60, 0xC0)
    assert tuple(image[601, 401]) == error
    rows, cols = np.nonzero((image == error).all(axis=2))
    assert (rows.mean(), cols.mean()) == (601, 401)


def test_a_large_map_is_read_small(tmp_path):
    codes = np.ones((2500, 30), np.uint8)
    image, error = picture(tmp_path, codes, [(2499, 29, 2, 1), (0, 0, 1, 1)])
    assert max(image.shape) <= SIDE_PX
    assert image.shape == (834, 10, 3)
    assert tuple(image[-1, -1]) == error


def test_a_map_whose_rows_run_north_is_shown_with_north_up(tmp_path):
    codes = np.ones((10, 10), np.uint8)
    image, error = picture(tmp_path, codes, [(0, 0, 2, 1)], north=10)
    assert tuple(image[-1, 0]) == error


def test_errors_keep_apart_from_the_classes():
    grid = Grid(None, Affine.identity(), 4, 4)
    pink = ClassScheme((LandClass(1, "a", "#e6007e"), LandClass(2, "b", "#000000")))
    color = ErrorPicture(grid, pink, as_points=False).error_color
    assert min(np.linalg.norm(np.subtract(color, c.rgb)) for c in pink.classes) > 120
