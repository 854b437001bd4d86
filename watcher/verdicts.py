"""What becomes of a task that was not finished: tried again, and when, or set aside for a person. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from watcher.errors import ChildLost, Deferred, RegisterSuspended, Rejected, StorageUnavailable, WatcherError
from watcher.journal import LONGEST_PAUSE
from watcher.model import Task

MOST_STRIKES = 5
"""Attempts, made alone, that may end without an explanation."""

_PARKABLE = ("register", "notify/")
_LONGEST_NEARBY = 30.0
"""Seconds; a disk may heal at any moment, and a person who mends the register looks whether it helped."""
_LONGEST = 600.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that was not finished, and why."""

    task: Task
    error: Exception


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a failure.

    Attributes:
        task: What failed.
        kind: `deferred`, `lost` and `crashed` are tried again, the latter two as suspect, since a child or we broke
            down over it; `parked` waits for a person.
        seconds: The pause before the next attempt.
        code: A short word for logs.
        reason: A sentence for the operator.

    """

    task: Task
    kind: Literal["deferred", "lost", "crashed", "parked"]
    seconds: float
    code: str
    reason: str


def judge(failure: Failure) -> Verdict:
    """Return what becomes of the task that failed.

    An error that nobody foresaw counts only against a task that was attempted alone: a batch proves nothing about any
    one of its items. Only `register` and `notify` can be parked: every image that was admitted is stored and read.
    """
    task, error = failure.task, failure.error
    parkable = task.act.startswith(_PARKABLE)
    if isinstance(error, Rejected) and parkable:
        return Verdict(task, "parked", 0.0, error.code, str(error))
    if isinstance(error, WatcherError):
        return Verdict(task, "deferred", _pause(task, error), error.code, str(error))
    if isinstance(error, ChildLost) and not error.young:
        # It does work for other images, so this is no fault of ours that must stop the line.
        return Verdict(task, "lost", _pause(task, error), "reader_crashed", str(error))
    if parkable and task.alone and task.strikes >= MOST_STRIKES:
        reason = f"It failed {task.strikes} times without an explanation, the last time by {_named(error)}."
        return Verdict(task, "parked", 0.0, "internal_error", reason)
    return Verdict(task, "crashed", _pause(task, error), "internal_error", _named(error))


def _pause(task: Task, error: Exception) -> float:
    """Return the seconds before the next attempt: 1, 2, 4, … up to a bound, or what the other side asked for."""
    longest = _LONGEST_NEARBY if isinstance(error, StorageUnavailable | RegisterSuspended) else _LONGEST
    pause = min(float(1 << min(task.attempts - 1, 20)), longest)
    asked = error.retry_after if isinstance(error, Deferred) and error.retry_after is not None else 0.0
    return min(max(pause, asked), LONGEST_PAUSE)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
