"""Label arrays: ``.npy`` and MATLAB's ``.mat``, whole numbers on a grid of pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..grid import Grid, Window
from .tally import RASTER, Labels, SampleTally, count_codes
from .words import Words

SUFFIXES = (".npy", ".mat")

Codes = NDArray[np.int64]
Place = Callable[[Window], tuple[Codes, Codes]]
"""From a window to the array's rows and columns (h, w) under its pixels, −1 where none is."""


class ArrayLabels:
    """Each pixel whose center lies on a labelled element is a sample; 0 is unlabelled."""

    kind = RASTER

    def __init__(
        self,
        path: str,
        codes: Codes,
        place: Place,
        check: Callable[[Codes, Codes, str], None],
        pixels_per_sample: float = 1.0,
    ) -> None:
        check(*count_codes(codes[codes != 0]), Path(path).name)
        self.tally = SampleTally()
        self.notes: list[str] = []
        self.names: dict[int, str] = {}
        self.pixels_per_sample = pixels_per_sample
        self._codes = codes.astype(np.uint8)
        self._place = place

    def labels(self, window: Window) -> Labels:
        """Return the labelled pixels of ``window``."""
        rows, cols = self._place(window)
        there = (rows >= 0) & (cols >= 0)
        codes = np.where(there, self._codes[np.where(there, rows, 0), np.where(there, cols, 0)], 0)
        row, col = np.nonzero(codes)
        return Labels(row + window.row, col + window.col, codes[row, col], np.full(len(row), -1))

    def finish(self) -> None:
        """Nothing is left to count."""

    def close(self) -> None:
        """No file is open."""


def is_array_file(path: str) -> bool:
    """Say whether a path ends as label arrays do."""
    return Path(path).suffix.lower() in SUFFIXES


def read_label_array(path: str, variable: str | None, words: Words) -> Codes:
    """Return whole numbers (H, W) from a ``.npy`` file or a variable of a ``.mat`` file.

    Without ``variable`` a ``.mat`` file needs to hold one two-dimensional array. Raises InputError
    for what cannot be read, has another shape, or holds NaN or fractions.
    """
    name = Path(path).name
    if not Path(path).exists():
        raise InputError(
            f"There is no file `{path}`.", "missing-file", "Check the path, or choose another file."
        )
    is_mat = Path(path).suffix.lower() == ".mat"
    values = _mat_array(path, variable, words) if is_mat else _npy_array(path, words)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values.squeeze(0 if values.shape[0] == 1 else 2)
    if values.ndim != 2 or values.dtype.kind not in "buif" or values.size == 0:
        shape = " × ".join(str(n) for n in values.shape) or "a single value"
        raise InputError(
            f"The array of `{name}` is {shape} of {values.dtype}; "
            "numbers in rows and columns are needed.",
            "array-shape",
            "Give an array of class codes with the shape of the MS raster, 0 where unlabelled.",
        )
    return _whole(values, name)


def covering(grid: Grid, shape: tuple[int, int], name: str, words: Words) -> tuple[Place, int]:
    """Return where an array lies that covers the same ground as ``grid``, and grid ÷ array pixels.

    Raises InputError unless ``grid`` has a whole multiple of the array's rows and columns.
    """
    factor = grid.height // shape[0]
    if factor < 1 or (shape[0] * factor, shape[1] * factor) != grid.shape:
        raise InputError(
            f"The array of `{name}` has {shape[0]} × {shape[1]} rows and columns; the "
            f"{words.grid} has {grid.height} × {grid.width}.",
            "array-shape",
            f"Give an array of the {words.grid}'s shape, or of the MS raster's.",
        )

    def place(window: Window) -> tuple[Codes, Codes]:
        rows = np.arange(window.row, window.bottom) // factor
        cols = np.arange(window.col, window.right) // factor
        return np.repeat(rows[:, None], len(cols), 1), np.repeat(cols[None], len(rows), 0)

    return place, factor


def _npy_array(path: str, words: Words) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _unreadable(path, words, "a NumPy array of numbers") from error
    if not isinstance(values, np.ndarray):
        raise _unreadable(path, words, "a NumPy array of numbers")
    return values


def _mat_array(path: str, variable: str | None, words: Words) -> NDArray[Any]:
    found = _mat_variables(path, words)
    name = Path(path).name
    arrays = {
        key: value
        for key, value in found.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "buif" and min(value.shape) > 1
    }
    listed = ", ".join(f"`{key}`" for key in arrays) or "none"
    if variable is not None:
        if variable in found and isinstance(found[variable], np.ndarray):
            return np.asarray(found[variable])
        raise InputError(
            f"`{name}` has no array `{variable}`; its arrays are {listed}.",
            "missing-field",
            "Name one of these with `--class-field`.",
        )
    if len(arrays) != 1:
        raise InputError(
            f"`{name}` holds {len(arrays) or 'no'} arrays of numbers"
            f"{f' ({listed})' if arrays else ''}; one is needed.",
            "no-class-field",
            "Name one with `--class-field`." if arrays else "Choose the file with the labels.",
        )
    return next(iter(arrays.values()))


def _mat_variables(path: str, words: Words) -> dict[str, Any]:
    from scipy.io import loadmat  # loaded only for those who have such files
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(path)
    except NotImplementedError as error:
        raise InputError(
            f"`{Path(path).name}` is a MATLAB file of version 7.3 (HDF5); version 7 or older is "
            "needed.",
            "mat-version",
            "In MATLAB: save('label.mat', 'label', '-v7'). Or save it as .npy.",
        ) from error
    except (MatReadError, ValueError, TypeError, OSError, EOFError, KeyError) as error:
        raise _unreadable(path, words, "a MATLAB file of version 7 or older") from error
    return {key: value for key, value in found.items() if not key.startswith("__")}


def _whole(values: NDArray[Any], name: str) -> Codes:
    if values.dtype.kind == "f":
        lost = ~np.isfinite(values)
        if lost.any():
            row, col = np.argwhere(lost)[0]
            raise InputError(
                f"The array of `{name}` holds NaN or infinity at {int(lost.sum()):,} of "
                f"{values.size:,} places, first in row {row}, column {col}; whole numbers are "
                "needed.",
                "labels-nan",
                "Write 0 where there is no label, for example with numpy.nan_to_num.",
            )
        broken = values != np.round(values)
        if broken.any():
            row, col = np.argwhere(broken)[0]
            raise InputError(
                f"The array of `{name}` holds {values[row, col]:g} in row {row}, column {col}; "
                "whole numbers are needed.",
                "labels-fraction",
                "Give class codes 1…254, and 0 where there is no label.",
            )
        values = np.clip(values, -(2.0**62), 2.0**62)
    elif values.dtype == np.uint64:
        values = np.minimum(values, np.uint64(2**62))
    return values.astype(np.int64)


def _unreadable(path: str, words: Words, what: str) -> InputError:
    if Path(path).is_file() and Path(path).stat().st_size == 0:
        return InputError(
            f"The {words.labels} `{Path(path).name}` is empty (0 bytes).",
            words.code("unreadable"),
            "Fetch or write it again.",
        )
    return InputError(
        f"The {words.labels} `{Path(path).name}` cannot be read: it is not {what}.",
        words.code("unreadable"),
        "Check that the file is complete, or save it again.",
    )
