"""Exit codes in words, for each platform."""

from __future__ import annotations

import pytest

from panloom.qgis_plugin.exit_codes import explain_exit


@pytest.mark.parametrize(
    ("code", "platform", "words"),
    [
        (
            -9,
            "linux",
            "exit code -9 (SIGKILL): the system or a person killed it; often the machine ran out "
            "of memory",
        ),
        (
            137,
            "linux",
            "exit code 137 (SIGKILL): the system or a person killed it; often the machine ran out "
            "of memory",
        ),
        (-11, "linux", "exit code -11 (SIGSEGV): a library crashed"),
        (3, "linux", "exit code 3"),
        (-1073741819, "win32", "exit code 0xC0000005: a library crashed (access violation)"),
        (
            0xC0000135,
            "win32",
            "exit code 0xC0000135: a DLL is missing; the Visual C++ runtime may have to be "
            "installed",
        ),
        (1, "win32", "exit code 0x00000001"),
    ],
)
def test_exit_codes_are_explained(code, platform, words):
    assert explain_exit(code, platform) == words
