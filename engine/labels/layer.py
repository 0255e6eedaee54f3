"""One layer of a vector file as a table of labelled geometries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import pyogrio
from numpy.typing import NDArray

from ..errors import InputError
from ..grid import Grid
from .words import Words

DEFAULT_FIELD = "class_code"
"""The field that Panloom's own polygons carry; used where none is named."""

_LAYER = "|layername="


def vector_layers(path: str) -> list[str] | None:
    """Return the names of the spatial layers in a file, None where it is no vector file."""
    try:
        listed = pyogrio.list_layers(_file(path))
    except Exception:  # whatever GDAL says, a raster may still be in it
        return None
    layers = [str(name) for name, kind in listed if kind is not None]
    return layers or (None if len(listed) == 0 else [])


def file_name(path: str) -> str:
    """Return the file's name without folder and layer."""
    return Path(_file(path)).name


def read_layer(path: str, layers: list[str], words: Words) -> Any:
    """Read one layer: the one named as QGIS does (``file|layername=x``), or the only one.

    Raises InputError where neither is clear, or the file is no layer of geometries.
    """
    name, _, layer = path.partition(_LAYER)
    layer = layer.split("|")[0]
    label = Path(name).name
    if layer and layer not in layers:
        raise InputError(
            f"`{label}` has no layer `{layer}`; it has {', '.join(layers)}.",
            words.code("layer"),
            "Name one of these.",
        )
    if not layer and len(layers) > 1:
        raise InputError(
            f"`{label}` has {len(layers)} layers ({', '.join(layers)}); one is needed.",
            words.code("layer"),
            f'Name it, as in "{label}{_LAYER}{layers[0]}".',
        )
    try:
        frame = geopandas.read_file(name, layer=layer or (layers[0] if layers else None))
    except Exception as error:
        raise InputError(
            f"The {words.labels} `{label}` cannot be read ({error}).",
            words.code("unreadable"),
            "Check that the file is complete.",
        ) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(
            f"`{label}` is a table without geometry; points or polygons are needed.",
            words.code("geometry"),
            "Make a point layer of its coordinates first.",
        )
    return frame


def choose_field(frame: Any, wanted: str | None, label: str) -> str:
    """Return the field that holds the class; raises InputError that lists the fields."""
    fields = [str(name) for name in frame.columns if name != frame.geometry.name]
    if wanted is None and DEFAULT_FIELD in fields:
        return DEFAULT_FIELD
    if wanted in fields and wanted is not None:
        return wanted
    listed = ", ".join(f"`{name}`" for name in fields) or "none"
    if wanted is None:
        raise InputError(
            f"Which field of `{label}` holds the class is not said; its fields are {listed}.",
            "no-class-field",
            "Name one with `--class-field`.",
        )
    raise InputError(
        f"`{label}` has no field `{wanted}`; its fields are {listed}.",
        "missing-field",
        "Name one of these with `--class-field`.",
    )


def in_crs_of(grid: Grid, frame: Any, label: str, words: Words) -> NDArray[Any]:
    """Return the geometries (n,) in the grid's CRS; raises InputError where only one has any."""
    if grid.crs is not None and frame.crs is None:
        raise InputError(
            f"The {words.labels} `{label}` has no CRS; the {words.grid} has one.",
            words.code("no-crs"),
            "Assign the layer's CRS (in QGIS: Layer > Set CRS, then export it).",
        )
    if grid.crs is None and frame.crs is not None:
        raise InputError(
            f"The {words.grid} has no CRS; the {words.labels} `{label}` has {frame.crs.name}.",
            f"{words.grid}-no-crs",
            f"Assign the {words.grid}'s CRS, for example with gdal_edit.py -a_srs.",
        )
    if grid.crs is not None:
        frame = frame.to_crs(grid.crs.to_wkt())
    geometry: NDArray[Any] = frame.geometry.to_numpy()
    return geometry


def _file(path: str) -> str:
    return path.split(_LAYER)[0]
