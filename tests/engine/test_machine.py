"""Cores and memory are those of the tightest limit around this process."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from panloom.engine import machine
from panloom.engine.machine import free_memory, usable_cores

GIB = 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the control groups; no group is known and memory is plenty."""
    monkeypatch.setattr(machine, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(12)), raising=False)

    class Plenty:
        available = 64 * GIB

    monkeypatch.setattr(psutil, "virtual_memory", Plenty)
    return tmp_path


def _write(folder: Path, own: str, **files: str) -> None:
    (folder / "own").write_text(own)
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_without_limits_the_machine_is_the_limit(groups: Path) -> None:
    assert (usable_cores(), free_memory()) == (12, 64 * GIB)
    _write(groups, "0::/user\n", **{"user__memory-max": "max\n", "user__cpu-max": "max 100000\n"})
    assert (usable_cores(), free_memory()) == (12, 64 * GIB)


@pytest.mark.parametrize(("quota", "cores"), [("200000", 2), ("150000", 2), ("10000", 1)])
def test_a_container_has_a_part_of_the_machine(groups: Path, quota: str, cores: int) -> None:
    """As Docker's --cpus and --memory; what was read from files gives way to what is computed."""
    _write(
        groups, "0::/\n",
        **{
            "cpu-max": f"{quota} 100000\n", "memory-max": f"{4 * GIB}\n",
            "memory-current": f"{3 * GIB}\n",
            "memory-stat": f"anon {GIB}\nactive_file 7\ninactive_file {GIB}\n",
        },
    )  # fmt: skip
    assert (usable_cores(), free_memory()) == (cores, 2 * GIB)


def test_the_tightest_of_nested_groups_counts(groups: Path) -> None:
    _write(
        groups, "0::/batch/job\n",
        **{
            "batch__memory-max": f"{2 * GIB}", "batch__memory-current": f"{GIB}",
            "batch__job__memory-max": f"{8 * GIB}", "batch__job__memory-current": "0",
        },
    )  # fmt: skip
    assert free_memory() == GIB


def test_the_older_form_of_groups_is_read_too(groups: Path) -> None:
    _write(
        groups, "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n",
        **{
            "memory__memory-limit_in_bytes": f"{3 * GIB}",
            "memory__memory-usage_in_bytes": f"{GIB}",
            "memory__memory-stat": "total_inactive_file 5\ninactive_file 1\n",
            "cpu,cpuacct__docker__1__cpu-cfs_quota_us": "300000",
            "cpu,cpuacct__docker__1__cpu-cfs_period_us": "100000",
            "cpu,cpuacct__cpu-cfs_quota_us": "-1",
            "cpu,cpuacct__cpu-cfs_period_us": "100000",
        },
    )  # fmt: skip
    assert (usable_cores(), free_memory()) == (3, 2 * GIB + 5)


def test_a_limit_that_is_overrun_leaves_nothing(groups: Path) -> None:
    _write(groups, "0::/\n", **{"memory-max": "100", "memory-current": "300"})
    assert free_memory() == 0


def test_this_machine_has_cores_and_memory() -> None:
    assert usable_cores() >= 1
    assert 0 < free_memory() <= psutil.virtual_memory().total
