"""Makes the engine's environment: a venv, one pip call, one forward pass as proof.

Standard library only, Python 3.9. Nothing outside of the chosen folder is written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from ..engine.events import Result
from .base_python import find_base_python
from .child_process import run_child
from .engine_command import copyable, engine_command
from .engine_home import (
    PLUGIN_FOLDER,
    EngineRecord,
    lock_digest,
    requirements,
    write_record,
)
from .engine_process import EngineCancelled, EngineError, Listener, run_engine

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
WINDOWS_GPU_INDEX = "https://download.pytorch.org/whl/cu130"
DEVICES = ("auto", "cpu", "gpu")


@dataclass(frozen=True)
class SetupOptions:
    """What the set-up is asked for; ``proxy`` is a URL with its credentials escaped."""

    folder: Path
    base_python: str = ""
    device: str = "auto"
    wheels: str = ""
    proxy: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Voice:
    """Where the set-up's words go: ``step`` takes a fraction and a title, ``line`` pip's output."""

    step: Callable[[float, str], None]
    line: Callable[[str], None]
    is_cancelled: Callable[[], bool]


def set_up(options: SetupOptions, voice: Voice) -> str:
    """Make a fresh environment and return its interpreter; an existing one serves until then.

    Raises EngineError or EngineCancelled, and then leaves the folder as it was.
    """
    environment = _environment(options)
    base = find_base_python(options.base_python, environment)
    device = _device(options.device, environment)
    options.folder.mkdir(parents=True, exist_ok=True)
    home = _free_name(options.folder)
    run = _Runner(environment, voice, options.proxy)
    try:
        voice.step(0.02, f"Making an environment with {base}")
        run([base, "-m", "venv", str(home)], "The environment could not be made")
        python = _interpreter(home)
        voice.step(0.08, f"Installing torch ({device}) and what else the engine needs")
        run(_pip_install(python, device, options.wheels, run), "pip could not install the engine")
        _write_package(python, run)
        voice.step(0.9, "Trying the engine: one forward pass")
        _prove(python, environment, voice)
        write_record(options.folder, EngineRecord(python, lock_digest(), device))
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    _remove_others(home)
    return python


@dataclass(frozen=True)
class _Runner:
    """Runs one step's command, its output in the log; a secret in the proxy never is."""

    environment: Mapping[str, str]
    voice: Voice
    secret: str

    def __call__(self, command: Sequence[str], failure: str) -> list[str]:
        said: list[str] = []

        def on_line(stream: str, text: str) -> bool:
            clean = text.replace(self.secret, "(proxy)") if self.secret else text
            said.append(clean)
            self.voice.line(clean)
            return False

        self.voice.line(copyable(command))
        cancelled = self.voice.is_cancelled
        code = run_child(command, self.environment, on_line, cancelled, grace_s=0.0)
        if cancelled():
            raise EngineCancelled
        if code != 0:
            last = "\n".join(said[-8:])
            raise EngineError(f"{failure} (exit code {code}):\n{last}", _advice(last), "setup")
        return said


def _environment(options: SetupOptions) -> dict[str, str]:
    environment = dict(options.environment)
    environment.update(PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_PROGRESS_BAR="off")
    if options.proxy:
        environment.update(HTTP_PROXY=options.proxy, HTTPS_PROXY=options.proxy)
    return environment


def _device(wanted: str, environment: Mapping[str, str]) -> str:
    """Return ``cpu`` or ``gpu``; NVIDIA's own tool on PATH tells that there is a GPU."""
    if wanted != "auto":
        return wanted
    return "gpu" if shutil.which("nvidia-smi", path=environment.get("PATH")) else "cpu"


def _free_name(folder: Path) -> Path:
    """Return a short name that is free: Windows allows 260 characters, and torch's paths are long.

    An environment holds absolute paths, so it is built where it will stay.
    """
    return next(p for n in range(1, 10_000) if not (p := folder / str(n)).exists())


def _interpreter(home: Path) -> str:
    return str(home / "Scripts" / "python.exe" if os.name == "nt" else home / "bin" / "python")


def _pip_install(python: str, device: str, wheels: str, run: _Runner) -> list[str]:
    command = [python, "-m", "pip", "install", *requirements()]
    constraints = PLUGIN_FOLDER / "constraints.txt"
    if constraints.is_file():
        command += ["--constraint", str(constraints)]
    if wheels:
        return [*command, "--no-index", "--find-links", wheels]
    return [*command, *_index(device, _pip_has_sources(python, run))]


def _pip_has_sources(python: str, run: _Runner) -> bool:
    """True where this machine's pip is configured to look elsewhere than on PyPI."""
    said = run([python, "-m", "pip", "config", "list"], "pip does not run")
    names = ("index-url", "extra-index-url", "find-links", "no-index")
    keys = [line.partition("=")[0].rpartition(".")[2].lower() for line in said]
    return any(key.replace("_", "-") in names for key in keys)


def _index(device: str, configured: bool, system: str = sys.platform) -> list[str]:
    """Return where pip finds torch; PyPI has the GPU build for Linux, the CPU build elsewhere."""
    if configured or system == "darwin":
        return []
    if device == "cpu":
        return ["--extra-index-url", CPU_INDEX]
    return ["--extra-index-url", WINDOWS_GPU_INDEX] if system == "win32" else []


def _write_package(python: str, run: _Runner) -> None:
    """Make ``import panloom`` give the plugin's folder, whatever the folder is called."""
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    package = Path(run(ask, "The environment does not run")[-1]) / "panloom"
    package.mkdir()
    text = (
        '"""Written by Panloom\'s set-up: the engine is the code in the plugin\'s folder."""\n'
        f"__path__ = [{str(PLUGIN_FOLDER)!r}]\n"
    )
    (package / "__init__.py").write_text(text, encoding="utf-8")


def _prove(python: str, environment: Mapping[str, str], voice: Voice) -> Result:
    listener = Listener(voice.is_cancelled, on_stray=voice.line)
    return run_engine(engine_command(python, "check"), environment, listener)


def _remove_others(home: Path) -> None:
    """Remove the environment that was replaced, and what a killed set-up left behind."""
    for other in home.parent.iterdir():
        if other != home and other.name.isdigit() and (other / "pyvenv.cfg").is_file():
            with contextlib.suppress(OSError):
                shutil.rmtree(other)


def _advice(last_lines: str) -> str:
    if "No matching distribution" in last_lines:
        return "Try another base Python, or a wheel folder that holds every package."
    if "No space left" in last_lines:
        return "Make room, or choose another folder."
    return "Check the network and the proxy in QGIS's settings, or give a folder of wheels."
