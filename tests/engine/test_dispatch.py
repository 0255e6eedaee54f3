"""How errors become the last event of a run."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
import torch

from panloom.engine.dispatch import UNEXPECTED, ending_of
from panloom.engine.events import Failure


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_no_bug(number, capsys):
    assert ending_of(OSError(number, os.strerror(number))) == Failure(
        f"A file could not be written: {os.strerror(number)}.",
        "disk-full",
        "Make room on the disk, or choose another folder.",
    )
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("library", [torch.empty, np.empty])
def test_too_little_memory_is_no_bug(library, capsys):
    """What torch and numpy raise themselves, for more bytes than any machine has."""
    with pytest.raises((RuntimeError, MemoryError)) as raised:
        library(1 << 58)
    assert ending_of(raised.value) == Failure(
        "The run needs more memory than there is.",
        "out-of-memory",
        "Choose smaller tiles (`--tile-px`), or end other programs.",
    )
    assert capsys.readouterr().err == ""


def test_other_errors_of_the_system_are_bugs(capsys):
    ending = ending_of(OSError(errno.EBADF, "Bad file descriptor"))
    assert isinstance(ending, Failure)
    assert ending.code == UNEXPECTED
    assert "Bad file descriptor" in capsys.readouterr().err
