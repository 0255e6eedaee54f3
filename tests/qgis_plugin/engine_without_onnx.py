"""Stands where the engine's Python stands: this Python as if ONNX Runtime were not installed.

Started as ``python engine_without_onnx.py -m panloom.engine classify …`` by the script that
``python_without_onnx`` (test_runtime_in_qgis.py) writes.
"""

from __future__ import annotations

import runpy
import sys

for name in ("onnx", "onnxruntime"):
    sys.modules[name] = None  # type: ignore[assignment]  # no spec is found, and an import fails

sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
