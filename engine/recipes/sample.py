"""``panloom sample``: a sample pair with a known truth, for a first look at Panloom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..events import Result
from ..outputs import Outputs
from ..progress import Report
from ..sample.pair import BANDS, SamplePair, sample_paths, write_sample


@dataclass(frozen=True)
class SampleOptions:
    """What ``panloom sample`` takes; ``size_px`` is the side of the MS raster in its pixels."""

    folder: str
    size_px: int = 300
    seed: int = 11
    overwrite: bool = False


def run(options: SampleOptions, report: Report) -> Result:
    """Write MS, PAN and truth into the folder; raises PanloomError, leaving no file."""
    if not 32 <= options.size_px <= 2000:
        raise InputError(
            f"A sample pair of {options.size_px} MS pixels cannot be made.",
            "sample-size",
            "Choose 32 to 2000.",
        )
    pair = sample_paths(options.folder)
    _make_folder(pair.ms.parent)
    with Outputs(overwrite=options.overwrite) as outputs:
        drafts = SamplePair(
            outputs.draft(pair.ms), outputs.draft(pair.pan), outputs.draft(pair.truth)
        )
        write_sample(drafts, size_ms_px=(options.size_px, options.size_px), seed=options.seed)
    return Result(
        {
            "ms": str(pair.ms.absolute()),
            "pan": str(pair.pan.absolute()),
            "truth": str(pair.truth.absolute()),
        },
        {"size_px": options.size_px, "seed": options.seed, "bands": list(BANDS)},
    )


def as_text(summary: dict[str, Any]) -> str:
    """Return what was made, for people."""
    side = summary["size_px"]
    return (
        f"A made-up Landsat pair: MS {side} × {side} pixels of 30 m with {len(summary['bands'])} "
        f"bands, PAN of 15 m, and the land cover that a map of it should show."
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder `{folder}` cannot be made ({error.strerror}).",
            "no-output-folder",
            "Choose another folder.",
        ) from error
