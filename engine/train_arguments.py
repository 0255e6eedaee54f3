"""The arguments of ``panloom train``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from .argument_types import above_zero, positive, seed

_TRAIN_FORMS = "MS PAN SAMPLES OUT.safetensors, or SCENES.csv OUT.safetensors"


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add what only ``panloom train`` takes."""
    parser.usage = "\n       ".join(
        f"%(prog)s {form} [options]" for form in _TRAIN_FORMS.split(", or ")
    )
    parser.epilog = (
        "SAMPLES are polygons or points with the class in --class-field, a raster of class codes "
        "(0 is unlabelled), or such an array as .npy or .mat. SCENES.csv lists several scenes: "
        "its columns are ms, pan and samples, and if needed class_field and group; relative paths "
        "are relative to the list. Ctrl-C ends the training with the best model so far."
    )
    parser.add_argument(
        "paths",
        nargs="+",
        action=_TrainPaths,
        default=argparse.SUPPRESS,
        metavar="PATH",
        help=_TRAIN_FORMS,
    )
    parser.add_argument(
        "--class-field", metavar="FIELD", help="field with the samples' class codes or names"
    )
    parser.add_argument("--network", metavar="NAME", help="network of a new model (adcdnet)")
    parser.add_argument("--fusion", metavar="NAME", help="how adcdnet joins MS and PAN")
    parser.add_argument(
        "--base", metavar="NAME|FILE", help="model to start from, keeping its classes if they fit"
    )
    parser.add_argument("--epochs", type=positive, metavar="N", help="most epochs, of 50 steps")
    parser.add_argument(
        "--minutes", type=above_zero, metavar="M", help="time limit of the training"
    )
    parser.add_argument(
        "--stage1",
        choices=("on", "off"),
        default="off",
        help="learn from unlabelled pixels first (off)",
    )
    parser.add_argument(
        "--validation",
        choices=("blocks", "random", "none"),
        default="blocks",
        help="samples kept apart to measure accuracy (blocks)",
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of all random choices")


class _TrainPaths(argparse.Action):
    """Tells one pair with its samples (four paths) from a list of several (two)."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        paths = list(values or ())
        names: tuple[str, ...] = ("ms", "pan", "samples", "output")
        if len(paths) == 2 and str(paths[0]).lower().endswith(".csv"):
            names = ("scenes", "output")
        if len(paths) != len(names):
            raise argparse.ArgumentError(
                None, f"train takes {_TRAIN_FORMS}; {len(paths)} paths were given"
            )
        for name, path in zip(names, paths):
            setattr(namespace, name, path)
