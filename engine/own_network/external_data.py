"""Weights beside an ONNX file: regular files in its own folder only, whatever it calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ModelError

LIMIT_BYTES = 8 * 2**30
"""Of all external files together: some hundred times the largest network of this field."""

_EXTERNAL = 1
"""TensorProto.DataLocation.EXTERNAL"""

_DRIVE = re.compile(r"[A-Za-z]:")


def require_inside(path: Path, tensors: Iterable[Any]) -> tuple[Path, ...]:
    """Return the files, sorted, that hold external ``tensors`` (TensorProto) of the graph ``path``.

    Raises ModelError where one is not a regular file in the graph's folder, after links are
    followed, or where a tensor reaches beyond its file's end.
    """
    folder = path.parent.resolve()
    files: set[Path] = set()
    for tensor in tensors:
        if tensor.data_location != _EXTERNAL and not tensor.external_data:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        file = _inside(path, folder, location)
        _require_extent(path, tensor.name, entries, file)
        files.add(file)
    total = sum(file.stat().st_size for file in files)
    if total > LIMIT_BYTES:
        raise ModelError(
            f"The external weights of `{path.name}` have {total:,} bytes; {LIMIT_BYTES:,} at most "
            "are loaded.",
            "onnx-size",
            "Use a smaller network.",
        )
    return tuple(sorted(files))


def _inside(path: Path, folder: Path, location: str) -> Path:
    steps = re.split(r"[/\\]", location)
    leads_out = location[:1] in ("/", "\\") or _DRIVE.match(location) or ".." in steps
    if not location or "\0" in location or leads_out:
        raise _outside(path, location)
    file = folder / location
    if not file.resolve().is_relative_to(folder):
        raise _outside(path, location)
    if not file.is_file():
        raise ModelError(
            f"`{path.name}` has weights in `{location}`, which is not there; it is needed in the "
            "same folder.",
            "onnx-external-data",
            "Copy it from where the network was exported to, or export into one file.",
        )
    return file


def _require_extent(path: Path, tensor: str, entries: dict[str, str], file: Path) -> None:
    size = file.stat().st_size
    try:
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or 0)
    except ValueError:
        offset, length = -1, 0
    if offset < 0 or length < 0 or offset + length > size:
        raise ModelError(
            f"Tensor `{tensor}` of `{path.name}` lies at byte {entries.get('offset', '0')} of "
            f"`{file.name}`, {entries.get('length', '0')} bytes long; the file has {size}.",
            "onnx-external-data",
            "The file is damaged or belongs to another network; export it again.",
        )


def _outside(path: Path, location: str) -> ModelError:
    return ModelError(
        f"`{path.name}` has weights in {location!r}, outside its own folder; only files inside it "
        "are read.",
        "onnx-external-data",
        "Put the weights beside the network and export it again, or into one file.",
    )
