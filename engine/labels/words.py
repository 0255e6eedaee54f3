"""What messages call a labelled file and what it is laid on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """``labels`` is the labelled file in a sentence, ``grid`` what lies under it."""

    labels: str
    grid: str

    def code(self, trouble: str) -> str:
        """Return an error code about the labelled file, such as ``reference-no-crs``."""
        return f"{self.labels.replace(' ', '-')}-{trouble}"


REFERENCE = Words("reference", "map")
SAMPLES = Words("sample file", "scene")
