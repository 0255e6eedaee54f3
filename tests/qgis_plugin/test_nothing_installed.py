"""QGIS's own Python is left alone: no file changed, no third-party module brought into it."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOREIGN = {
    "torch", "numpy", "rasterio", "shapely", "geopandas", "pandas", "pyogrio", "pyarrow", "pyproj",
    "affine", "einops", "safetensors", "scipy", "sklearn", "PIL",
    "onnx", "onnxruntime", "openvino",
}  # fmt: skip


def fingerprint(folders: list[str]) -> dict[str, str]:
    """Return the SHA-256 of every file below ``folders``, byte code aside."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in Path(folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_whole_run_changes_nothing_in_qgis_python(qgis, sample_pair, tmp_path):
    first = qgis.inside("describe")
    own = [p for p in first["path"] if p.startswith("/usr") and Path(p).is_dir()]
    own = [p for p in own if p.endswith(("-packages", "/plugins", "/qgis/python"))]
    before = fingerprint(own)
    assert len(before) > 100, f"found nothing to compare in {own}"
    run = qgis.inside(
        "run", "panloom:classify",
        {**sample_pair, "OUTPUT": str(tmp_path / "m.tif"), "POLYGONS": str(tmp_path / "p.gpkg")},
    )  # fmt: skip
    assert "outputs" in run["answer"], run["answer"]
    assert fingerprint(own) == before
    brought = {name.partition(".")[0] for name in run["loaded"]}
    assert not brought & FOREIGN
    assert "panloom" in brought
    assert not {"engine", "models", "qgis_plugin"} & brought, "one top-level name only"
