"""The whole path once: a sample pair, its land-cover map, the agreement with the known truth.

Run by ``make demo``. The map is made through QGIS (``qgis_process``) where QGIS is installed and by
the engine alone elsewhere. Everything lands in ``demo/``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import from_bounds
from sklearn.metrics import confusion_matrix

from panloom.engine.class_map import read_scheme
from panloom.engine.sample.pair import SamplePair, write_sample_pair
from panloom.models.classes import ClassScheme

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "demo"
MODEL = "landsat-5class"
MAP, POLYGONS = FOLDER / "land_cover.tif", FOLDER / "land_cover_polygons.gpkg"
CONFIDENCE, AREAS = FOLDER / "confidence.tif", FOLDER / "areas.csv"
PICTURE = FOLDER / "panloom_demo.png"
SYSTEM_PATH = "/usr/bin:/bin:/usr/local/bin"
"""Where QGIS finds the Python that it was built with, not one of pyenv or conda."""


def main() -> None:
    """Make the pair, classify it, and say what came out and where it is."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    pair = write_sample_pair(FOLDER)
    print("1  A made-up Landsat pair with fields, woods, water and a town:")
    print(f"   {describe(pair.ms)} · {describe(pair.pan)}")
    program = qgis_process()
    how = "through QGIS (qgis_process)" if program else "by the engine alone: QGIS is not here"
    print(f"2  Its land-cover map with the model {MODEL}, made {how}:", flush=True)
    began = time.monotonic()
    if program:
        classify_in_qgis(program, pair)
    else:
        classify(pair)
    print(f"   done in {time.monotonic() - began:.0f} s")
    scheme = read_scheme(MAP)
    mapped, truth = read_both(MAP, pair.truth)
    print("3  Agreement with the truth, which is known since the landscape is made up:")
    print_agreement(mapped, truth, scheme)
    draw(pair, mapped, truth, scheme)
    print(f"4  To look at, in {ROOT}:")
    print_files(pair)


def describe(path: Path) -> str:
    """Return size, bands and pixel of a raster in words."""
    with rasterio.open(path) as file:
        name = "MS" if file.count > 1 else "PAN"
        bands = f" × {file.count} bands" if file.count > 1 else ""
        return f"{name} {file.width} × {file.height}{bands}, {file.res[0]:g} m"


def qgis_process() -> str | None:
    """Return QGIS's command-line program, None where QGIS is not installed."""
    names = ("qgis_process.bin", "qgis_process")
    found = [shutil.which(name, path=SYSTEM_PATH) for name in names]
    return next(filter(None, [*found, shutil.which("qgis_process")]), None)


def classify_in_qgis(program: str, pair: SamplePair) -> None:
    """Write the map and what belongs to it through the Processing provider."""
    parameters = {
        "MS": pair.ms, "PAN": pair.pan, "MODEL": MODEL, "OUTPUT": MAP,
        "POLYGONS": POLYGONS, "CONFIDENCE": CONFIDENCE, "AREAS": AREAS,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="panloom-demo-") as home:
        environment = qgis_environment(Path(home))
        checked([program, "plugins", "enable", "panloom"], environment)
        version = checked([program, "--version"], environment).split()[1].partition("-")[0]
        print(f"   qgis_process run panloom:classify, QGIS {version}", flush=True)
        values = [f"{name}={value}" for name, value in parameters.items()]
        checked([program, "run", "panloom:classify", "--", *values], environment)


def classify(pair: SamplePair) -> None:
    """Write the map and what belongs to it through the engine's command line."""
    command = [sys.executable, "-m", "panloom.engine", "classify", str(pair.ms), str(pair.pan)]
    command += [str(MAP), "--model", MODEL, "--polygons", str(POLYGONS)]
    checked([*command, "--confidence", str(CONFIDENCE), "--areas", str(AREAS)], env=None)


def qgis_environment(home: Path) -> dict[str, str]:
    """Return the environment of a QGIS with a fresh profile that holds this plugin only."""
    plugins = home / "profiles" / "default" / "python" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "panloom").symlink_to(ROOT)
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    environment |= {
        "PATH": SYSTEM_PATH,
        "HOME": str(home),
        "QGIS_CUSTOM_CONFIG_PATH": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "QT_QPA_PLATFORM": "offscreen",
        "PANLOOM_PYTHON": sys.executable,
        "LC_ALL": "C.UTF-8",
    }
    return environment


def checked(command: list[str], env: dict[str, str] | None) -> str:
    """Return the command's stdout; ends the demo with all that it said where it fails."""
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, check=False, errors="replace"
    )
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        sys.exit(f"The command failed with exit code {done.returncode}: {' '.join(command)}")
    return done.stdout


def read_both(map_path: Path, truth_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the class map and the truth under it, both (rows, cols) of class codes."""
    with rasterio.open(map_path) as file:
        mapped, bounds, transform = file.read(1), file.bounds, file.transform
    with rasterio.open(truth_path) as file:
        window = from_bounds(*bounds, file.transform).round_offsets().round_lengths()
        if not file.window_transform(window).almost_equals(transform, 1e-6):
            sys.exit("The map's pixels are not those of the PAN: please report this.")
        truth = file.read(1, window=window, boundless=True, fill_value=0)
    return mapped, truth


def print_agreement(mapped: np.ndarray, truth: np.ndarray, scheme: ClassScheme) -> None:
    """Print the share of pixels on which map and truth agree, overall and by class."""
    known = (truth > 0) & (mapped > 0)
    table = confusion_matrix(truth[known], mapped[known], labels=scheme.codes)
    right = np.diag(table)
    found = 100 * right / np.maximum(table.sum(axis=1), 1)
    correct = 100 * right / np.maximum(table.sum(axis=0), 1)
    print(f"   {100 * right.sum() / table.sum():.1f} % of {table.sum():,} pixels;", end=" ")
    print(f"{found.mean():.1f} % as the mean over classes")
    print(f"   {'':<22}{'of the truth':>14}{'of the map':>14}")
    for index, land_class in enumerate(scheme.classes):
        print(f"   {land_class.name:<22}{found[index]:>12.1f} %{correct[index]:>12.1f} %")


def draw(pair: SamplePair, mapped: np.ndarray, truth: np.ndarray, scheme: ClassScheme) -> None:
    """Write the picture: MS and PAN above, map and truth below, with a legend."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    with rasterio.open(pair.ms) as file:
        natural = np.dstack([stretched(file.read(band)) for band in (3, 2, 1)])
    with rasterio.open(pair.pan) as file:
        pan = stretched(file.read(1))
    palette = np.full((256, 3), 255, np.uint8)
    palette[list(scheme.codes)] = [c.rgb for c in scheme.classes]
    figure, axes = plt.subplots(2, 2, figsize=(11, 11.9), layout="constrained")
    pictures = {
        "MS, 30 m (red, green, blue)": natural,
        "PAN, 15 m": pan,
        f"Land-cover map, 15 m ({MODEL})": palette[mapped],
        "Known land cover": palette[truth],
    }
    for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
        axis.imshow(picture, cmap="gray", interpolation="nearest")
        axis.set_title(title, fontsize=12)
        axis.axis("off")
    patches = [Patch(facecolor=c.color, edgecolor="0.4", label=c.name) for c in scheme.classes]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)
    figure.savefig(PICTURE, dpi=110)


def stretched(band: np.ndarray) -> np.ndarray:
    """Return the band with its 1st to 99th percentile at 0…1."""
    low, high = np.percentile(band, (1, 99))
    return np.clip((band - low) / (high - low), 0, 1)


def print_files(pair: SamplePair) -> None:
    """Print every file that was made, and how to open them."""
    files = {
        "picture": PICTURE, "map": MAP, "polygons": POLYGONS,
        "confidence": CONFIDENCE, "areas": AREAS, "inputs": pair.ms,
    }  # fmt: skip
    for what, path in files.items():
        and_pan = f", {pair.pan.name}" if what == "inputs" else ""
        print(f"   {what:<11}{path.relative_to(ROOT)}{and_pan}")
    layers = [path.relative_to(ROOT) for path in (pair.ms, MAP, POLYGONS)]
    print("   In QGIS, where the layers arrive with their class names and colors:")
    print(f"   qgis {' '.join(map(str, layers))}")


if __name__ == "__main__":
    main()
