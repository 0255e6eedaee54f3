"""Output files that appear whole or not at all.

Work goes to drafts beside the targets; they are renamed when everything succeeded and removed
otherwise, by whatever way the run ends. A hard kill leaves drafts, named ``.….part….``; the next
run that writes the same file removes them (``leftovers.py``).
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from types import TracebackType

from .errors import OutputError
from .leftovers import draft_stem, hidden_names, remove_leftovers

_SIDECARS = (".aux.xml", ".ovr", ".msk")
_live: set[Path] = set()
_lock = threading.Lock()


def remove_live_drafts() -> None:
    """Remove every draft of this process; called before the process ends in a hurry."""
    with _lock:
        for draft in list(_live):
            _remove(draft)
        _live.clear()


class Outputs:
    """The files of one run: ``draft`` for each target, all renamed on leaving without an error."""

    def __init__(self, *, overwrite: bool, inputs: tuple[str, ...] = ()) -> None:
        self._overwrite = overwrite
        self._inputs = {
            Path(part).resolve() for spec in inputs for part in (spec, *spec.split(","))
        }
        self._drafts: dict[Path, Path] = {}
        self._scratch: list[Path] = []
        self._hidden: dict[Path, list[str]] = {}

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._rename_all()
        finally:
            with _lock:
                for draft in (*self._drafts.values(), *self._scratch):
                    _remove(draft)
                    _live.discard(draft)

    def draft(self, target: str | Path) -> Path:
        """Return the path to write instead of ``target``, with the same suffix.

        Raises OutputError where the target is an input, exists (without ``overwrite``), lies in no
        folder or cannot be written.
        """
        path = Path(target).absolute()
        self._check(path)
        if path.parent not in self._hidden:
            self._hidden[path.parent] = hidden_names(path.parent)
        remove_leftovers(path.parent, path.stem, self._hidden[path.parent])
        draft = path.with_name(draft_stem(path.stem) + path.suffix)
        with _lock:
            _live.add(draft)
        self._drafts[path] = draft
        return draft

    def scratch(self, beside: Path, suffix: str) -> Path:
        """Return the path of a file for this run only: it is removed at the end."""
        path = beside.with_name(f"{beside.stem}.scratch{suffix}")
        with _lock:
            _live.add(path)
        self._scratch.append(path)
        return path

    def _check(self, path: Path) -> None:
        if path.resolve() in self._inputs:
            raise OutputError(
                f"`{path.name}` is both an input and an output.",
                "output-is-input",
                "Choose another output file; inputs are never changed.",
            )
        if path in self._drafts:
            raise OutputError(
                f"`{path.name}` is named for two outputs.", "output-twice", "Name two files."
            )
        if not path.parent.is_dir():
            raise OutputError(
                f"The folder `{path.parent}` does not exist.",
                "no-output-folder",
                "Make it, or choose another one.",
            )
        if path.is_dir():
            raise OutputError(f"`{path}` is a folder.", "output-is-folder", "Name a file.")
        if path.exists() and not self._overwrite:
            raise OutputError(
                f"`{path.name}` exists already.",
                "output-exists",
                "Choose another name, or allow overwriting (`--overwrite`).",
            )
        if not _can_write(path):
            raise OutputError(
                f"`{path}` cannot be written.",
                "output-unwritable",
                "Check the permissions of the file and its folder, or choose another folder.",
            )

    def _rename_all(self) -> None:
        for target, draft in self._drafts.items():
            if not draft.exists():
                continue
            for suffix in _SIDECARS:
                _with(target, suffix).unlink(missing_ok=True)
                if _with(draft, suffix).exists():
                    os.replace(_with(draft, suffix), _with(target, suffix))
            os.replace(draft, target)


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    for path in (
        draft,
        *(_with(draft, suffix) for suffix in (*_SIDECARS, "-journal", "-wal", "-shm")),
    ):
        path.unlink(missing_ok=True)


def _can_write(path: Path) -> bool:
    """Try it: permission bits say little for root, network folders and read-only mounts."""
    probe = path.with_name(draft_stem(path.stem) + ".probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return not path.exists() or os.access(path, os.W_OK)
