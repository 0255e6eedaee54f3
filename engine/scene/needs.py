"""What a model needs of a pair, and the sentences for a pair that does not have it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InputError
from ..events import Message
from ..grid import Grid
from .align import PlacedPair
from .raster import Raster

RATIO_TOLERANCE = 1.5
"""A pair runs where its ratio is within this factor of the model's."""

_SWAPPED = 0.95

_ROLE_WORDS = {
    "coastal": ("coastal", "aerosol"),
    "blue": ("blue",),
    "green": ("green",),
    "yellow": ("yellow",),
    "red": ("red",),
    "rededge": ("rededge", "red edge", "red_edge"),
    "nir": ("nir", "near infrared", "near-infrared"),
    "swir1": ("swir1", "swir 1", "swir16"),
    "swir2": ("swir2", "swir 2", "swir22"),
}


@dataclass(frozen=True)
class PairNeeds:
    """What a run needs: ``ratio`` and ``bands`` are None where anything goes.

    ``model`` names who needs it in messages; ``band_roles`` are the MS bands' roles in order, such
    as blue, green, red, nir.
    """

    model: str = ""
    ratio: int | None = None
    band_count: int | None = None
    band_roles: tuple[str, ...] = ()

    @property
    def bands(self) -> int | None:
        """Number of MS bands needed."""
        return len(self.band_roles) or self.band_count

    @property
    def who(self) -> str:
        """The model in words."""
        return f"model `{self.model}`" if self.model else "this run"


def require_pan(pan: Raster) -> None:
    """Raise InputError where ``pan`` has more than one data band."""
    if pan.count != 1:
        raise InputError(
            f"`{pan.label}` has {pan.count} bands; the PAN needs 1.",
            "pan-bands",
            "Choose the panchromatic raster as PAN; perhaps MS and PAN are swapped.",
        )


def require_fit(ms: Raster, pair: PlacedPair, needs: PairNeeds) -> tuple[int, tuple[Message, ...]]:
    """Return the ratio to work with and notes; raises InputError where the pair does not fit."""
    require_bands(ms, needs)
    return require_ratio(pair, needs)


def require_bands(ms: Raster, needs: PairNeeds) -> None:
    """Raise InputError where the MS has another number or order of bands than needed."""
    if needs.bands is not None and ms.count != needs.bands:
        roles = f" ({', '.join(needs.band_roles)})" if needs.band_roles else ""
        raise InputError(
            f"`{ms.label}` has {_count(ms.count, 'band')}; {needs.who} needs {needs.bands}{roles}.",
            "band-count",
            "Give exactly these bands in this order, as one raster, a VRT, or one file per band "
            "joined by commas.",
        )
    found = found_roles(ms)
    expected = needs.band_roles
    if expected and any(
        f and f != e and f in expected for f, e in zip(found, expected, strict=True)
    ):
        raise InputError(
            f"The bands of `{ms.label}` are in the order {', '.join(f or '?' for f in found)}; "
            f"{needs.who} needs {', '.join(expected)}.",
            "band-order",
            "Put them in that order, for example with gdal_translate -b, or correct the band "
            "descriptions if they are wrong.",
        )


def require_ratio(pair: PlacedPair, needs: PairNeeds) -> tuple[int, tuple[Message, ...]]:
    """Return the ratio to work with; raises InputError where it is too far from the pair's own."""
    found = pair.ratio
    sizes = f"The MS pixel is {_size(pair.ms, pair)} and the PAN pixel {_size(pair.pan, pair)}"
    ratio = needs.ratio or max(1, round(found))
    if found < _SWAPPED and needs.ratio != 1:
        raise InputError(
            f"{sizes}: the MS is finer than the PAN.",
            "swapped",
            "MS and PAN are probably swapped: give the multispectral raster first.",
        )
    low, high = ratio / RATIO_TOLERANCE, ratio * RATIO_TOLERANCE
    if not low <= found <= high:
        raise InputError(
            f"{sizes}, a ratio of {found:.2f}; {needs.who} needs {ratio}.",
            "ratio",
            f"Choose a model for a ratio near {found:.1f}, or resample one of the rasters: ratios "
            f"from {low:.2f} to {high:.2f} run.",
        )
    if abs(found - ratio) <= 0.01 * ratio:
        return ratio, ()
    note = f"{sizes}, a ratio of {found:.2f}; {needs.who} works at {ratio}."
    return ratio, (Message(note),)


def found_roles(ms: Raster) -> tuple[str | None, ...]:
    """Return each band's role as its description or color says, None where neither does."""
    by_name = tuple(_role(band.name) for band in ms.bands)
    if any(by_name):
        return by_name
    if set(ms.dtypes) == {"uint8"} and ms.count + ms.alpha_count in (3, 4):
        return (None,) * ms.count  # GDAL marks any such file as RGB(A), whatever it holds
    return tuple(band.color if band.color in _ROLE_WORDS else None for band in ms.bands)


def _role(name: str) -> str | None:
    text = name.lower()
    hits = [
        role
        for role, words in _ROLE_WORDS.items()
        if any(re.search(rf"(?<![a-z]){re.escape(word)}(?![a-z0-9])", text) for word in words)
    ]
    if "rededge" in hits and "red" in hits:
        hits.remove("red")
    return hits[0] if len(hits) == 1 else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _size(grid: Grid, pair: PlacedPair) -> str:
    unit = "m" if pair.pan.crs is not None else "units"
    return f"{grid.gsd_m:.2f} {unit}"
