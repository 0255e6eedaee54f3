"""Label arrays from NumPy and MATLAB: what they hold comes back, or a sentence."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from scipy.io import savemat

from panloom.engine.errors import InputError
from panloom.engine.grid import Grid, Window
from panloom.engine.labels.array_file import covering, is_array_file, read_label_array
from panloom.engine.labels.words import REFERENCE, SAMPLES

CODES = np.random.default_rng(0).integers(0, 8, (12, 15))
TYPES = ("uint8", "uint16", "int16", "int32", "int64", "uint64", "float32", "float64", "bool")


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("suffix", [".npy", ".mat", ".NPY"])
def test_whole_numbers_of_any_type_come_back(tmp_path, dtype, suffix):
    values = CODES.astype(dtype)
    path = tmp_path / f"label{suffix}"
    if suffix == ".mat":
        savemat(path, {"label": values, "note": "text", "n": 7}, do_compression=True)
    else:
        with path.open("wb") as file:
            np.save(file, values)
    assert is_array_file(str(path))
    found = read_label_array(str(path), None, SAMPLES)
    assert found.dtype == np.int64
    assert np.array_equal(found, values)


def test_an_axis_of_one_is_no_axis(tmp_path):
    for n, values in enumerate((CODES[None], CODES[..., None])):
        np.save(tmp_path / f"{n}.npy", values)
        assert np.array_equal(read_label_array(f"{tmp_path}/{n}.npy", None, SAMPLES), CODES)


def test_one_of_several_variables_is_named(tmp_path):
    path = f"{tmp_path}/l.mat"
    savemat(path, {"train": CODES, "test": CODES.T})
    assert np.array_equal(read_label_array(path, "test", SAMPLES), CODES.T)
    sentence(
        path,
        "`l.mat` holds 2 arrays of numbers (`train`, `test`); one is needed. "
        "Name one with `--class-field`.",
    )
    sentence(
        path,
        "`l.mat` has no array `label`; its arrays are `train`, `test`. "
        "Name one of these with `--class-field`.",
        "label",
    )


def sentence(path, expected, variable=None, words=SAMPLES):
    with pytest.raises(InputError) as caught:
        read_label_array(str(path), variable, words)
    assert str(caught.value) == expected


def test_sentences_about_values(tmp_path):
    path = tmp_path / "l.npy"
    values = CODES.astype(np.float32)
    values[3, 4] = values[5, 6] = np.nan
    np.save(path, values)
    sentence(
        path,
        "The array of `l.npy` holds NaN or infinity at 2 of 180 places, first in row 3, column 4; "
        "whole numbers are needed. Write 0 where there is no label, for example with "
        "numpy.nan_to_num.",
    )
    values = CODES.astype(np.float32)
    values[3, 4] = 1.5
    np.save(path, values)
    sentence(
        path,
        "The array of `l.npy` holds 1.5 in row 3, column 4; whole numbers are needed. "
        "Give class codes 1…254, and 0 where there is no label.",
    )
    np.save(path, np.zeros((4, 5, 6), np.uint8))
    sentence(
        path,
        "The array of `l.npy` is 4 × 5 × 6 of uint8; numbers in rows and columns are needed. "
        "Give an array of class codes with the shape of the MS raster, 0 where unlabelled.",
    )
    np.save(path, np.array([["a", "b"]]))
    sentence(
        path,
        "The array of `l.npy` is 1 × 2 of <U1; numbers in rows and columns are needed. "
        "Give an array of class codes with the shape of the MS raster, 0 where unlabelled.",
    )


def test_sentences_about_files(tmp_path):
    sentence(
        tmp_path / "no.npy",
        f"There is no file `{tmp_path}/no.npy`. Check the path, or choose another file.",
    )
    for name, kind in (("l.npy", "a NumPy array of numbers"),
                       ("l.mat", "a MATLAB file of version 7 or older")):  # fmt: skip
        path = tmp_path / name
        path.touch()
        sentence(path, f"The sample file `{name}` is empty (0 bytes). Fetch or write it again.")
        path.write_bytes(b"something else, and long enough to hold a header" * 9)
        sentence(
            path,
            f"The sample file `{name}` cannot be read: it is not {kind}. "
            "Check that the file is complete, or save it again.",
        )
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], object))
    sentence(
        tmp_path / "o.npy",
        "The reference `o.npy` cannot be read: it is not a NumPy array of numbers. "
        "Check that the file is complete, or save it again.",
        words=REFERENCE,
    )
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tmp_path / "h.mat").write_bytes(header + b"\x89HDF\r\n\x1a\n" + bytes(512))
    sentence(
        tmp_path / "h.mat",
        "`h.mat` is a MATLAB file of version 7.3 (HDF5); version 7 or older is needed. "
        "In MATLAB: save('label.mat', 'label', '-v7'). Or save it as .npy.",
    )
    savemat(tmp_path / "t.mat", {"note": "text"})
    sentence(
        tmp_path / "t.mat",
        "`t.mat` holds no arrays of numbers; one is needed. Choose the file with the labels.",
    )
    whole = tmp_path / "cut.mat"
    savemat(whole, {"label": CODES})
    whole.write_bytes(whole.read_bytes()[:-300])
    sentence(
        whole,
        "The sample file `cut.mat` cannot be read: it is not a MATLAB file of version 7 or older. "
        "Check that the file is complete, or save it again.",
    )


def test_an_array_covers_a_grid_of_more_pixels():
    grid = Grid(None, Affine.identity(), 60, 48)
    place, factor = covering(grid, (12, 15), "l.npy", REFERENCE)
    assert factor == 4
    rows, cols = place(Window(7, 9, 20, 30))
    fine = np.kron(CODES, np.ones((4, 4), int))
    assert np.array_equal(CODES[rows, cols], fine[9:39, 7:27])
    with pytest.raises(InputError) as caught:
        covering(grid, (12, 16), "l.npy", REFERENCE)
    assert str(caught.value) == (
        "The array of `l.npy` has 12 × 16 rows and columns; the map has 48 × 60. "
        "Give an array of the map's shape, or of the MS raster's."
    )
