"""Pixel grids as values: where every pixel of a raster lies, and no pixel data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyproj
from affine import Affine
from rasterio.crs import CRS


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels on some grid; it may reach beyond the grid's borders."""

    col: int
    row: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"a window needs at least one pixel, got {self.width} × {self.height}")

    @property
    def right(self) -> int:
        """First column to the right of the window."""
        return self.col + self.width

    @property
    def bottom(self) -> int:
        """First row below the window."""
        return self.row + self.height

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def grow(self, pixels: int) -> Window:
        """Return the window with ``pixels`` more on every side."""
        return Window(
            self.col - pixels, self.row - pixels, self.width + 2 * pixels, self.height + 2 * pixels
        )

    def refine(self, ratio: int) -> Window:
        """Return the same rectangle on a grid whose pixels are ``ratio`` times smaller."""
        return Window(self.col * ratio, self.row * ratio, self.width * ratio, self.height * ratio)

    def intersect(self, other: Window) -> Window | None:
        """Return the common part of both windows, None where there is none."""
        col, row = max(self.col, other.col), max(self.row, other.row)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        if right <= col or bottom <= row:
            return None
        return Window(col, row, right - col, bottom - row)


@dataclass(frozen=True)
class Grid:
    """A regular pixel grid: CRS (None: pixel coordinates), affine transform, size in pixels.

    ``transform`` maps (column, row) of a pixel's upper-left corner to CRS coordinates.
    """

    crs: CRS | None
    transform: Affine
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"a grid needs at least one pixel, got {self.width} × {self.height}")
        if self.transform.determinant == 0 or not all(map(math.isfinite, self.transform[:6])):
            raise ValueError(f"the transform cannot be inverted: {tuple(self.transform[:6])}")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """The window that covers the whole grid."""
        return Window(0, 0, self.width, self.height)

    @property
    def is_north_up(self) -> bool:
        """True where rows run south and columns east, without rotation."""
        t = self.transform
        return bool(t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) around the four corners, in CRS units."""
        corners = [
            self.transform @ (col, row) for col in (0, self.width) for row in (0, self.height)
        ]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def gsd_m(self) -> float:
        """Ground sample distance at the grid's center in metres: √(pixel area).

        Without a CRS it is in units of the transform, since nothing else is known.
        """
        t = self.transform
        if self.crs is None:
            return math.sqrt(abs(t.determinant))
        if not self.crs.is_geographic:
            return math.sqrt(abs(t.determinant)) * float(self.crs.linear_units_factor[1])
        geod = pyproj.CRS.from_user_input(self.crs).get_geod()
        if geod is None:  # a CRS of another planet without an ellipsoid
            return math.sqrt(abs(t.determinant))
        col, row = self.width / 2, self.height / 2
        center = t @ (col, row)
        _, _, across = geod.inv(*center, *(t @ (col + 1, row)))
        _, _, down = geod.inv(*center, *(t @ (col, row + 1)))
        return math.sqrt(across * down)

    def crop(self, window: Window) -> Grid:
        """Return the grid of ``window``, which may reach beyond this grid."""
        return Grid(
            self.crs,
            self.transform @ Affine.translation(window.col, window.row),
            window.width,
            window.height,
        )

    def refine(self, ratio: int) -> Grid:
        """Return the grid over the same ground with ``ratio`` × ``ratio`` pixels for each one."""
        return Grid(
            self.crs,
            self.transform @ Affine.scale(1 / ratio),
            self.width * ratio,
            self.height * ratio,
        )

    def coarsen(self, ratio: int) -> Grid:
        """Return the grid over the same ground with one pixel for each ``ratio`` × ``ratio`` block.

        Raises ValueError where the size is not a multiple of ``ratio``.
        """
        if self.width % ratio or self.height % ratio:
            raise ValueError(f"{self.width} × {self.height} is not a multiple of {ratio}")
        return Grid(
            self.crs,
            self.transform @ Affine.scale(ratio),
            self.width // ratio,
            self.height // ratio,
        )

    def translate(self, cols: float, rows: float) -> Grid:
        """Return the grid moved by so many of its own pixels."""
        return Grid(
            self.crs, self.transform @ Affine.translation(cols, rows), self.width, self.height
        )
