"""Pages appended to every kind of TIFF that GDAL writes, as GDAL reads them."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from panloom.engine.tiff_pages import Page, append_pages

TRANSFORM = Affine(2, 0, 0, 0, -2, 0)


def write(path, raster, **options):
    with rasterio.open(
        path, "w", driver="GTiff", width=raster.shape[1], height=raster.shape[0], count=1,
        dtype="uint8", tiled=True, blockxsize=64, blockysize=64, transform=TRANSFORM, **options,
    ) as dataset:  # fmt: skip
        if "nodata" in options:
            dataset.write_colormap(1, {3: (10, 20, 30, 255), 4: (40, 50, 60, 255)})
        dataset.write(raster, 1)


def page_of(path):
    """Return the first image of ``path`` as a page."""
    with rasterio.open(path) as dataset:
        rows, cols = -(-dataset.height // 64), -(-dataset.width // 64)
        places = [
            tuple(
                int(dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1))
                for what in ("OFFSET", "SIZE")
            )
            for row in range(rows)
            for col in range(cols)
        ]
        return Page(dataset.width, dataset.height, places)


@pytest.mark.parametrize("bigtiff", ["no", "yes"])
@pytest.mark.parametrize("endianness", ["little", "big"])
@pytest.mark.parametrize("compress", ["deflate", "none", "lzw"])
def test_pages_are_overviews(tmp_path, bigtiff, endianness, compress):
    random = np.random.default_rng(1)
    rasters = [
        random.choice(np.array([0, 3, 4], np.uint8), shape)
        for shape in [(301, 130), (151, 65), (76, 33)]
    ]
    path = tmp_path / "m.tif"
    write(path, rasters[0], nodata=0, bigtiff=bigtiff, endianness=endianness, compress=compress)
    for index, raster in enumerate(rasters[1:]):
        source = tmp_path / f"{index}.tif"
        write(source, raster, compress=compress)
        append_pages(path, source, [page_of(source)])
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2, 4]
        np.testing.assert_array_equal(dataset.read(1), rasters[0])
    for index, raster in enumerate(rasters[1:]):
        with rasterio.open(path, overview_level=index) as dataset:
            np.testing.assert_array_equal(dataset.read(1), raster)
            np.testing.assert_array_equal(dataset.read_masks(1) > 0, raster > 0)
            assert dataset.colormap(1)[4] == (40, 50, 60, 255)
            assert dataset.colorinterp[0].name == "palette"
    assert (path.read_bytes()[2] == 43 or path.read_bytes()[3] == 43) == (bigtiff == "yes")


def test_the_file_stays_one_that_gdal_can_change(tmp_path):
    raster = np.random.default_rng(2).integers(0, 9, (200, 200), dtype=np.uint8)
    path, source = tmp_path / "m.tif", tmp_path / "s.tif"
    write(path, raster, compress="deflate")
    write(source, raster[::2, ::2], compress="deflate")
    append_pages(path, source, [page_of(source)])
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(NOTE="changed")
        dataset.write(raster[::-1].copy(), 1)
    with rasterio.open(path) as dataset:
        assert dataset.tags()["NOTE"] == "changed"
        assert dataset.overviews(1) == [2]
        np.testing.assert_array_equal(dataset.read(1), raster[::-1])
