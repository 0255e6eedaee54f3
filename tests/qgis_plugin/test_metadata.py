"""metadata.txt: what QGIS and the plugin site ask for."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from panloom.engine.version import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def metadata() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROOT / "metadata.txt", encoding="utf-8")
    return parser["general"]


@pytest.mark.parametrize(
    "field",
    [
        *("name", "description", "about", "version", "author", "email", "homepage", "tracker"),
        *("repository", "license", "category", "tags", "icon", "changelog", "experimental"),
    ],
)
def test_every_field_is_filled(metadata, field):
    assert metadata[field].strip()


def test_the_values_that_qgis_acts_on(metadata):
    assert metadata["version"] == __version__
    assert metadata["qgisMinimumVersion"] == "3.22"
    assert metadata["qgisMaximumVersion"] == "4.99"
    assert metadata["hasProcessingProvider"] == "yes"
    assert metadata["license"] == "GPL-2.0-or-later"
    assert (ROOT / metadata["icon"]).is_file()


def test_the_manual_belongs_to_the_homepage(metadata):
    source = (ROOT / "qgis_plugin" / "presentation.py").read_text(encoding="utf-8")
    assert f'MANUAL = "{metadata["homepage"]}' in source
