"""Pages of results: what ran, when and where, then the tables; printed and written together."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Iterator
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
NOT_MEASURED = "not measured"


def publish(name: str, lines: Iterable[str]) -> None:
    """Print each line as it comes, then write all of them to ``results/NAME.md``."""
    written = []
    for line in lines:
        print(line, flush=True)
        written.append(line)
    (RESULTS / f"{name}.md").write_text("\n".join(written) + "\n", encoding="utf-8")


def head(title: str, *, packages: tuple[str, ...] = ("torch",)) -> Iterator[str]:
    """Yield a page's title and its paragraph on how it came about: command, date, hardware."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    yield from (f"# {title}", "")
    yield f"`{_command()}`,"
    yield f"{date.today().isoformat()}, {hardware_text()}, load at the start {load:.1f},"
    yield f"{', '.join(_version_text(package) for package in packages)}."


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield a table's lines, each row as soon as it is there."""
    names = list(columns)
    yield from ("", row(names), row(["---"] * len(names)))
    yield from (row(cells) for cells in rows)


def row(cells: Iterable[str]) -> str:
    """Return one line of a table."""
    return "| " + " | ".join(cells) + " |"


def hardware_text() -> str:
    """Return the class of the hardware: cores that may be used, the CPU's family, GPUs or none."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = platform.machine().replace("x86_64", "x86-64").replace("AMD64", "x86-64")
    return f"{cores}-core {machine} ({_cpu_name()}), {_gpu_text()}"


def _command() -> str:
    """Return the command as somebody would repeat it: files by their names alone."""
    script, *arguments = sys.argv
    words = [Path(word).name if os.path.isabs(word) else word for word in arguments]
    return " ".join(["python", f"benchmarks/{Path(script).name}", *words])


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "CPU unknown"


def _gpu_text() -> str:
    torch = sys.modules.get("torch")  # a benchmark without torch stays one
    if torch is None or not torch.cuda.is_available():
        return "no GPU used"
    return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}"


def _version_text(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"
