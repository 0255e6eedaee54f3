"""An engine that stays between runs (``panloom serve``): only the first one waits for its start.

Standard library only, Python 3.9: no QGIS here, so this is tested without QGIS. Whatever keeps the
warm engine from taking a run, the run gets a process of its own, as without a warm engine.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Optional

from ..engine.events import Failure, Message, Result
from ..engine.requests import encode_cancel, encode_run
from .child_process import GRACE_S, LEFTOVER_S, Child
from .engine_command import PROGRAM_WORDS
from .engine_process import EngineCancelled, EngineError, Heard, Listener, run_engine

IDLE_MINUTES = 10.0
"""How long an engine that nobody asks stays."""

ANSWER_S = 10.0
"""How long an engine that has worked before may take to begin a run."""

_LAST_WORDS_S = 1.0
_SILENCE_S = 0.2


class WarmEngine:
    """At most one engine process, started by the first run that needs it; one run at a time."""

    def __init__(self, idle_minutes: float = IDLE_MINUTES) -> None:
        self._idle_minutes = idle_minutes
        self._busy = threading.Lock()
        self._retired = False
        self._serving: Optional[_Serving] = None

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        listener: Listener,
        grace_s: float = GRACE_S,
    ) -> Result:
        """Run ``command`` as ``run_engine`` does, in the warm engine where it can take it.

        An engine that does not end a cancelled run within ``grace_s`` is killed; the next run
        starts another one. Raises EngineError and EngineCancelled as ``run_engine`` does.
        """
        what = "is busy with another run"
        if self._busy.acquire(blocking=False):
            try:
                self._retired = False
                return self._run(command, environment, listener, grace_s)
            except _NotServed as error:
                what = str(error)
            finally:
                if self._retired:
                    self.close()
                self._busy.release()
        listener.on_message(Message(f"The warm engine {what}; this run gets a process of its own."))
        return run_engine(command, environment, listener, grace_s)

    def retire(self) -> None:
        """End the engine as soon as it runs nothing; the next run starts another one."""
        self._retired = True
        if self._busy.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._busy.release()

    def close(self, grace_s: float = GRACE_S) -> None:
        """End the engine, which cancels what it runs; within ``grace_s`` it is gone."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.close(grace_s)

    def _run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        listener: Listener,
        grace_s: float,
    ) -> Result:
        program, words = command[:PROGRAM_WORDS], command[PROGRAM_WORDS:]
        start = ([*program, "serve", f"--idle-minutes={self._idle_minutes:g}"], dict(environment))
        if self._serving is not None and self._serving.start == start:
            # It may have gone since the last run, by itself or by somebody's hand.
            with contextlib.suppress(_NotServed):
                return self._serving.ask(words, listener, grace_s)
        self.close()
        try:
            self._serving = _Serving(*start)
        except OSError:
            raise _NotServed("could not be started") from None
        return self._serving.ask(words, listener, grace_s)


class _NotServed(Exception):
    """The engine has not begun the run; the text says what the engine did instead."""


class _Serving:
    """An engine process that serves, with the command and the environment of its ``start``."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.start = command, environment
        self._child = Child([*command, "--events"], environment)
        self._greeted = False
        self._let_go = False
        threading.Thread(target=self._bury, daemon=True).start()

    def ask(self, words: Sequence[str], listener: Listener, grace_s: float) -> Result:
        """Have the engine run ``words``; raises _NotServed where it does not begin to."""
        heard = Heard(listener)
        try:
            if self._greeted:
                self._skip_leftovers()
            if self._say(encode_run(words, _folder())):
                self._listen(heard, grace_s)
        except EngineError:  # it says what it should not
            self._child.end()
            if heard.hello is None:
                raise _NotServed("does not fit the plugin") from None
            raise
        except BaseException:
            self._child.end()
            raise
        return self._ended(heard)

    def close(self, grace_s: float) -> None:
        """Let the process end by itself within ``grace_s``, else kill it."""
        self._let_go = True
        self._child.let_go()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.process.wait(timeout=grace_s)
        self._child.end()

    def _say(self, line: bytes) -> bool:
        """Write to the engine; False where it does not listen any more."""
        try:
            self._child.send(line)
        except OSError:
            return False
        return True

    def _listen(self, heard: Heard, grace_s: float) -> None:
        """Hand over lines until the run is over, the engine is gone, or a deadline has passed."""
        listener, cancelled = heard.listener, False
        begins_by = time.monotonic() + ANSWER_S if self._greeted else float("inf")
        ends_by = float("inf")
        while time.monotonic() < (begins_by if heard.hello is None else ends_by):
            line = self._child.next_line()
            if line is not None and self._take(heard, *line):
                return
            if not cancelled and listener.is_cancelled():
                cancelled = True
                self._say(encode_cancel())
                ends_by = min(ends_by, time.monotonic() + grace_s)
                begins_by = min(begins_by, ends_by)
            if self._child.killed:  # another thread may have taken the end of its stdout
                ends_by = min(ends_by, time.monotonic() + LEFTOVER_S)
                begins_by = min(begins_by, ends_by)

    def _take(self, heard: Heard, stream: str, line: Optional[str]) -> bool:
        """Take a line; True when the run is over or the engine's stdout is."""
        if line is None:
            return stream == "out"
        if stream == "err":
            return heard.line(stream, line)
        if self._greeted:
            is_first, over = heard.hello is None, heard.line(stream, line)
            if is_first and heard.hello is not None:
                text = f"The warm engine runs it (process {heard.hello.pid})."
                heard.listener.on_message(Message(text))
            return over
        greeting = Heard(heard.listener)
        greeting.line(stream, line)
        self._greeted = True
        return False

    def _ended(self, heard: Heard) -> Result:
        """Return the result of a run that is over; ends an engine that did not end the run."""
        if heard.ending is None:
            if not heard.listener.is_cancelled():
                self._hear_last_words(heard)
            code = self._child.end()
            if self._let_go:
                raise EngineCancelled
            if heard.hello is None and not heard.listener.is_cancelled():
                raise _NotServed("ended before it answered")
            return heard.result(code)
        if isinstance(heard.ending, Failure):
            self._hear_last_words(heard)
        return heard.result(0)

    def _hear_last_words(self, heard: Heard) -> None:
        """Take what a run that failed has written to stderr, which comes by a way of its own."""
        until = time.monotonic() + _LAST_WORDS_S
        while time.monotonic() < until:
            heard_now = self._child.next_line(_SILENCE_S)
            if heard_now is None or heard_now[1] is None:
                return
            if heard_now[0] == "err":
                heard.line(*heard_now)

    def _skip_leftovers(self) -> None:
        """Drop what came on stderr since the last run; raises _NotServed where it said more."""
        while (line := self._child.next_line(0)) is not None:
            if line[0] == "out":
                self._child.end()
                raise _NotServed("ended, or spoke without being asked")

    def _bury(self) -> None:
        """Wait for the end of the process, whenever it comes, and leave nothing of it."""
        self._child.process.wait()
        self._child.kill()


def _folder() -> str:
    """Return the folder that relative paths of a run start from, empty where it was removed."""
    with contextlib.suppress(OSError):
        return os.getcwd()
    return ""
