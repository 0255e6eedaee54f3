"""Options of the command line, in words of QGIS: whoever fills in a dialog types no options.

Standard library only, Python 3.9: no QGIS here, so this is tested without QGIS.
"""

from __future__ import annotations

import re

PARAMETERS = {
    "base": "Base model",
    "class-field": "Class field",
    "device": "Device",
    "fusion": "Fusion",
    "network": "Network",
    "runtime": "Runtime",
    "stage1": "Learn from unlabelled pixels first",
    "validation": "Validation",
}
"""The parameter that gives an option its value, by the title that it has in every dialog."""

WITHOUT_PARAMETER = frozenset({"batch-size", "evaluation", "overwrite", "precision", "tile-px"})
"""Options that no dialog has. Tools always overwrite; the others can be typed in a shell."""

_OPTION = re.compile(r"`--([a-z0-9-]+)(?: ([^`]*))?`")


def in_dialog_words(text: str) -> str:
    """Return ``text`` with the options in it, such as `--device cpu`, as “Device: cpu”."""
    return _OPTION.sub(_worded, text)


def _worded(found: re.Match[str]) -> str:
    name, value = found.groups()
    if name in PARAMETERS:
        return f"“{PARAMETERS[name]}: {value}”" if value else f"“{PARAMETERS[name]}”"
    return f"{found.group()} on the command line" if name in WITHOUT_PARAMETER else found.group()
