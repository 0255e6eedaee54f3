"""A made-up landscape: fields, woods, a river, a lake and a town on a fine square grid.

Every cell has a surface (what a sensor sees), a mix between that surface's two spectra, a texture,
and the class that a map should show. The same seed gives the same landscape.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Codes = NDArray[np.uint8]
Mask = NDArray[np.bool_]

WATER, WOODY, GREEN, BARE, BUILT = 1, 2, 3, 4, 5
"""Class codes of the truth, those of the model ``landsat-5class``."""


class Surface(IntEnum):
    """What covers a cell; rows of the spectral tables."""

    RIVER = 0
    LAKE = 1
    CONIFER = 2
    DECIDUOUS = 3
    CROP = 4
    PASTURE = 5
    SOIL = 6
    STUBBLE = 7
    ASPHALT = 8
    BRIGHT_ROOF = 9
    TILE_ROOF = 10
    DARK_ROOF = 11
    GARDEN = 12


CLASS_OF = np.array(
    [WATER, WATER, WOODY, WOODY, GREEN, GREEN, BARE, BARE, BUILT, BUILT, BUILT, BUILT, BUILT],
    np.uint8,
)
"""Class code by surface; a garden is part of the town around it."""


@dataclass(frozen=True)
class SampleScene:
    """The landscape, all arrays (rows, cols).

    ``mix`` in [0, 1] leads from a surface's first spectrum to its second, ``texture`` is a
    relative brightness around 0, ``truth`` holds class codes 1…5.
    """

    surface: Codes
    mix: FloatArray
    texture: FloatArray
    truth: Codes


def make_scene(rows: int, cols: int, rng: np.random.Generator) -> SampleScene:
    """Return a landscape of ``rows`` × ``cols`` cells, meant to be about 7.5 m wide."""
    surface, mix = _farmland(rows, cols, rng)
    _grow_woods(surface, mix, rng)
    town, nearness = _town_area(rows, cols, rng)
    _build_town(surface, mix, town, nearness, rng)
    parks = _lay_parks(surface, mix, town, rng)
    _lay_road(surface, mix, rng)
    _fill_water(surface, mix, rng)
    truth = CLASS_OF[surface]
    # A tree or lawn on a built-up block counts as built-up; parks are large enough to be mapped.
    truth[town & ~parks & (truth != WATER)] = BUILT
    fine, broad = _noise((rows, cols), 1.0, rng), _noise((rows, cols), 6.0, rng)
    texture = (0.8 * fine + 0.6 * broad) * _ROUGHNESS[surface]
    mix = np.clip(mix + 0.08 * broad, 0, 1)
    return SampleScene(surface, mix.astype(np.float32), texture.astype(np.float32), truth)


_ROUGHNESS = np.array(
    [0.03, 0.02, 0.20, 0.26, 0.08, 0.10, 0.07, 0.08, 0.06, 0.12, 0.10, 0.12, 0.10], np.float32
)
"""Standard deviation of texture by surface: canopies and roofs are rough, fields and water not."""


def _noise(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> FloatArray:
    """Return Gaussian noise smoothed over ``scale`` cells, mean 0, standard deviation 1."""
    white = rng.standard_normal(shape, dtype=np.float32)
    rows = np.fft.fftfreq(shape[0])[:, None]
    cols = np.fft.rfftfreq(shape[1])[None, :]
    response = np.exp(-2 * (np.pi * scale) ** 2 * (rows**2 + cols**2))
    response[0, 0] = 0
    smooth = np.fft.irfft2(np.fft.rfft2(white) * response, s=shape)
    return np.asarray(smooth / (smooth.std() or 1), np.float32)


def _coordinates(rows: int, cols: int) -> tuple[FloatArray, FloatArray]:
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    return y, x


def _farmland(rows: int, cols: int, rng: np.random.Generator) -> tuple[Codes, FloatArray]:
    """Return surface and mix of fields, each a rectangle at its district's angle."""
    field, edge = _fields(rows, cols, rng)
    _, index = np.unique(field, return_inverse=True)
    index = index.reshape(rows, cols)
    count = int(index.max()) + 1
    kinds = [Surface.CROP, Surface.PASTURE, Surface.SOIL, Surface.STUBBLE]
    kind = rng.choice(kinds, count, p=[0.36, 0.22, 0.18, 0.24]).astype(np.uint8)
    surface, mix = kind[index], rng.uniform(0, 1, count).astype(np.float32)[index]
    hedge = (edge < 1.6) & (rng.uniform(size=count) < 0.12)[index]
    track = (edge < 0.6) & (rng.uniform(size=count) < 0.25)[index] & ~hedge
    surface[hedge], surface[track] = Surface.DECIDUOUS, Surface.SOIL
    return surface, mix


def _fields(rows: int, cols: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the number of each cell's field, and its distance to the field's edge in cells."""
    y, x = _coordinates(rows, cols)
    bend = 14 * _noise((rows, cols), 40, rng), 14 * _noise((rows, cols), 40, rng)
    district = np.zeros((rows, cols), np.int64)
    nearest = np.full((rows, cols), np.inf, np.float32)
    field = np.zeros((rows, cols), np.int64)
    edge = np.zeros((rows, cols), np.float32)
    for number in range(max(4, rows * cols // 200**2)):
        center_y, center_x = rng.uniform(0, rows), rng.uniform(0, cols)
        distance = (y + bend[0] - center_y) ** 2 + (x + bend[1] - center_x) ** 2
        here = distance < nearest
        nearest[here], district[here] = distance[here], number
    for number in range(int(district.max()) + 1):
        here = district == number
        along, across = _turned(y[here], x[here], rng.uniform(0, np.pi))
        edges = across.min(initial=0) + np.cumsum(rng.uniform(20, 56, rows + cols))
        strip = np.searchsorted(edges, across)
        length = rng.uniform(34, 110, len(edges) + 1).astype(np.float32)[strip]
        along = along + rng.uniform(0, 90, len(edges) + 1).astype(np.float32)[strip]
        block = np.floor(along / length)
        ahead = np.minimum(np.abs(across - edges[np.maximum(strip - 1, 0)]), edges[strip] - across)
        inside = along - block * length
        edge[here] = np.minimum(np.minimum(inside, length - inside), ahead)
        field[here] = (number * 10_000 + strip) * 10_000 + block.astype(np.int64) + 5_000
    return field, edge


def _turned(y: FloatArray, x: FloatArray, angle: float) -> tuple[FloatArray, FloatArray]:
    """Return the coordinates along and across a direction ``angle`` radians from the columns."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def _grow_woods(surface: Codes, mix: FloatArray, rng: np.random.Generator) -> None:
    shape = surface.shape
    shade = _noise(shape, 45, rng) + 0.35 * _noise(shape, 9, rng) + 0.12 * _noise(shape, 3, rng)
    woods = shade > np.quantile(shade, 0.78)
    stand = _noise(shape, 30, rng) + 0.3 * _noise(shape, 5, rng)
    surface[woods & (stand > 0)] = Surface.CONIFER
    surface[woods & (stand <= 0)] = Surface.DECIDUOUS
    mix[woods] = np.clip(0.5 + 0.25 * _noise(shape, 8, rng), 0, 1)[woods]


def _town_area(rows: int, cols: int, rng: np.random.Generator) -> tuple[Mask, FloatArray]:
    """Return where the town is, and nearness to its center from 1 there to 0 at its edge."""
    y, x = _coordinates(rows, cols)
    center_y, center_x = rows * rng.uniform(0.55, 0.68), cols * rng.uniform(0.28, 0.42)
    radius = 0.19 * min(rows, cols) * (1 + 0.22 * _noise((rows, cols), 45, rng))
    distance = np.hypot(y - center_y, x - center_x) / radius
    return distance < 1, np.asarray(np.clip(1 - distance, 0, 1), np.float32)


def _build_town(
    surface: Codes, mix: FloatArray, town: Mask, nearness: FloatArray, rng: np.random.Generator
) -> None:
    """Lay lots with roofs and gardens between a grid of streets; works stand in large lots."""
    rows, cols = surface.shape
    y, x = _coordinates(rows, cols)
    bend = 5 * _noise((rows, cols), 60, rng)
    along, across = _turned(y + bend, x - bend, rng.uniform(0.2, 0.9))
    works = _noise((rows, cols), 20, rng) > 1.3
    lot_cells = np.where(works, 8.0, 2.2)
    lot = np.floor(along / lot_cells) * 7919 + np.floor(across / lot_cells)
    _, index = np.unique(lot, return_inverse=True)
    index = index.reshape(rows, cols)
    chance = rng.uniform(size=int(index.max()) + 1)[index] + 0.25 * (nearness - 0.4)
    # From the leafy edge (low) to the built-over center (high).
    steps = np.array([0.16, 0.38, 0.62, 0.86, 0.92])
    kinds = np.array([
        Surface.DECIDUOUS, Surface.GARDEN, Surface.TILE_ROOF,
        Surface.DARK_ROOF, Surface.BRIGHT_ROOF, Surface.ASPHALT,
    ], np.uint8)  # fmt: skip
    built = kinds[np.searchsorted(steps, chance)]
    built[works & (chance < 0.5)] = Surface.BRIGHT_ROOF
    street = (np.mod(along, 15) < 1.5) | (np.mod(across, 23) < 1.5) | (np.mod(across, 92) < 4)
    built[street] = Surface.ASPHALT
    surface[town] = built[town]
    mix[town] = rng.uniform(size=int(index.max()) + 1).astype(np.float32)[index][town]


def _lay_parks(surface: Codes, mix: FloatArray, town: Mask, rng: np.random.Generator) -> Mask:
    green = _noise(surface.shape, 16, rng)
    parks: Mask = town & (green > np.quantile(green, 0.95))
    trees = parks & (_noise(surface.shape, 5, rng) > 0.4)
    surface[parks], mix[parks] = Surface.PASTURE, 0.7
    surface[trees] = Surface.DECIDUOUS
    return parks


def _lay_road(surface: Codes, mix: FloatArray, rng: np.random.Generator) -> None:
    """Draw one road of three cells from edge to edge."""
    rows, cols = surface.shape
    y, x = _coordinates(rows, cols)
    bend = rows * (0.03 * np.sin(x / cols * 7) + 0.015 * np.sin(x / cols * 17))
    road = np.abs(y - rows * rng.uniform(0.6, 0.66) - bend - 0.16 * (x - cols / 2)) < 1.5
    surface[road], mix[road] = Surface.ASPHALT, 0.3


def _fill_water(surface: Codes, mix: FloatArray, rng: np.random.Generator) -> None:
    """Draw a winding river from top to bottom with wooded banks, and one lake."""
    rows, cols = surface.shape
    y, x = _coordinates(rows, cols)
    phase = rng.uniform(0, 2 * np.pi, 3)
    turn = y[:, :1] / 1200
    center = cols * (0.53 + 0.03 * np.sin(turn * 6.1 + phase[0])) + (
        45 * np.sin(turn * 13 + phase[1]) + 13 * np.sin(turn * 37 + phase[2])
    )
    width = 6 + 1.5 * _noise((rows, cols), 12, rng)
    from_river = np.abs(x - center)
    bank = (from_river < width + 6) & (_noise((rows, cols), 6, rng) > -0.3)
    surface[bank] = Surface.DECIDUOUS
    river = from_river < width
    surface[river] = Surface.RIVER
    ripple = 1 + 0.3 * _noise((rows, cols), 28, rng) + 0.08 * _noise((rows, cols), 7, rng)
    lake = np.hypot((y - rows * 0.24) / 0.7, x - cols * 0.77) < 0.11 * min(rows, cols) * ripple
    surface[lake] = Surface.LAKE
    calm = np.clip(0.5 + 0.3 * _noise((rows, cols), 60, rng), 0, 1)
    mix[river | lake] = calm[river | lake]
