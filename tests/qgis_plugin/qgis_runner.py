"""Starts the system's QGIS, in a profile of its own, as a subprocess."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROFILE = Path(".local", "share", "QGIS", "QGIS3", "profiles", "default")
TIMEOUT_S = 300


@dataclass(frozen=True)
class QgisRunner:
    """A QGIS whose HOME is ``home``; ``plugin`` is the folder that is installed as panloom."""

    program: str
    home: Path
    plugin: Path

    def __post_init__(self) -> None:
        plugins = self.profile / "python" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "panloom").symlink_to(self.plugin)
        (self.home / "run").mkdir(mode=0o700)

    @property
    def profile(self) -> Path:
        """The folder of the profile."""
        return self.home / PROFILE

    def process(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``qgis_process`` with ``words``; variables are added to its environment."""
        return self._run([self.program, *words], variables)

    def algorithm(
        self, name: str, inputs: dict[str, object], **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one algorithm and have its results as JSON on stdout."""
        words = [f"{key}={value}" for key, value in inputs.items()]
        return self._run([self.program, "--json", "run", name, "--", *words], variables)

    def python(
        self, script: Path, *words: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script in QGIS's Python."""
        return self._run(["/usr/bin/python3", str(script), *words], variables)

    def inside(self, what: str, *arguments: object, **variables: str) -> dict[str, object]:
        """Call a function of inside_qgis.py; return ``answer``, ``loaded`` modules and ``path``."""
        script = Path(__file__).with_name("inside_qgis.py")
        done = self.python(script, what, json.dumps(arguments), **variables)
        assert done.stdout.strip(), done.stderr
        answer: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer

    def window(self, script: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Start QGIS with a window on a virtual display and have it run ``script``."""
        size = ["-s", "-screen 0 1500x950x24"]
        qgis = ["qgis", "--nologo", "--noversioncheck", "--code", str(script)]
        variables = {"QT_QPA_PLATFORM": "xcb", **variables}
        return self._run(["xvfb-run", "-a", *size, *qgis], variables)

    def environment(self) -> dict[str, str]:
        """Return an environment in which QGIS's Python meets nothing of the test's own."""
        kept = (
            "LANG", "LC_ALL", "TMPDIR", "PANLOOM_DATA", "PANLOOM_ARTIFACTS", "LD_LIBRARY_PATH",
            "OMP_NUM_THREADS",
        )  # fmt: skip
        plugins = self.profile / "python" / "plugins"
        return {
            **{k: v for k, v in os.environ.items() if k in kept or k.startswith("PIP_")},
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "QT_QPA_PLATFORM": "offscreen",
            "PYTHONPATH": f"{plugins}:/usr/share/qgis/python:/usr/share/qgis/python/plugins",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PANLOOM_PYTHON": sys.executable,
        }

    def _run(
        self, command: list[str], variables: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shutil.which(command[0], path="/usr/bin:/bin") or command[0], *command[1:]],
            env={**self.environment(), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
