"""The manifest of a run: what went in, what was done, what came out, as JSON."""

from __future__ import annotations

import json
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import rasterio
import torch

from .grid import Grid
from .version import __version__

SCHEMA = "panloom-run/1"


def write_manifest(path: Path, body: dict[str, Any]) -> None:
    """Write ``body`` with versions and time added to ``path``."""
    manifest = {
        "schema": SCHEMA,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        **body,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the versions that decide what a run computes."""
    return {
        "panloom": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rasterio": rasterio.__version__,
        "gdal": rasterio.__gdal_version__,
    }


def describe_grid(grid: Grid) -> dict[str, Any]:
    """Return a grid as JSON values: CRS as WKT or None, transform (a, b, c, d, e, f), size."""
    return {
        "crs": None if grid.crs is None else grid.crs.to_wkt(),
        "transform": [float(v) for v in grid.transform[:6]],
        "width": grid.width,
        "height": grid.height,
    }


def describe_file(spec: str) -> list[dict[str, Any]]:
    """Return path, size (bytes) and time of change of each file in an input specification."""
    files: list[dict[str, Any]] = []
    for name in [spec] if Path(spec).exists() else spec.split(","):
        path = Path(name)
        if not path.is_file():
            files.append({"path": name})
            continue
        status = path.stat()
        changed = datetime.fromtimestamp(status.st_mtime, timezone.utc)
        files.append(
            {
                "path": name,
                "bytes": status.st_size,
                "changed": changed.isoformat(timespec="seconds"),
            }
        )
    return files
