"""From what samples call their classes, numbers or names, to one class scheme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.classes import UNCLASSIFIED, ClassScheme, LandClass
from ..errors import InputError
from .palette import class_colors

_SHOWN = 5
_MAX_CODE = 254


@dataclass(frozen=True)
class FileClasses:
    """The classes of one labelled file: its codes and what it calls them, None where it does not.

    Where ``numbered`` is False the file has names only, and its codes count these.
    """

    label: str
    names: dict[int, str | None]
    numbered: bool = True

    @property
    def all_named(self) -> bool:
        """True where each class has a name."""
        return all(self.names.values())


@dataclass(frozen=True)
class Agreement:
    """One scheme for several files; ``tables`` lead from each file's codes to class indices."""

    scheme: ClassScheme
    tables: tuple[dict[int, int], ...]
    notes: tuple[str, ...] = ()


def encode_values(values: Any, label: str) -> tuple[NDArray[np.uint8], FileClasses]:
    """Return a code (n,) for each value of a pandas series, 0 for none, and the classes.

    Numbers, also as text, are class codes. Where there is other text, each text is a class name,
    ignoring case and surrounding blanks. Raises InputError for codes beyond 1…254.
    """
    texts = [
        "" if lost else str(value).strip()
        for value, lost in zip(values, values.isna(), strict=True)
    ]
    numbers = [_number(text) for text in texts]  # "1", "1.0" and 1 are all one code
    if all(number is not None for text, number in zip(texts, numbers, strict=True) if text):
        found = np.array([number or 0.0 for number in numbers], np.float64)
        check_codes(*np.unique(found[found != 0], return_counts=True), label)
        codes = found.astype(np.uint8)
        return codes, FileClasses(label, {int(c): None for c in np.unique(codes[codes > 0])})
    names: dict[str, str] = {}
    for text in sorted(set(texts)):
        if text and _number(text) != 0:
            names.setdefault(text.casefold(), text)
    if len(names) > _MAX_CODE:
        raise InputError(
            f"The class field of `{label}` has {len(names)} different values; {_MAX_CODE} classes "
            "are possible.",
            "too-many-classes",
            "Choose the field that holds the class with `--class-field`.",
        )
    by_name = {key: code for code, key in enumerate(sorted(names), 1)}
    codes = np.array([by_name.get(text.casefold(), UNCLASSIFIED) for text in texts], np.uint8)
    called: dict[int, str | None] = {code: names[key] for key, code in by_name.items()}
    return codes, FileClasses(label, called, numbered=False)


def check_codes(codes: NDArray[Any], counts: NDArray[Any], label: str) -> None:
    """Raise InputError for class codes (with how often they occur) outside 1…254."""
    outside = [
        f"{code:g} ({count:,})"
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
        if not 1 <= code <= _MAX_CODE or code != int(code)
    ]
    if not outside:
        return
    more = [f"and {len(outside) - _SHOWN} more"] if len(outside) > _SHOWN else []
    raise InputError(
        f"The sample file `{label}` holds {', '.join(outside[:_SHOWN] + more)} as class; whole "
        "numbers 1…254 are needed, and 0 is unlabelled.",
        "class-code-range",
        "Give these another code, or 0 (in a raster: declare them as nodata) if they are no class.",
    )


def agree(files: Sequence[FileClasses], base: ClassScheme | None) -> Agreement:
    """Return one scheme for the files' classes: that of ``base`` if all of them are in it.

    Classes are matched by name where a file has names, otherwise by code. Raises InputError for
    fewer than two classes, and for files that contradict each other.
    """
    if base is not None:
        tables = [
            _by_name(file, base) if any(file.names.values()) else _by_code(file, base)
            for file in files
        ]
        if all(len(t) == len(f.names) for t, f in zip(tables, files, strict=True)):
            _require_two({base.classes[i].name for table in tables for i in table.values()})
            return Agreement(base, tuple(tables), tuple(_code_notes(files, base)))
    numbered = all(file.numbered for file in files)
    scheme = _scheme(_common_codes(files) if numbered else _common_names(files))
    by = _by_code if numbered else _by_name
    notes = () if base is None else (_replaced(scheme, base),)
    return Agreement(scheme, tuple(by(file, scheme) for file in files), notes)


def _scheme(names: dict[int, str]) -> ClassScheme:
    """Return the scheme of class names by code; raises InputError for fewer than two."""
    _require_two(set(names.values()))
    colors = class_colors(list(names.values()))
    classes = (LandClass(c, n, color) for (c, n), color in zip(names.items(), colors, strict=True))
    return ClassScheme(tuple(classes))


def _common_names(files: Sequence[FileClasses]) -> dict[int, str]:
    """Return the names, numbered in order; raises InputError where a file has only numbers."""
    for file in files:
        if not file.all_named:
            other = next(f for f in files if not f.numbered)
            raise InputError(
                f"`{other.label}` names its classes and `{file.label}` numbers them; one way is "
                "needed.",
                "mixed-classes",
                "Give all samples class codes, or all of them the same class names.",
            )
    names: dict[str, str] = {}
    for file in files:
        for name in file.names.values():
            names.setdefault(_fold(name), str(name).strip())
    return {code: names[key] for code, key in enumerate(sorted(names), 1)}


def _common_codes(files: Sequence[FileClasses]) -> dict[int, str]:
    """Return a name for each code; raises InputError where two files name one code differently."""
    named: dict[int, tuple[str, str]] = {}
    for file in files:
        for code, name in file.names.items():
            if not name:
                continue
            known, label = named.setdefault(code, (name.strip(), file.label))
            if _fold(known) != _fold(name):
                raise InputError(
                    f"Class {code} is `{known}` in `{label}` and `{name.strip()}` in "
                    f"`{file.label}`.",
                    "class-names",
                    "Give each class the same code in all samples.",
                )
    codes = sorted({code for file in files for code in file.names})
    names = {code: named[code][0] if code in named else f"Class {code}" for code in codes}
    twice = {_fold(n) for n in names.values() if [*map(_fold, names.values())].count(_fold(n)) > 1}
    return {code: f"{n} ({code})" if _fold(n) in twice else n for code, n in names.items()}


def _by_code(file: FileClasses, scheme: ClassScheme) -> dict[int, int]:
    """Return the class index of each code of a file that is a code of the scheme."""
    index = {c.code: index for index, c in enumerate(scheme.classes)}
    return {code: index[code] for code in file.names if code in index}


def _by_name(file: FileClasses, scheme: ClassScheme) -> dict[int, int]:
    """Return the class index of each code of a file whose name is one of the scheme's."""
    index = {_fold(c.name): index for index, c in enumerate(scheme.classes)}
    named = {code: _fold(name) for code, name in file.names.items()}
    return {code: index[name] for code, name in named.items() if name in index}


def _code_notes(files: Sequence[FileClasses], base: ClassScheme) -> list[str]:
    codes = {c for f in files if f.numbered and not any(f.names.values()) for c in f.names}
    if not codes:
        return []
    listed = ", ".join(f"{code} as `{base.names[code]}`" for code in sorted(codes))
    return [f"The samples' class codes are taken as the base model's: {listed}."]


def _replaced(found: ClassScheme, base: ClassScheme) -> str:
    ours, theirs = (", ".join(f"{c.code} {c.name}" for c in s.classes) for s in (found, base))
    return (
        f"The samples' classes ({ours}) are not all among the base model's ({theirs}): they "
        "replace them. With other classes, compare it with a training without a base: that has "
        "been the better one."
    )


def _require_two(names: set[str]) -> None:
    if len(names) < 2:
        found = f"one class, `{next(iter(names))}`" if names else "no class"
        raise InputError(
            f"The samples have {found}; two or more are needed.",
            "one-class",
            "Add samples of another class, or choose the field that holds the class with "
            "`--class-field`.",
        )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _fold(name: str | None) -> str:
    return (name or "").strip().casefold()
