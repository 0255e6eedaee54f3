"""What an engine's exit code means, in words.

Standard library only, Python 3.9.
"""

from __future__ import annotations

import signal
import sys

_SIGNALS = {
    "SIGKILL": "the system or a person killed it; often the machine ran out of memory",
    "SIGSEGV": "a library crashed",
    "SIGBUS": "a library crashed, or a disk ran full under a mapped file",
    "SIGABRT": "a library gave up",
    "SIGILL": "a library needs a processor instruction that this machine lacks",
    "SIGTERM": "somebody asked it to stop",
    "SIGINT": "somebody pressed Ctrl+C",
    "SIGXCPU": "its limit of processor time was reached",
    "SIGXFSZ": "its limit of file size was reached",
}
_WINDOWS = {
    0xC0000005: "a library crashed (access violation)",
    0xC0000017: "the machine ran out of memory",
    0xC000001D: "a library needs a processor instruction that this machine lacks",
    0xC00000FD: "a library crashed (stack overflow)",
    0xC0000135: "a DLL is missing; the Visual C++ runtime may have to be installed",
    0xC0000142: "a DLL did not start",
    0xC000013A: "somebody pressed Ctrl+C or closed its window",
    0xC0000409: "a library gave up (stack check)",
    0xC000012D: "the machine ran out of memory (page file)",
}


def explain_exit(code: int, platform: str = sys.platform) -> str:
    """Return what ``code`` means, such as ``"exit code -9 (SIGKILL): …"``.

    Negative codes are POSIX signals as ``subprocess`` gives them; 128 + signal is a shell's way of
    saying the same; large codes are Windows status values.
    """
    if platform == "win32":
        meaning = _WINDOWS.get(code & 0xFFFFFFFF, "")
        return f"exit code 0x{code & 0xFFFFFFFF:08X}" + (f": {meaning}" if meaning else "")
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"exit code {code}"
    meaning = _SIGNALS.get(name, "")
    return f"exit code {code} ({name})" + (f": {meaning}" if meaning else "")
