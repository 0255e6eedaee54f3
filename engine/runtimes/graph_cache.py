"""Exported graphs in a folder of the user's: an export takes a second, reading one nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

MOST_FILES = 32
"""Graphs that are kept, some MB each; the ones unused for longest go."""
_DIGEST_BYTES = 32
_SUFFIX = ".graph"


@dataclass(frozen=True)
class GraphCache:
    """Graphs by key in ``folder``; without a folder nothing is kept.

    A file is the SHA-256 of the graph and the graph. One that is damaged counts as absent, and a
    folder that cannot be written to is no error.
    """

    folder: Path | None

    def get(self, key: str) -> bytes | None:
        """Return the graph kept under ``key``, None where there is none."""
        if self.folder is None:
            return None
        path = self._path(self.folder, key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        digest, graph = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(graph).digest() != digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        return graph

    def put(self, key: str, graph: bytes) -> None:
        """Keep ``graph`` under ``key``; it appears whole or not at all."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft, name = tempfile.mkstemp(dir=self.folder)
            try:
                with os.fdopen(draft, "wb") as file:
                    file.write(hashlib.sha256(graph).digest() + graph)
                os.replace(name, self._path(self.folder, key))
            except BaseException:
                os.unlink(name)
                raise
            _remove_oldest(self.folder)

    def _path(self, folder: Path, key: str) -> Path:
        return folder / f"{key}{_SUFFIX}"


def default_cache() -> GraphCache:
    """Return the cache in PANLOOM_CACHE (``off``: none), else in the user's folder if any."""
    chosen = os.environ.get("PANLOOM_CACHE", "")
    if chosen == "off":
        return GraphCache(None)
    try:
        folder = Path(chosen) if chosen else _user_folder() / "panloom"
    except RuntimeError:  # a user without a home
        return GraphCache(None)
    return GraphCache(folder / "graphs")


def _user_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _remove_oldest(folder: Path) -> None:
    files = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
    for path in files[:-MOST_FILES]:
        path.unlink(missing_ok=True)
