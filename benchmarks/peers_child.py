"""One contestant of ``peers.py`` in a process of its own: ``peers_child.py NAME JOB.json``.

Prints one JSON object: wall and CPU seconds of the work itself, imports apart, and resident memory
before it and at its peak. The tools for one raster run it in their own Python environment, where
only ``panloom.models`` is imported. Linux only.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

Job = dict[str, Any]
Work = Callable[[], object]
TILE_PX, SW_BATCH = 512, 4
"""MONAI has no default for the side of a window and for how many there are in a batch."""


def main() -> None:
    """Do the work that was asked for and print what it took."""
    name, job_file = sys.argv[1:3]
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    sys.path.append(job["import_from"])
    work = {"geoai": geoai, "monai": monai}.get(name.partition("-")[0], engine)(job, name)
    before = _memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall": wall, "cpu": cpu, "before": before, "peak": _memory("VmHWM")}))


def geoai(job: Job, name: str) -> Work:
    """Return ``predict_geotiff`` at its defaults, with the radiometry inside the network."""
    import numpy as np

    network = _stacked_network(job, is_prepared=name.endswith("-prepared"))
    predict = _geoai_inference().predict_geotiff

    def work() -> None:
        predict(
            network,
            job["stacked"],
            job["output"],
            num_classes=job["classes"],
            output_dtype="uint8",
            output_nodata=0,
            preprocess_fn=lambda tile: tile,
            postprocess_fn=lambda scores: scores.argmax(axis=0)[None].astype(np.uint8),
            verbose=False,
        )

    return work


def monai(job: Job, name: str) -> Work:
    """Return ``sliding_window_inference`` at its defaults, with reading and writing around it."""
    import numpy as np
    import rasterio
    import torch
    from monai.inferers import sliding_window_inference

    network = _stacked_network(job, is_prepared=name.endswith("-prepared"))

    def work() -> None:
        with rasterio.open(job["stacked"]) as source:
            image, profile = source.read().astype(np.float32), source.profile.copy()
        with torch.no_grad():
            scores = sliding_window_inference(
                torch.from_numpy(image)[None], (TILE_PX, TILE_PX), SW_BATCH, network
            )
        profile.update(count=1, dtype="uint8", compress="lzw")
        with rasterio.open(job["output"], "w", **profile) as target:
            target.write(scores[0].argmax(dim=0).numpy().astype(np.uint8), 1)

    return work


def engine(job: Job, runtime: str) -> Work:
    """Return what ``panloom classify`` does, on the pair itself, by one runtime."""
    from engine_run import classify

    if runtime != "torch":
        importlib.import_module(runtime)
    return lambda: classify(job["ms"], job["pan"], job["output"], runtime=runtime)


def _stacked_network(job: Job, *, is_prepared: bool) -> Any:
    import torch
    from stacked_network import StackedNetwork

    from panloom.models.bundle import load_bundle
    from panloom.models.folding import fold_batch_norm

    bundle = load_bundle(Path(job["model"]))
    network, memory_format = bundle.network.eval(), torch.contiguous_format
    if is_prepared:
        fold_batch_norm(network)
        memory_format = torch.channels_last
        network = network.to(memory_format=memory_format)  # type: ignore[call-overload]
    offset, scale, limits = job["offset"], job["scale"], tuple(job["limits"])
    return StackedNetwork(network, bundle.card.ratio, offset, scale, limits, memory_format).eval()


def _geoai_inference() -> Any:
    """Return ``geoai.inference``, unchanged.

    It takes one function from ``geoai.utils``, whose import wants the whole of what geoai depends
    on, torchvision among it. Where that is not there, the function alone stands in.
    """
    try:
        importlib.import_module("geoai.utils")
    except ImportError:
        import torch

        for name in [name for name in sys.modules if name.startswith("geoai.utils")]:
            del sys.modules[name]
        stand_in = types.ModuleType("geoai.utils")
        stand_in.get_device = lambda: torch.device(  # type: ignore[attr-defined]
            "cuda" if torch.cuda.is_available() else "cpu"
        )
        sys.modules["geoai.utils"] = stand_in
    return importlib.import_module("geoai.inference")


def _memory(field: str) -> int:
    """Return VmRSS or VmHWM of this process in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


if __name__ == "__main__":
    main()
