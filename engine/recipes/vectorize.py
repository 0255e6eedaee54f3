"""``panloom vectorize``: from a class map to styled polygons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..class_map import read_scheme
from ..events import Result
from ..outputs import Outputs
from ..polygons.layer import write_polygons
from ..polygons.strips import require_class_map
from ..polygons.vector_file import require_vector_format
from ..progress import Report
from ..style import polygon_style_path, write_polygon_style


@dataclass(frozen=True)
class VectorizeOptions:
    """What ``panloom vectorize`` takes: areas in m², tolerances in m, the confidence in percent."""

    map: str
    output: str
    mmu_m2: float = 0.0
    simplify_m: float = 0.0
    confidence: str | None = None
    overwrite: bool = False


def run(options: VectorizeOptions, report: Report) -> Result:
    """Write the polygons of a class map and their style; raises PanloomError, leaving no file."""
    target = Path(options.output)
    require_vector_format(target)
    inputs = tuple(path for path in (options.map, options.confidence) if path)
    with Outputs(overwrite=options.overwrite, inputs=inputs) as outputs:
        draft = outputs.draft(target)
        style_path = polygon_style_path(target, Path(options.map))
        style = outputs.draft(style_path)
        require_class_map(options.map)
        scheme = read_scheme(options.map)
        count = write_polygons(
            options.map,
            draft,
            scheme,
            layer=target.stem,
            mmu_m2=options.mmu_m2,
            simplify_m=options.simplify_m,
            confidence_path=options.confidence,
            report=report,
        )
        write_polygon_style(style, scheme)
    files = {"polygons": target, "polygons_style": style_path}
    return Result({role: str(path.absolute()) for role, path in files.items()}, {"polygons": count})
