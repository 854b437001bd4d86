"""Work one lane: claim, perform, judge what went wrong; the brake.

This is the one place that catches what nobody expected. One bad image never stops a lane; ten different images in a row
that fail for no known reason do, because then it is us and not them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from watcher.clocks import Clocks
from watcher.errors import (
    ChildLost,
    Deferred,
    Fatal,
    LineBroken,
    Rejected,
    StorageUnavailable,
    WatcherError,
)
from watcher.flow import MOST_STRIKES, PARKABLE, Failure
from watcher.journal import LONGEST_PAUSE, Journal
from watcher.journal.questions import Questions
from watcher.model import Arrival, Task

log = structlog.get_logger()

_PAUSE_AFTER_STORAGE = 30.0
_PAUSE_AFTER_OTHERS = 600.0
_IDLE_SECONDS = 10.0
_BRAKE = 10


class Feeder(Protocol):
    """Where arrivals come from; all three raise `Deferred` if they cannot work at the moment."""

    def look(self) -> list[Arrival]:
        """Return what has arrived."""

    def admit(self, arrivals: Sequence[Arrival]) -> None:
        """Write down what has arrived."""

    def pause(self) -> float:
        """Return the seconds until there may be more."""


@dataclass(slots=True)
class Lane:
    """What one thread works on.

    Attributes:
        name: `keeper`, `reader-1`, `registrar`, `courier`.
        acts: What it claims; a callable, since the sinks may change.
        perform: Does a batch and returns what failed.
        limit: The largest batch.
        feeder: The source of work that nobody owes yet: the keeper's.
        bell: Rung when there may be something to do.

    """

    name: str
    acts: Callable[[], Sequence[str]]
    perform: Callable[[Sequence[Task]], list[Failure]]
    limit: Callable[[], int] = lambda: 1
    feeder: Feeder | None = None
    bell: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the journal still has to be told about a failed task."""

    task: Task
    until: float
    reason: str
    explained: bool
    park: bool


class Worker:
    """One thread's loop over a lane. `round` is one turn of it, for tests and for the thread alike."""

    def __init__(
        self, lane: Lane, journal: Journal, questions: Questions, clocks: Clocks, ring: Callable[[], None]
    ) -> None:
        self.lane = lane
        self.busy_since: float | None = None
        self.looking = self.stopping = False
        self.rounds = 0
        self._journal = journal
        self._questions = questions
        self._clocks = clocks
        self._ring = ring
        self._untold: list[_Verdict] = []
        self._crashed: dict[str, Task] = {}
        self._faults: set[str] = set()
        self._first = True
        self._stalls = 0

    def run(self) -> None:
        """Work until told to stop.

        Raises:
            Fatal: The process must end.

        """
        while not self.stopping:
            self.lane.bell.clear()
            self.busy_since = self._clocks.monotonic()
            pause = self.round()
            self.rounds += 1
            self.busy_since = None
            if pause > 0 and not self.stopping:
                self.lane.bell.wait(pause)

    def stop(self) -> None:
        """Let the loop end after its batch; called from another thread."""
        self.stopping = True
        self.lane.bell.set()

    def round(self) -> float:
        """Do one turn and return the seconds until the next is needed, if the bell is not rung before.

        Raises:
            Fatal: The process must end.

        """
        try:
            self._tell()
            fed = self._feed()
            tasks = self._claim()
        except Deferred as error:
            return self._stalled(error)
        self._stalls = 0
        if not tasks:
            return min(fed, self._until_due())
        failures = self._perform(tasks)
        self._judge(tasks, failures)
        if len(failures) < len(tasks):
            self._ring()
        return 0.0

    def _feed(self) -> float:
        """Take in what has arrived; return the seconds until there may be more."""
        feeder = self.lane.feeder
        if feeder is None:
            return _IDLE_SECONDS
        try:
            self.looking = True
            arrivals = feeder.look()
            self.looking = False
            self._admit(feeder, arrivals)
        except (Fatal, Deferred):
            raise
        except Exception as error:  # noqa: BLE001 (a fault in looking must not stop the acts that are owed)
            self._count(f"looking at {self.lane.name}", error)
            return 1.0
        return feeder.pause()

    def _admit(self, feeder: Feeder, arrivals: Sequence[Arrival]) -> None:
        """Admit *arrivals*, one by one if they fail together: a bad one must not hold up the others."""
        if not arrivals:
            return
        try:
            feeder.admit(arrivals)
            self._faults.clear()
        except (Fatal, Deferred):
            raise
        except Exception as error:  # noqa: BLE001 (see above)
            if len(arrivals) == 1:
                self._count(repr(arrivals[0].image.path), error)
                return
            for arrival in arrivals:
                self._admit(feeder, [arrival])

    def _count(self, what: str, error: Exception) -> None:
        """Log a fault outside any act, and brake if there are too many different ones in a row."""
        log.error("worker.crashed", lane=self.lane.name, path=what, exc_info=error)
        self._faults.add(what)
        if len(self._faults) >= _BRAKE:
            raise _broken(len(self._faults), self.lane.name)

    def _claim(self) -> list[Task]:
        acts = self.lane.acts()
        if not acts:
            return []
        # After a restart one act is tried alone, lest whatever ended the last run ends this one in the same way.
        limit = 1 if self._first else self.lane.limit()
        tasks = self._journal.claim(acts, now=self._clocks.wall(), limit=limit)
        self._first = self._first and not tasks
        return tasks

    def _stalled(self, error: Deferred) -> float:
        """Say why nothing can be done at all, and wait a little longer each time."""
        self._stalls += 1
        pause = min(0.5 * 2**self._stalls, _PAUSE_AFTER_STORAGE)
        log.warning("worker.stalled", lane=self.lane.name, code=error.code, reason=str(error), seconds=pause)
        return pause

    def _until_due(self) -> float:
        acts = self.lane.acts()
        due = self._questions.next_due(acts) if acts else None
        if due is None:
            return _IDLE_SECONDS
        return max(0.0, min(due - self._clocks.wall(), _IDLE_SECONDS))

    def _perform(self, tasks: Sequence[Task]) -> list[Failure]:
        try:
            return self.lane.perform(tasks)
        except Fatal:
            self._journal.give_back(tasks)
            raise
        except Exception as error:  # noqa: BLE001 (the one place: what nobody expected must not stop the line)
            return [Failure(task, error) for task in tasks]

    # Judging

    def _judge(self, tasks: Sequence[Task], failures: Sequence[Failure]) -> None:
        if self.stopping:
            # A child that was cut short at the end says nothing about its image.
            cut = [failure for failure in failures if isinstance(failure.error, ChildLost)]
            self._journal.give_back([failure.task for failure in cut])
            failures = [failure for failure in failures if failure not in cut]
        self._untold += [self._verdict(failure) for failure in failures]
        if len(failures) < len(tasks):
            self._crashed.clear()
        try:
            self._tell()
        except Deferred as error:
            self._stalled(error)
        if len(self._crashed) >= _BRAKE:
            self._journal.give_back(list(self._crashed.values()))
            raise _broken(len(self._crashed), self.lane.name)

    def _tell(self) -> None:
        """Tell the journal about failures; what it cannot take now is told before the next claim."""
        while self._untold:
            verdict = self._untold[0]
            if verdict.park:
                self._journal.park(verdict.task, reason=verdict.reason)
            else:
                self._journal.defer(
                    verdict.task, until=verdict.until, reason=verdict.reason, explained=verdict.explained
                )
            self._untold.pop(0)

    def _verdict(self, failure: Failure) -> _Verdict:
        task, error = failure.task, failure.error
        match error:
            case Deferred():
                return self._later(task, error)
            case Rejected() if task.act.startswith(PARKABLE):
                return self._parked(task, error.code, str(error))
            case WatcherError():
                return self._later(task, Deferred(error.reason, hint=error.hint, code=error.code))
            case _:
                return self._crash(task, error)

    def _later(self, task: Task, error: Deferred) -> _Verdict:
        pause = _pause(task, error)
        if error.retry_after is not None:
            pause = min(max(pause, error.retry_after), LONGEST_PAUSE)
        log.warning(
            "worker.deferred",
            image=task.image.name,
            act=task.act,
            attempt=task.attempts,
            code=error.code,
            reason=str(error),
            seconds=pause,
        )
        return _Verdict(task, self._clocks.wall() + pause, f"{error.code}: {error}", explained=True, park=False)

    def _parked(self, task: Task, code: str, reason: str) -> _Verdict:
        log.error("worker.parked", image=task.image.name, act=task.act, attempt=task.attempts, code=code, reason=reason)
        return _Verdict(task, 0.0, f"{code}: {reason}", explained=True, park=True)

    def _crash(self, task: Task, error: Exception) -> _Verdict:
        """Log the trace; only an act that failed alone counts, a batch proves nothing about one of its items."""
        log.error("worker.crashed", image=task.image.name, act=task.act, attempt=task.attempts, exc_info=error)
        reason = f"internal_error: {type(error).__name__}: {error}"
        if task.alone:
            self._crashed[task.image.name] = task
        if task.alone and task.strikes >= MOST_STRIKES and task.act.startswith(PARKABLE):
            return self._parked(task, "internal_error", f"It failed {task.strikes} times: {error}")
        until = self._clocks.wall() + _pause(task, error)
        return _Verdict(task, until, reason, explained=False, park=False)


def _pause(task: Task, error: Exception) -> float:
    """Return the seconds before the next attempt: 1, 2, 4, … up to a bound that is short where a disk may heal."""
    longest = _PAUSE_AFTER_STORAGE if isinstance(error, StorageUnavailable) else _PAUSE_AFTER_OTHERS
    doubled: float = 2.0 ** min(task.attempts - 1, 20)
    return min(doubled, longest)


def _broken(number: int, lane: str) -> LineBroken:
    return LineBroken(
        f"{number} different images in a row failed in lane {lane} for no known reason.",
        hint="The log says how (worker.crashed); nothing is lost, all of them will be done again.",
    )
