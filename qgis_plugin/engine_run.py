"""Runs the engine for a Processing algorithm: feedback down, progress and sentences up."""

from __future__ import annotations

import time

from qgis.core import QgsProcessingException, QgsProcessingFeedback

from ..engine.events import Message, Progress, Result
from .child_process import GRACE_S
from .engine_command import OptionValue, copyable, engine_command
from .engine_process import EngineCancelled, EngineError, Listener, run_engine
from .option_words import in_dialog_words
from .settings import child_environment, engine_python, keeps_warm
from .warm_engine import WarmEngine

_EVERY_S = 15.0
_WARM = WarmEngine()


def run_for_feedback(
    feedback: QgsProcessingFeedback, command: str, *words: str, **options: OptionValue
) -> Result:
    """Run the engine's ``command`` (see ``engine_command``), reporting to ``feedback``.

    Raises QgsProcessingException with the engine's sentence, or after a cancel. A result that was
    complete before the cancel arrived is returned, and the log says so.
    """
    try:
        result = run_with_grace(feedback, GRACE_S, command, *words, **options)
    except EngineCancelled:
        raise QgsProcessingException("Cancelled: nothing was written.") from None
    if feedback.isCanceled():
        feedback.pushWarning(_complete_in_spite_of_cancel(result))
    return result


def run_with_grace(
    feedback: QgsProcessingFeedback,
    grace_s: float,
    command: str,
    *words: str,
    **options: OptionValue,
) -> Result:
    """Run as ``run_for_feedback`` does; after a cancel the engine has ``grace_s`` to end by itself.

    Raises EngineCancelled where it ends without a result then.
    """
    try:
        line = engine_command(engine_python(), command, *words, **options)
        feedback.pushInfo("The engine's command:")
        feedback.pushCommandInfo(copyable(line))
        # A check answers for an engine that starts, not for one that runs already.
        run = _WARM.run if keeps_warm() and command != "check" else run_engine
        return run(line, child_environment(), feedback_listener(feedback), grace_s)
    except EngineError as error:
        raise QgsProcessingException(sentences_of(error)) from error


def sentences_of(error: EngineError) -> str:
    """Return what went wrong and what to do, as a user of QGIS reads it."""
    return in_dialog_words(f"{error.message}\n{error.hint}".strip())


def feedback_listener(feedback: QgsProcessingFeedback) -> Listener:
    """Return the listener that passes a run on to ``feedback``."""
    return Listener(
        is_cancelled=feedback.isCanceled,
        on_progress=_ProgressText(feedback),
        on_message=lambda message: _show(feedback, message),
        on_stray=feedback.pushDebugInfo,
    )


def engine_state() -> tuple[bool, str]:
    """Return whether an engine can be started and, if not, the one thing to do."""
    try:
        engine_python()
    except EngineError as error:
        return False, f"{error.message} {error.hint}"
    return True, ""


def retire_warm_engine() -> None:
    """End the warm engine, if there is one, as soon as it runs nothing."""
    _WARM.retire()


def close_warm_engine() -> None:
    """End the warm engine, if there is one, and what it runs."""
    _WARM.close()


def _complete_in_spite_of_cancel(result: Result) -> str:
    """Return what there is to say: QGIS loads nothing of a cancelled run and tells nothing."""
    text = "The run was complete before the cancel arrived"
    files = list(dict.fromkeys(result.outputs.values()))
    if not files:
        return f"{text}."
    return "\n".join([f"{text}. QGIS does not load its files, but they are whole:", *files])


class _ProgressText:
    """Moves the bar with every event, and the text when there is something new to say."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._stage = ""
        self._said_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        self._feedback.setProgress(100.0 * progress.fraction)
        now = time.monotonic()
        if progress.stage != self._stage:
            self._feedback.setProgressText(progress.stage[:1].upper() + progress.stage[1:])
        elif progress.remaining_s is not None and now - self._said_at > _EVERY_S:
            rate = "" if progress.rate is None else f", {progress.rate / 1e6:.2f} Mpx/s"
            left = f"{progress.fraction:.0%}{rate}, about {progress.remaining_s:.0f} s left"
            self._feedback.setProgressText(left)
        else:
            return
        self._stage, self._said_at = progress.stage, now


def _show(feedback: QgsProcessingFeedback, message: Message) -> None:
    text = in_dialog_words(message.text)
    if message.level == "warning":
        feedback.pushWarning(text)
    else:
        feedback.pushInfo(text)
