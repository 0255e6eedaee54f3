"""How errors become the last event of a run."""

from __future__ import annotations

import errno
import os

import pytest

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


def test_other_errors_of_the_system_are_bugs(capsys):
    ending = ending_of(OSError(errno.EBADF, "Bad file descriptor"))
    assert isinstance(ending, Failure)
    assert ending.code == UNEXPECTED
    assert "Bad file descriptor" in capsys.readouterr().err
