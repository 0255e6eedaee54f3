"""The command line and the environment that QGIS starts the engine with."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

from panloom.engine.cli import _parser
from panloom.qgis_plugin.engine_command import (
    copyable,
    engine_command,
    engine_environment,
    qgis_roots,
)


def test_the_command_is_what_a_person_would_type():
    command = engine_command(
        "/opt/engine/bin/python", "classify", "/d/ms.tif", "/d/pan.tif", "/d/map.tif",
        model="landsat-5class", polygons="", aoi=None, mmu_m2=900.0, overwrite=True,
    )  # fmt: skip
    assert command == [
        "/opt/engine/bin/python", "-m", "panloom.engine", "classify",
        "/d/ms.tif", "/d/pan.tif", "/d/map.tif",
        "--model=landsat-5class", "--mmu-m2=900.0", "--overwrite", "--events",
    ]  # fmt: skip


def test_the_engine_accepts_every_option_that_the_plugin_gives():
    command = engine_command(
        "python", "classify", "ms.tif", "pan.tif", "map.tif", model="m", polygons="p.gpkg",
        confidence="c.tif", areas="a.csv", grid="ms", aoi="aoi.gpkg", mmu_m2=1.5, simplify_m=2.5,
        device="cuda:1", runtime="onnxruntime", pan_shift="-1,0.5", overwrite=True,
    )  # fmt: skip
    parsed = vars(_parser().parse_args(command[3:]))
    assert parsed["pan_shift"] == "-1,0.5"
    assert parsed["simplify_m"] == 2.5
    assert parsed["runtime"] == "onnxruntime"
    assert parsed["events"] is True
    for words in (("inspect", "m", "p"), ("vectorize", "m", "o"), ("check",)):
        _parser().parse_args(engine_command("python", *words)[3:])
    _parser().parse_args(
        engine_command("python", "inspect", "m", "p", model="x", report="r", overwrite=True)[3:]
    )
    _parser().parse_args(
        engine_command(
            "python", "vectorize", "m", "o", confidence="c", mmu_m2=1.0, simplify_m=1.0,
            overwrite=True,
        )[3:]
    )  # fmt: skip
    _parser().parse_args(
        engine_command(
            "python", "assess", "m", "s", class_field="f", report="r", json="j", overwrite=True
        )[3:]
    )


def test_the_shown_command_can_be_pasted_into_a_shell():
    words = ["/bin/echo", "a b", "it's", "$HOME", "*", "ä;rm", ""]
    shown = copyable(["/bin/printf", "%s\\n", *words[1:]], "linux")
    said = subprocess.run(["/bin/sh", "-c", shown], capture_output=True, check=True).stdout
    assert said.decode().split("\n")[:-1] == words[1:]
    assert shlex.split(shown)[2:] == words[1:]


def test_the_shown_command_on_windows_uses_its_quotes():
    assert copyable([r"C:\Program Files\py.exe", "-m"], "win32") == r'"C:\Program Files\py.exe" -m'


def test_what_belongs_to_qgis_is_removed_and_the_rest_stays():
    inherited = {
        "PYTHONHOME": "/q", "PYTHONPATH": "/q", "PYTHONEXECUTABLE": "/q", "VIRTUAL_ENV": "/v",
        "GDAL_DATA": "/q", "GDAL_DRIVER_PATH": "/q", "PROJ_DATA": "/q", "PROJ_LIB": "/q",
        "LD_LIBRARY_PATH": "/q", "LD_PRELOAD": "/q", "DYLD_LIBRARY_PATH": "/q",
        "QT_PLUGIN_PATH": "/q", "Gdal_Data": "/q", "HOME": "/home/a", "PATH": "/usr/bin",
        "CUDA_VISIBLE_DEVICES": "1", "HTTPS_PROXY": "http://p:1", "GDAL_CACHEMAX": "512",
    }  # fmt: skip
    assert engine_environment(inherited) == {
        "HOME": "/home/a", "PATH": "/usr/bin", "CUDA_VISIBLE_DEVICES": "1",
        "HTTPS_PROXY": "http://p:1", "GDAL_CACHEMAX": "512",
        "PYTHONSAFEPATH": "1", "PYTHONUTF8": "1",
    }  # fmt: skip
    assert inherited["PYTHONHOME"] == "/q", "the caller's environment is left alone"


def test_qgis_folders_leave_the_path_and_their_namesakes_stay():
    roots = (os.path.join(os.sep, "opt", "qgis"),)
    folders = ["/opt/qgis/bin", "/opt/qgis", "/opt/qgis-tools/bin", "/usr/bin"]
    cleaned = engine_environment({"Path": os.pathsep.join(folders)}, roots)
    assert cleaned["Path"] == os.pathsep.join(folders[2:])


def test_on_linux_qgis_has_no_folder_of_its_own():
    assert qgis_roots("/usr", {"OSGEO4W_ROOT": ""}, "linux") == ()


def test_on_windows_and_macos_qgis_has_its_folders():
    windows = {"OSGEO4W_ROOT": r"C:\OSGeo4W"}
    assert qgis_roots(r"C:\OSGeo4W\apps\qgis", windows, "win32") == (
        r"C:\OSGeo4W",
        r"C:\OSGeo4W\apps\qgis",
    )
    bundle = "/Applications/QGIS.app/Contents/MacOS"
    assert qgis_roots(bundle, {}, "darwin") == ("/Applications/QGIS.app",)


def test_a_child_sees_none_of_qgis():
    poisoned = {**os.environ, "PYTHONPATH": "/nowhere", "PROJ_LIB": "/nowhere"}
    ask = "import os, sys; print(os.environ.get('PROJ_LIB'), '/nowhere' in sys.path)"
    said = subprocess.run(
        [sys.executable, "-c", ask],
        env=engine_environment(poisoned),
        capture_output=True,
        check=True,
    )
    assert said.stdout.decode().split() == ["None", "False"]
