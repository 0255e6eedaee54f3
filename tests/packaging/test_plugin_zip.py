"""What `git archive` gives is a plugin that QGIS installs and that the plugin site takes."""

from __future__ import annotations

import configparser
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # what pytest brings there

ROOT = Path(__file__).resolve().parents[2]
LIMIT_BYTES = 25_000_000
"""The plugin site's limit, https://plugins.qgis.org/publish/."""
NEEDED_FILES = (
    "__init__.py", "metadata.txt", "LICENSE", "README.md", "pyproject.toml", "constraints.txt",
    "engine/__main__.py", "models/weights/landsat-5class.safetensors", "qgis_plugin/plugin.py",
    "docs/qgis.md",
)  # fmt: skip
NEEDED_FIELDS = (
    "name", "description", "version", "qgisMinimumVersion", "author", "email", "about", "tracker",
    "repository",
)  # fmt: skip


@pytest.fixture(scope="module")
def archive() -> zipfile.ZipFile:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git clone: the plugin zip is made by `git archive`")
    command = ["git", "-C", str(ROOT), "archive", "--format=zip", "--prefix=panloom/", "HEAD"]
    return zipfile.ZipFile(io.BytesIO(subprocess.run(command, check=True, stdout=-1).stdout))


@pytest.fixture(scope="module")
def paths(archive: zipfile.ZipFile) -> list[PurePosixPath]:
    return [PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")]


@pytest.fixture(scope="module")
def metadata(archive: zipfile.ZipFile) -> configparser.SectionProxy:
    # QGIS reads it like this: case kept, no interpolation of percent signs.
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string(archive.read("panloom/metadata.txt").decode("utf-8"))
    return parser["general"]


def test_it_is_small_enough(archive):
    packed = sum(item.compress_size for item in archive.infolist())
    assert packed <= LIMIT_BYTES, f"{packed:,} bytes packed"


def test_it_has_one_folder_named_panloom(paths):
    assert {path.parts[0] for path in paths} == {"panloom"}


def test_it_has_what_a_user_needs(paths):
    missing = [name for name in NEEDED_FILES if PurePosixPath("panloom", name) not in paths]
    assert missing == []


def test_it_has_nothing_that_only_developers_need(paths):
    unwanted = {"tests", "benchmarks", "scripts", "Makefile", "demo", "dist", ".ci", ".venv"}
    assert {path.parts[1] for path in paths} & unwanted == set()


def test_it_has_no_hidden_or_cached_files(paths):
    wrong = [
        str(path)
        for path in paths
        for part in path.parts
        if part.startswith(".") or part in ("__pycache__", "__MACOSX") or part.endswith(".pyc")
    ]
    assert wrong == []


def test_it_has_no_binary_code(archive, paths):
    suffixes = {".so", ".dll", ".dylib", ".pyd", ".exe", ".o", ".a", ".whl"}
    magics = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
    wrong = [
        str(path)
        for path in paths
        if path.suffix.lower() in suffixes or archive.read(str(path)).startswith(magics)
    ]
    assert wrong == []


def test_metadata_has_the_fields_that_the_site_wants(metadata):
    assert [field for field in NEEDED_FIELDS if not metadata.get(field, "").strip()] == []
    assert metadata["hasProcessingProvider"] == "yes"
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["version"])
    for field in ("tracker", "repository"):
        assert metadata[field].startswith("https://")
    assert "@" in metadata["email"]


def test_every_icon_is_there(archive, paths, metadata):
    assert PurePosixPath("panloom", metadata["icon"]) in paths
    named = set()
    for path in paths:
        if path.suffix == ".py" and path.parts[1] == "qgis_plugin":
            named |= set(re.findall(r"[\w-]+\.(?:svg|png)\b", archive.read(str(path)).decode()))
    present = {path.name for path in paths if path.parent.name == "icons"}
    assert named - present == set()


def test_versions_agree(metadata):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    code = re.search(r'__version__ = "(.+)"', (ROOT / "engine/version.py").read_text("utf-8"))
    changes = re.search(r"^## \[(\d.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert (project["version"], code[1], changes[1]) == (metadata["version"],) * 3


def test_a_wheel_would_hold_every_package_of_the_zip(paths):
    """Packages are listed by hand in pyproject: none may be forgotten, none may be gone."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(settings["tool"]["setuptools"]["packages"])
    found = {".".join(path.parent.parts) for path in paths if path.name == "__init__.py"}
    assert listed == found


def test_the_unpacked_plugin_imports_itself_and_shadows_nothing(archive, tmp_path):
    archive.extractall(tmp_path)
    code = (
        "import panloom, panloom.models.card, panloom.engine.events, sys\n"
        "print(panloom.__file__)\n"
        "assert callable(panloom.classFactory)\n"
        "assert not {'engine', 'models', 'qgis_plugin'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "panloom" / "__init__.py")


def test_engine_and_models_are_no_names_of_their_own():
    """QGIS unloads plugins by their first dotted name; another plugin may own `models`."""
    code = (
        "import importlib.util\n"
        "print([n for n in ('engine', 'models', 'qgis_plugin') if importlib.util.find_spec(n)])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code] if sys.version_info >= (3, 11) else
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd="/",
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
