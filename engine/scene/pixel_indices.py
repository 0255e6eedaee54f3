"""Indices of pixels: reflected at borders, refined to a finer grid, grouped into blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..grid import Window


def reflect(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return indices inside 0…size-1 by reflection without repeating the border pixel."""
    if size == 1:
        return np.zeros_like(index)
    period = 2 * (size - 1)
    index = index % period
    return np.minimum(index, period - index)


def hull(cols: NDArray[np.int64], rows: NDArray[np.int64]) -> Window:
    """Return the smallest window with all the columns and rows."""
    left, top = int(cols.min()), int(rows.min())
    return Window(left, top, int(cols.max()) - left + 1, int(rows.max()) - top + 1)


def fine_indices(index: NDArray[np.int64], ratio: int) -> NDArray[np.int64]:
    """Return the PAN indices of MS indices, ``ratio`` for each."""
    return (index[:, np.newaxis] * ratio + np.arange(ratio)).ravel()


def blocks(image: NDArray[Any], ratio: int) -> Any:
    """Return (r·h, r·w) as (h, r, w, r)."""
    height, width = image.shape
    return image.reshape(height // ratio, ratio, width // ratio, ratio)
