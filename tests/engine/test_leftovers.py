"""Drafts of killed runs go with the next run of the same output; all others stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rasterio
from affine import Affine

from panloom.engine import leftovers
from panloom.engine.outputs import Outputs
from panloom.engine.sample.pair import SamplePair, write_sample_pair

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")

WRITER = """
import sys, time
from pathlib import Path
from panloom.engine.outputs import Outputs
target = Path(sys.argv[1])
with Outputs(overwrite=True) as outputs:
    draft = outputs.draft(target)
    draft.write_text("half")
    draft.with_name(draft.name + ".ovr").write_text("half")
    draft.with_name(draft.name + "-journal").write_text("half")
    folder = outputs.scratch(draft, ".models")
    folder.mkdir()
    (folder / "m").write_text("half")
    print("written", flush=True)
    time.sleep(600)
"""
Start = Callable[[Path], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a run that writes drafts for a target and then hangs."""
    children: list[subprocess.Popen[str]] = []

    def start_(target: Path) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", WRITER, str(target)]
        children.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        assert children[-1].stdout is not None
        assert children[-1].stdout.readline() == "written\n"
        return children[-1]

    yield start_
    for child in children:
        child.kill()
        child.wait()


def kill(child: subprocess.Popen[Any]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(target: Path) -> None:
    with Outputs(overwrite=True) as outputs:
        outputs.draft(target).write_text("whole")


def test_what_a_killed_run_has_left_goes_with_the_next_run(start: Start, tmp_path: Path) -> None:
    kill(start(tmp_path / "map.tif"))
    left = names(tmp_path)
    assert len(left) == 4
    assert all(name.startswith(".map.") for name in left)
    write(tmp_path / "map.tif")
    assert names(tmp_path) == ["map.tif"]


def test_a_killed_run_that_waits_to_be_buried_is_over(start: Start, tmp_path: Path) -> None:
    child = start(tmp_path / "map.tif")
    child.send_signal(signal.SIGKILL)
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    write(tmp_path / "map.tif")
    assert names(tmp_path) == ["map.tif"]


def test_drafts_of_a_run_that_goes_on_stay(start: Start, tmp_path: Path) -> None:
    dead, live = start(tmp_path / "map.tif"), start(tmp_path / "map.tif")
    kill(dead)
    write(tmp_path / "map.tif")
    left = [name for name in names(tmp_path) if name != "map.tif"]
    assert len(left) == 4
    assert all(name.startswith(f".map.{live.pid}-") for name in left)


def test_only_drafts_of_the_same_output_go(start: Start, tmp_path: Path) -> None:
    for name in ("map.tif", "map.2.tif", "mapX.tif", "other.tif"):
        kill(start(tmp_path / name))
    before = names(tmp_path)
    write(tmp_path / "map.tif")
    expected = [name for name in before if not name.startswith(".map.")]
    twos = [name for name in before if name.startswith(".map.2.")]
    assert len(twos) == 4
    assert names(tmp_path) == sorted([*expected, *twos, "map.tif"])


def test_what_is_not_surely_a_killed_runs_stays(start: Start, tmp_path: Path) -> None:
    kill(start(tmp_path / "map.tif"))
    name = next(name for name in names(tmp_path) if name.endswith(".part.tif"))
    pid, started, boot, machine = name.removeprefix(".map.").removesuffix(".part.tif").split("-")
    keep = [
        ".map.part.tif",
        f".map.{pid}.part.tif",  # as versions before named theirs
        f".map.{pid}-{started}-{boot}-{'0' * 8}.part.tif",  # another machine's
        f".map.{pid}-{started}-{'0' * 8}-{machine}.part.tif",  # of another boot, but changed since
        f".map.{pid}-{started}-{boot}-{machine}.partly.tif",
        f".map.0-{started}-{boot}-{machine}.part.tif",
        f"map.{pid}-{started}-{boot}-{machine}.part.tif",
    ]
    for kept in keep:
        (tmp_path / kept).write_text("mine")
    (tmp_path / "treasure").mkdir()
    (tmp_path / "treasure" / "gold").write_text("mine")
    link = f".map.{pid}-{started}-{boot}-{machine}.part.link"
    (tmp_path / link).symlink_to(tmp_path / "treasure")
    write(tmp_path / "map.tif")
    assert names(tmp_path) == sorted([*keep, link, "map.tif", "treasure"])
    assert names(tmp_path / "treasure") == ["gold"]


def test_what_was_left_before_the_machine_started_anew_goes(tmp_path: Path) -> None:
    """Power loss: the number may belong to another process by now, here to this one."""
    mine = leftovers.draft_stem("map")
    pid, started, _, machine = mine.removeprefix(".map.").removesuffix(".part").split("-")
    lost = tmp_path / f".map.{pid}-{started}-{'0' * 8}-{machine}.part.tif"
    lost.write_text("half")
    booted = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    os.utime(lost, (booted - 60, booted - 60))
    write(tmp_path / "map.tif")
    assert names(tmp_path) == ["map.tif"]


def test_a_process_that_has_taken_over_the_number_is_not_the_run(tmp_path: Path) -> None:
    mine = leftovers.draft_stem("map")
    pid, started, boot, machine = mine.removeprefix(".map.").removesuffix(".part").split("-")
    earlier = f"{int(started, 16) - 100:x}"
    (tmp_path / f".map.{pid}-{earlier}-{boot}-{machine}.part.tif").write_text("half")
    (tmp_path / f"{mine}.gpkg").write_text("under way")
    write(tmp_path / "map.tif")
    assert names(tmp_path) == [f"{mine}.gpkg", "map.tif"]


def test_another_users_drafts_stay(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(start(tmp_path / "map.tif"))
    before = names(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    write(tmp_path / "map.tif")
    assert names(tmp_path) == sorted([*before, "map.tif"])


def engine(pair: SamplePair, target: Path) -> list[str]:
    return [
        sys.executable, "-m", "panloom.engine", "classify", str(pair.ms), str(pair.pan),
        str(target), "--model=landsat-5class", "--device=cpu", "--overwrite",
        f"--polygons={target.with_suffix('.gpkg')}", f"--areas={target.with_suffix('.csv')}",
    ]  # fmt: skip


def empty_raster(path: Path, bands: int, size_px: int, pixel_m: float) -> Path:
    """Write a raster of zeros that takes no room on the disk."""
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, width=size_px, height=size_px, dtype="uint16",
        crs="EPSG:32630", transform=Affine(pixel_m, 0, 5e5, 0, -pixel_m, 6e6), SPARSE_OK=True,
        tiled=True, blockxsize=512, blockysize=512,
    ):  # fmt: skip
        return path


def test_the_map_after_a_killed_one_has_no_hidden_file_beside_it(tmp_path: Path) -> None:
    small = write_sample_pair(tmp_path / "small", size_ms_px=(64, 48), seed=3)
    ms = empty_raster(tmp_path / "ms.tif", 6, 8192, 30.0)
    pan = empty_raster(tmp_path / "pan.tif", 1, 16384, 15.0)  # no machine has mapped it in time
    target = tmp_path / "out" / "map.tif"
    target.parent.mkdir()
    endless = SamplePair(ms, pan, small.truth)
    child = subprocess.Popen(engine(endless, target), stderr=subprocess.DEVNULL)
    while not any(name.endswith(".part.tif") for name in names(target.parent)):
        assert child.poll() is None
        time.sleep(0.02)
    kill(child)
    assert all(name.startswith(".map.") for name in names(target.parent))
    subprocess.run(engine(small, target), check=True, capture_output=True)
    assert "map.tif" in names(target.parent)
    assert not [name for name in names(target.parent) if name.startswith(".")]
