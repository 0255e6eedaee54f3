"""What Panloom keeps in QGIS's settings, and what it reads from them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from qgis.core import QgsApplication, QgsAuthMethodConfig, QgsSettings

from .engine_command import engine_environment, qgis_roots
from .engine_home import find_python

_PYTHON = "panloom/python"
_FOLDER = "panloom/engine_folder"
_WARM = "panloom/keep_warm"
_TRAINED = "panloom/trained_models"
_TRAINED_KEPT = 10


def python_setting() -> str:
    """Return the interpreter that the user chose for the engine, or nothing."""
    return str(QgsSettings().value(_PYTHON, "") or "")


def set_python_setting(path: str) -> None:
    """Keep the user's choice of interpreter; an empty path takes it out."""
    QgsSettings().setValue(_PYTHON, path)


def engine_folder() -> Path:
    """Return the folder of the engine's environments: the user's, or one in this profile."""
    chosen = str(QgsSettings().value(_FOLDER, "") or "")
    return Path(chosen) if chosen else default_engine_folder()


def default_engine_folder() -> Path:
    """Return the folder in this profile that the engine's environment is made in."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "panloom"


def set_engine_folder(folder: Path) -> None:
    """Keep the folder of the engine's environments."""
    default = os.path.normpath(folder) == os.path.normpath(default_engine_folder())
    QgsSettings().setValue(_FOLDER, "" if default else str(folder))


def engine_python() -> str:
    """Return the interpreter that runs the engine; raises EngineError where there is none."""
    return find_python(os.environ, python_setting(), engine_folder())


def keeps_warm() -> bool:
    """Return whether the engine stays between runs; it does not unless the user said so."""
    return bool(QgsSettings().value(_WARM, False, type=bool))


def set_keeps_warm(keeps: bool) -> None:
    """Keep whether the engine stays between runs."""
    QgsSettings().setValue(_WARM, keeps)


def trained_models() -> list[str]:
    """Return the files of the models that were trained last, the newest first, as far as there."""
    kept = QgsSettings().value(_TRAINED, [], type=list)
    return [str(path) for path in kept if Path(str(path)).is_file()]


def remember_trained_model(path: str) -> None:
    """Have ``trained_models`` offer this file before the others."""
    paths = [path, *(other for other in trained_models() if other != path)]
    QgsSettings().setValue(_TRAINED, paths[:_TRAINED_KEPT])


def child_environment() -> dict[str, str]:
    """Return the environment for the engine and for pip: QGIS's own, scrubbed."""
    return engine_environment(os.environ, qgis_roots(QgsApplication.prefixPath(), os.environ))


def proxy_url() -> str:
    """Return the HTTP proxy of QGIS's network settings with its credentials escaped, or nothing."""
    settings = QgsSettings()
    kind = str(settings.value("proxy/proxyType", "") or "")
    host = str(settings.value("proxy/proxyHost", "") or "")
    if not settings.value("proxy/proxyEnabled", False, type=bool) or not kind.startswith("Http"):
        return ""
    if not host:
        return ""
    user = str(settings.value("proxy/proxyUser", "") or "")
    password = str(settings.value("proxy/proxyPassword", "") or "")
    stored = str(settings.value("proxy/authcfg", "") or "")
    if stored:
        config = QgsAuthMethodConfig()
        QgsApplication.authManager().loadAuthenticationConfig(stored, config, True)
        user, password = config.config("username"), config.config("password")
    port = str(settings.value("proxy/proxyPort", "") or "")
    credentials = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    return f"http://{credentials}{host}" + (f":{port}" if port else "")
