"""Models that stay loaded between the runs of one process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from .bundle import ModelBundle, load_bundle

KEPT = 4
"""Models that are kept, those used last; each takes as much memory as its file is long."""


def load_shared_bundle(path: Path) -> ModelBundle:
    """Return what ``load_bundle`` does, read once as long as the file stays the same.

    The bundle is shared with every other caller: whoever changes its network copies it first.
    Raises ModelFileError for a file that lies.
    """
    try:
        found = path.stat()
    except OSError:
        return load_bundle(path)  # which says what is wrong
    return _loaded(path.resolve(), found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=KEPT)
def _loaded(path: Path, modified_ns: int, size: int, inode: int) -> ModelBundle:
    return load_bundle(path)
