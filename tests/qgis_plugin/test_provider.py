"""What the provider offers in QGIS: names, parameters, help, and what it says without an engine."""

from __future__ import annotations

import pytest

CLASSIFY = {
    "MS", "PAN", "MODEL", "MODEL_FILE", "GRID", "AOI", "MMU", "SIMPLIFY", "DEVICE", "RUNTIME",
    "PAN_SHIFT", "OUTPUT", "POLYGONS", "CONFIDENCE", "AREAS",
}  # fmt: skip
PARAMETERS = {
    "classify": CLASSIFY,
    "inspect": {"MS", "PAN", "MODEL", "MODEL_FILE", "REPORT"},
    "vectorize": {"MAP", "CONFIDENCE", "MMU", "SIMPLIFY", "OUTPUT"},
    "train": {
        "MS", "PAN", "SAMPLES", "CLASS_FIELD", "SAMPLES_RASTER", "SAMPLES_FILE", "BASE",
        "BASE_FILE", "MINUTES", "EPOCHS", "NETWORK", "FUSION", "STAGE1", "VALIDATION", "SEED",
        "DEVICE", "OUTPUT",
    },
    "assess": {"MAP", "REFERENCE", "CLASS_FIELD", "REFERENCE_RASTER", "REPORT", "JSON"},
    "checkengine": set(),
    "setupengine": {"DEVICE", "PYTHON", "FOLDER", "WHEELS"},
}  # fmt: skip


@pytest.fixture(scope="module")
def algorithms(qgis):
    return qgis.inside("describe")["answer"]


def test_the_algorithms_and_their_parameters(algorithms):
    assert {name: set(a["parameters"]) for name, a in algorithms.items()} == PARAMETERS


@pytest.mark.parametrize("name", PARAMETERS)
def test_everything_is_explained(algorithms, name):
    algorithm = algorithms[name]
    assert all(text.endswith((".", "downloaded then. The manual says how to fill it."))
               for text in algorithm["parameters"].values())  # fmt: skip
    assert algorithm["help"].startswith("<p>")
    assert "\n" not in algorithm["help"], "QGIS turns line ends into breaks"
    assert algorithm["summary"]
    assert algorithm["title"]
    assert algorithm["url"].startswith("https://")
    assert len(algorithm["tags"]) >= 5
    assert algorithm["has_icon"]


def test_the_groups_of_the_toolbox(algorithms):
    groups = {name: tuple(a["group"]) for name, a in algorithms.items()}
    maps = ("classify", "inspect", "vectorize", "assess")
    assert {groups[n] for n in maps} == {("Maps", "maps")}
    assert groups["train"] == ("Models", "models")
    assert {groups[n] for n in ("checkengine", "setupengine")} == {("Engine", "engine")}


def test_a_shipped_model_is_the_default(algorithms):
    assert algorithms["classify"]["defaults"]["MODEL"] == "landsat-5class"


def test_without_an_engine_the_one_thing_to_do_is_said(qgis):
    found = qgis.inside("describe", PANLOOM_PYTHON="")["answer"]
    advice = (
        "The engine is not set up yet. Run “Set up the engine” (Processing Toolbox → Panloom → "
        "Engine)."
    )
    for name in ("classify", "inspect", "vectorize", "assess", "train"):
        assert found[name]["can_execute"] == [False, advice]
    for name in ("checkengine", "setupengine"):
        assert found[name]["can_execute"][0] is True


def test_a_wrong_variable_is_named(qgis):
    found = qgis.inside("describe", PANLOOM_PYTHON="/nowhere/python")["answer"]
    assert found["classify"]["can_execute"] == [
        False,
        "The variable PANLOOM_PYTHON names “/nowhere/python”, and there is no such file. Correct "
        "it or take it out.",
    ]


def test_the_plugin_comes_and_goes(qgis):
    assert qgis.inside("plugin_life")["answer"] == {"seen": [True, False, True, False]}


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"proxyEnabled": False, "proxyType": "HttpProxy", "proxyHost": "proxy.example"}, ""),
        (
            {
                "proxyEnabled": True,
                "proxyType": "HttpProxy",
                "proxyHost": "proxy.example",
                "proxyPort": "8080",
                "proxyUser": "müller@work",
                "proxyPassword": "a:b/c",
            },
            "http://m%C3%BCller%40work:a%3Ab%2Fc@proxy.example:8080",
        ),
        ({"proxyEnabled": True, "proxyType": "Socks5Proxy", "proxyHost": "proxy.example"}, ""),
    ],
)
def test_the_proxy_of_qgis_is_passed_on(qgis, settings, url):
    assert qgis.inside("proxy", settings)["answer"] == {"url": url}
