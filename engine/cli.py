"""The command line: ``panloom COMMAND …``.

Only the standard library is imported before a command runs, so ``panloom --help`` is quick.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .argument_types import above_zero, not_negative, pan_shift, positive
from .collector import leave_all
from .dispatch import Command, Ending, exit_code, recipe_of, run_command
from .events import Failure, Result
from .leash import stop_on_signals, watch_leash
from .reporting import EventLines, Reporter, TextLines, grace_of
from .serve import SERVE, serve
from .train_arguments import add_train
from .version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code: 0 result, 1 failure, 2 usage, 130 cancelled."""
    command, events, as_json = _parsed(arguments)
    # Threads that wait for work by spinning starve the others where cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        if command.name == SERVE:
            return serve(parse, 60 * command.options["idle_minutes"])
        return _run(command, events=events, as_json=as_json)
    finally:
        leave_all()


def _run(command: Command, *, events: bool, as_json: bool) -> int:
    reporter = Reporter(EventLines() if events else TextLines(), grace_s=grace_of(command.name))
    stop_on_signals(reporter.cancel)
    if events:
        watch_leash(reporter.cancel)
    ending = run_command(command, reporter)
    if not events:
        _show(command, ending, as_json)
    return exit_code(ending)


def parse(arguments: Sequence[str]) -> Command:
    """Return what the words after ``panloom`` ask for; raises SystemExit as argparse does."""
    return _parsed(arguments)[0]


def _parsed(arguments: Sequence[str] | None) -> tuple[Command, bool, bool]:
    """Return the command, whether events are wanted, and whether JSON is."""
    options = vars(_parser().parse_args(arguments))
    events, as_json = options.pop("events", False), options.pop("json", False)
    return Command(options.pop("command"), options), events, as_json


def _show(command: Command, ending: Ending, as_json: bool) -> None:
    if isinstance(ending, Result):
        print(_as_text(recipe_of(command.name), ending, as_json))
    elif isinstance(ending, Failure):
        print(f"Error: {ending.message} {ending.hint}".rstrip(), file=sys.stderr)
    else:
        print("Cancelled; nothing was written.", file=sys.stderr)


def _as_text(recipe: Any, result: Result, as_json: bool) -> str:
    if as_json:
        return json.dumps(result.summary, indent=2, ensure_ascii=False)
    to_text: Callable[[dict[str, Any]], str] | None = getattr(recipe, "as_text", None)
    lines = [] if to_text is None else [to_text(result.summary)]
    lines += [f"{role.replace('_', ' '):<15} {path}" for role, path in result.outputs.items()]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="panloom",
        description="Land-cover maps from a multispectral (MS) and a panchromatic (PAN) raster.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"panloom {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_classify(_command(commands, "classify", "make a land-cover map"))
    _add_inspect(_command(commands, "inspect", "check a pair before a run"))
    _add_vectorize(_command(commands, "vectorize", "make polygons of a class map"))
    _add_assess(_command(commands, "assess", "compare a class map with reference samples"))
    train = _command(commands, "train", "train a model on samples of one's own")
    add_train(train)
    _add_device(train)
    _add_overwrite(train)
    models = _command(commands, "models", "list the models that come with Panloom, or one's card")
    models.add_argument("model", metavar="NAME|FILE", nargs="?", help="only this model's card")
    models.add_argument("--json", action="store_true", help="print the cards as JSON")
    check = _command(commands, "check", "check that this engine works")
    _add_device(check)
    check.add_argument("--json", action="store_true", help="print the outcome as JSON")
    serving = _command(commands, SERVE, "answer runs on stdin until it closes, for programs")
    serving.add_argument(
        "--idle-minutes",
        type=above_zero,
        default=10.0,
        metavar="N",
        help="end after so long without a run (10)",
    )
    sample = _command(commands, "sample", "make a sample pair with a known truth")
    sample.add_argument("folder", metavar="FOLDER", help="folder to write to; made if needed")
    _add_overwrite(sample)
    return parser


def _command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    parser.add_argument(
        "--events",
        action="store_true",
        help="for programs: JSON lines on stdout; closing stdin cancels",
    )
    return parser


def _add_pair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ms", metavar="MS", help="multispectral raster, or its bands' files joined by commas"
    )
    parser.add_argument("pan", metavar="PAN", help="panchromatic raster")


def _add_classify(parser: argparse.ArgumentParser) -> None:
    _add_pair(parser)
    parser.add_argument("output", metavar="OUT.tif", help="class map to write")
    parser.add_argument("--model", required=True, metavar="NAME|FILE", help="see `panloom models`")
    parser.add_argument("--polygons", metavar="FILE", help="polygons: .gpkg, .fgb or .parquet")
    parser.add_argument("--confidence", metavar="FILE.tif", help="maximum probability in percent")
    parser.add_argument("--areas", metavar="FILE.csv", help="pixels and m² of each class")
    parser.add_argument("--grid", choices=("pan", "ms"), default="pan", help="pixels of the map")
    parser.add_argument("--aoi", metavar="VECTOR", help="polygons outside of which is nodata")
    _add_polygon_options(parser)
    _add_device(parser)
    parser.add_argument(
        "--tile-px",
        type=positive,
        metavar="N",
        help="tile side in MS pixels; the map does not depend on it",
    )
    parser.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="tiles at once; the map does not depend on it",
    )
    parser.add_argument(
        "--evaluation",
        choices=("dense", "patch"),
        default="dense",
        help="patch: one pass for every MS pixel, as in the papers; slow, the same map",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="of the network in torch; auto: half on CUDA where it gives the same map, else fp32",
    )
    parser.add_argument(
        "--runtime",
        choices=("auto", "torch", "onnxruntime", "openvino"),
        default="auto",
        help="what computes the network; auto: ONNX Runtime for large maps on a CPU, else torch",
    )
    _add_pan_shift(parser)
    _add_overwrite(parser)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    _add_pair(parser)
    parser.add_argument("--model", metavar="NAME|FILE", help="the model that the pair is for")
    parser.add_argument("--report", metavar="FILE.html", help="write the report as a page")
    _add_pan_shift(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    _add_overwrite(parser)


def _add_vectorize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("map", metavar="MAP", help="class map")
    parser.add_argument("output", metavar="OUT", help="polygons: .gpkg, .fgb or .parquet")
    parser.add_argument("--confidence", metavar="FILE.tif", help="confidence raster of the map")
    _add_polygon_options(parser)
    _add_overwrite(parser)


def _add_assess(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("map", metavar="MAP", help="class map")
    parser.add_argument("reference", metavar="REFERENCE", help="points, polygons or a raster")
    parser.add_argument(
        "--class-field", metavar="FIELD", help="field with the samples' class codes or names"
    )
    parser.add_argument("--report", required=True, metavar="FILE.html", help="page to write")
    parser.add_argument(
        "--json", dest="json_file", metavar="FILE.json", help="write the figures as JSON"
    )
    _add_overwrite(parser)


def _add_polygon_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mmu-m2",
        type=not_negative,
        default=0.0,
        metavar="X",
        help="minimum mapping unit of the polygons, m²",
    )
    parser.add_argument(
        "--simplify-m",
        type=not_negative,
        default=0.0,
        metavar="X",
        help="simplification of the polygons, m",
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        metavar="auto|cpu|cuda|cuda:N|cuda:all|mps",
        help="where the network runs",
    )


def _add_pan_shift(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pan-shift",
        type=pan_shift,
        default="none",
        metavar="none|auto|DX,DY",
        help="PAN pixels (right, down) by which the PAN is displaced, as in --pan-shift=-1,0.5",
    )


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")
