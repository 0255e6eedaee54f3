"""``panloom inspect``: what a pair is, whether it can run, and what the engine would do with it."""

from __future__ import annotations

from dataclasses import dataclass

from ...models.card import CardError, ModelCard
from ...models.file import find_model, is_onnx, read_card
from ..errors import InputError, PanloomError
from ..events import Progress, Result
from ..inspection.findings import (
    Facts,
    describe_pair,
    describe_raster,
    describe_shift,
    find_problems,
)
from ..inspection.page import as_html
from ..inspection.text import as_text
from ..outputs import Outputs
from ..progress import Report
from ..scene.align import place
from ..scene.needs import PairNeeds
from ..scene.pair import ScenePair
from ..scene.raster import Raster
from ..scene.raster_files import gdal_cache

__all__ = ["InspectOptions", "as_html", "as_text", "run"]


@dataclass(frozen=True)
class InspectOptions:
    """What ``panloom inspect`` takes; ``report`` is the path of an HTML page to write."""

    ms: str
    pan: str
    model: str | None = None
    report: str | None = None
    pan_shift: str = "none"
    overwrite: bool = False


@gdal_cache()
def run(options: InspectOptions, report: Report) -> Result:
    """Inspect a pair as far as it goes; what keeps it from running is listed, not raised."""
    with Outputs(overwrite=options.overwrite, inputs=(options.ms, options.pan)) as outputs:
        draft = outputs.draft(options.report) if options.report else None
        summary = _inspect(options, report)
        if draft is not None:
            draft.write_text(as_html(summary), encoding="utf-8")
    return Result({"report": options.report} if options.report else {}, summary)


def _inspect(options: InspectOptions, report: Report) -> Facts:
    summary: Facts = {
        "verdict": "", "ms": None, "pan": None, "pair": None, "map": None, "registration": None,
        "model": None, "plan": None, "decisions": [], "warnings": [], "problems": [],
    }  # fmt: skip
    card = _card(options.model, summary)
    needs = PairNeeds()
    if card is not None:
        needs = PairNeeds(model=card.name, ratio=card.ratio, band_roles=card.band_roles)
    report(Progress(0.05, "reading headers"))
    if _describe_files(options, needs, summary):
        report(Progress(0.2, "measuring the shift"))
        _describe_scene(options, needs, card, summary)
        report(Progress(0.6, "timing the network"))
        if card is not None and summary["map"] and not summary["problems"]:
            _describe_plan(options, needs, summary)
    report(Progress(1.0))
    summary["verdict"] = _verdict(summary, card)
    return summary


def _card(name: str | None, summary: Facts) -> ModelCard | None:
    if not name:
        return None
    try:
        card = read_card(find_model(name))
    except CardError as error:
        summary["problems"].append(f"{error} {getattr(error, 'hint', '')}".strip())
        return None
    summary["model"] = {
        "name": card.name,
        "title": card.title,
        "ratio": card.ratio,
        "bands": list(card.band_roles),
        "ms_pixel_m": list(card.gsd_range_m),
    }
    return card


def _describe_files(options: InspectOptions, needs: PairNeeds, summary: Facts) -> bool:
    """Fill in both files and how they lie; return whether there is a pair to look into."""
    rasters: dict[str, Raster] = {}
    try:
        _open("ms", options.ms, rasters, summary)
        _open("pan", options.pan, rasters, summary)
        if len(rasters) < 2:
            return False
        found = find_problems(rasters["ms"], rasters["pan"], needs)
        summary["problems"] += [str(problem) for problem in found]
        if any(problem.code == "one-crs" for problem in found):
            return False
        summary["pair"] = describe_pair(place(rasters["ms"], rasters["pan"]))
        return rasters["pan"].count == 1
    finally:
        for raster in rasters.values():
            raster.close()


def _open(role: str, spec: str, rasters: dict[str, Raster], summary: Facts) -> None:
    try:
        rasters[role] = Raster.open(spec)
        summary[role] = describe_raster(rasters[role])
    except InputError as error:
        summary["problems"].append(str(error))


def _describe_scene(
    options: InspectOptions, needs: PairNeeds, card: ModelCard | None, summary: Facts
) -> None:
    """Fill in the shift, the map and the decisions; where the model does not fit, without it."""
    fitting = PairNeeds() if summary["problems"] else needs
    try:
        with ScenePair.open(options.ms, options.pan, needs=fitting) as nominal:
            summary["registration"] = describe_shift(nominal.measure_shift())
        with ScenePair.open(
            options.ms, options.pan, needs=fitting, pan_shift=options.pan_shift
        ) as pair:
            _describe_map(pair, card, summary)
    except InputError as error:
        if str(error) not in summary["problems"]:
            summary["problems"].append(str(error))


def _describe_map(pair: ScenePair, card: ModelCard | None, summary: Facts) -> None:
    window, grid = pair.map_window, pair.pan.grid.crop(pair.map_window)
    summary["map"] = {
        "size_px": [window.width, window.height],
        "pixel_m": round(grid.gsd_m, 4) if grid.crs is not None else None,
        "crs": summary["pan"]["crs"],
        "working_ratio": pair.ratio,
    }
    for note in pair.notes:
        summary["warnings" if note.level == "warning" else "decisions"].append(note.text)
    low, high = card.gsd_range_m if card else (0.0, float("inf"))
    found = pair.ms.grid.gsd_m
    if card and pair.ms.grid.crs is not None and not low <= found <= high:
        summary["warnings"].append(
            f"The MS pixels that the model sees are {found:.3g} m; `{card.name}` was made for "
            f"{low:g} to {high:g} m, so expect more errors than its card says."
        )
    found_shift = summary["registration"]
    if found_shift["needs_correction"] and pair.shift == (0.0, 0.0):
        summary["warnings"].append(found_shift["text"])


def _describe_plan(options: InspectOptions, needs: PairNeeds, summary: Facts) -> None:
    from ...models.bundle import load_bundle  # torch takes seconds to load, and only this needs it
    from ..device import choose_device
    from ..inspection.estimate import estimate
    from ..own_network.estimate import estimate_own

    path, device = find_model(str(options.model)), choose_device("auto")
    try:
        with ScenePair.open(
            options.ms, options.pan, needs=needs, pan_shift=options.pan_shift
        ) as pair:
            if is_onnx(path):
                found = estimate_own(path, device, pair.ms.grid)
            else:
                found = estimate(load_bundle(path), device, pair.ms.grid)
    except (CardError, PanloomError) as error:
        summary["problems"].append(str(error))
        return
    summary["plan"] = found.to_json()


def _verdict(summary: Facts, card: ModelCard | None) -> str:
    count = len(summary["problems"])
    if count:
        return f"The pair cannot run: {count} problem{'s' if count > 1 else ''}."
    if card is None:
        return "The two rasters fit together; no model was named, so none was checked."
    return f"The pair runs with model `{card.name}`."
