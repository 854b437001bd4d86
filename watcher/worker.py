"""Work one lane: claim, perform, judge what went wrong; the brake.

This is the one place that catches what nobody expected. One bad image never stops a lane; ten different images in a row
that fail for no known reason do, because then it is us and not them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog

from watcher.clocks import Clocks
from watcher.errors import ChildLost, Deferred, Fatal, LineBroken
from watcher.journal import Journal
from watcher.journal.questions import Questions
from watcher.lanes import Feeder, Lane, Stall
from watcher.model import Arrival, Task
from watcher.verdicts import Failure, Verdict, judge

log = structlog.get_logger()

_IDLE_SECONDS = 10.0
_BRAKE = 10


class Worker:
    """One thread's loop over a lane. `round` is one turn of it, for tests and for the thread alike."""

    def __init__(
        self, lane: Lane, journal: Journal, questions: Questions, clocks: Clocks, ring: Callable[[], None]
    ) -> None:
        self.lane = lane
        self.busy_since: float | None = None
        self.looking = self.stopping = False
        self.rounds = 0
        self.stall, self.starved = Stall(), Stall()
        self._journal = journal
        self._questions = questions
        self._clocks = clocks
        self._ring = ring
        self._untold: list[Callable[[], None]] = []
        self._crashed: dict[str, Task] = {}
        self._faults: set[bytes] = set()
        self._fumbles = 0
        self._first = True

    def run(self) -> None:
        """Work until told to stop.

        Raises:
            Fatal: The process must end.

        """
        while not self.stopping:
            self.lane.bell.clear()
            pause = self.round()
            if not self.stopping:
                self.lane.bell.wait(pause)
        # What the journal does not hear now is found at the next start: those claims outlive the process.
        with suppress(Deferred):
            self._tell()

    def stop(self) -> None:
        """Let the loop end after its batch; called from another thread."""
        self.stopping = True
        self.lane.bell.set()

    def round(self) -> float:
        """Do one turn and return the seconds until the next is needed, if the bell is not rung before.

        Raises:
            Fatal: The process must end.

        """
        now = self.busy_since = self._clocks.monotonic()
        try:
            if now < self.stall.until:
                return self.stall.until - now
            self._tell()
            fed = self._feed()
            pause = 0.0 if self._work() else min(fed, self._until_due())
        except Deferred as error:
            return self._stalled(self.stall, error)
        finally:
            self.busy_since = None
            self.rounds += 1
        self.stall.times = 0
        return pause

    def _feed(self) -> float:
        """Take in what has arrived; return the seconds until there may be more."""
        feeder, now = self.lane.feeder, self._clocks.monotonic()
        if feeder is None:
            return _IDLE_SECONDS
        if now < self.starved.until:
            return self.starved.until - now
        try:
            arrivals, self._fumbles = self._look(feeder), 0
            self._admit(feeder, arrivals)
        except Deferred as error:
            # The acts that are owed go on meanwhile.
            return self._stalled(self.starved, error)
        except Fatal:
            raise
        except Exception as error:  # noqa: BLE001 (a fault in looking must not stop the acts that are owed)
            self._fumbles += 1
            self._complain(f"look {self._fumbles}", error, self._fumbles)
            return 1.0
        if arrivals:
            self.starved.times = 0
        return feeder.pause()

    def _look(self, feeder: Feeder) -> list[Arrival]:
        self.looking = True
        try:
            return feeder.look()
        finally:
            self.looking = False

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
                self._faults.add(arrivals[0].image.path)
                self._complain(repr(arrivals[0].image.path), error, len(self._faults))
                return
            for arrival in arrivals:
                self._admit(feeder, [arrival])

    def _complain(self, what: str, error: Exception, times: int) -> None:
        """Log a fault outside any act, and brake if it is one too many in a row."""
        log.error("worker.crashed", lane=self.lane.name, path=what, exc_info=error)
        if times >= _BRAKE:
            raise _broken(f"{times} looks or arrivals", self.lane.name)

    def _work(self) -> bool:
        """Do one batch of each act that is due, so that no kind of act waits for another; return whether any was."""
        worked = False
        for act in self.lane.acts():
            if self.stopping:
                break
            tasks = self._claim(act)
            if tasks:
                worked = True
                self._judge(tasks, self._perform(tasks))
                self.busy_since = self._clocks.monotonic()
        return worked

    def _claim(self, act: str) -> list[Task]:
        # After a restart one act is tried alone, lest whatever ended the last run ends this one in the same way.
        limit = 1 if self._first else self.lane.limit()
        tasks = self._journal.claim([act], now=self._clocks.wall(), limit=limit)
        self._first = self._first and not tasks
        return tasks

    def _stalled(self, stall: Stall, error: Deferred) -> float:
        """Say why nothing can be done at all, and wait a little longer each time."""
        pause = stall.begin(self._clocks.monotonic())
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
            self._let_go(tasks)
            raise
        except Exception as error:  # noqa: BLE001 (the one place: what nobody expected must not stop the line)
            return [Failure(task, error) for task in tasks]

    # Judging

    def _judge(self, tasks: Sequence[Task], failures: Sequence[Failure]) -> None:
        if len(failures) < len(tasks):
            self._crashed.clear()
            self._ring()
        last: Exception | None = None
        for failure in failures:
            if self.stopping and isinstance(failure.error, ChildLost):
                # A child that was cut short at the end says nothing about its image.
                self._untold.append(partial(self._journal.give_back, [failure.task]))
            else:
                self._pass(judge(failure), failure.error, again=failure.error is last)
                last = failure.error
        if len(self._crashed) >= _BRAKE:
            self._let_go(list(self._crashed.values()))
            raise _broken(f"{len(self._crashed)} different images", self.lane.name)
        self._tell()

    def _pass(self, verdict: Verdict, error: Exception, *, again: bool) -> None:
        """Log a *verdict*, in full unless the same error of a batch comes *again*, and note it for the journal."""
        task, reason = verdict.task, f"{verdict.code}: {verdict.reason}"
        about = {"image": task.image.name, "act": task.act, "attempt": task.attempts, "code": verdict.code}
        if verdict.kind == "parked":
            log.error("worker.parked", **about, reason=verdict.reason)
            self._untold.append(partial(self._journal.park, task, reason=reason))
            return
        if again:
            log.debug("worker.deferred", **about, seconds=verdict.seconds)
        elif verdict.kind == "crashed":
            log.error("worker.crashed", **about, seconds=verdict.seconds, exc_info=error)
        else:
            log.warning("worker.deferred", **about, reason=verdict.reason, seconds=verdict.seconds)
        if verdict.kind == "crashed" and task.alone:
            self._crashed[task.image.name] = task
        self._defer(task, verdict.seconds, reason, explained=verdict.kind == "deferred")

    def _let_go(self, tasks: Sequence[Task]) -> None:
        """Owe *tasks* again at once without holding this attempt against them.

        That it was made stays known: it may have left a row behind.
        """
        for task in tasks:
            self._defer(task, 0.0, "", explained=True)
        with suppress(Deferred, Fatal):
            self._tell()

    def _defer(self, task: Task, seconds: float, reason: str, *, explained: bool) -> None:
        until = self._clocks.wall() + seconds
        self._untold.append(partial(self._journal.defer, task, until=until, reason=reason, explained=explained))

    def _tell(self) -> None:
        """Tell the journal what became of tasks; what it cannot take now is told before the next claim."""
        while self._untold:
            self._untold[0]()
            self._untold.pop(0)


def _broken(what: str, lane: str) -> LineBroken:
    return LineBroken(
        f"{what} in a row failed in lane {lane} for no known reason.",
        hint="The log says how (worker.crashed); nothing is lost, all of them will be done again.",
    )
