"""How the running line is: idle, working, stuck; told to the service manager and to the lanes."""

from __future__ import annotations

import structlog

from watcher.bootstrap import Line
from watcher.clocks import Clocks
from watcher.errors import Deferred
from watcher.facts import counted
from watcher.service import Supervisor
from watcher.worker import Worker

log = structlog.get_logger()

_STATUS_SECONDS = 10.0
_CHANGED_SECONDS = 0.5
_LOOK_SECONDS = 30.0
"""A look that takes longer hangs on a dead share: that is the inbox's fault, not ours."""
_STUCK_SECONDS = 180.0
_STALLS = 3


class Vitals:
    """One beat after another, from the main thread only; *ready* once it has said so."""

    def __init__(self, line: Line, supervisor: Supervisor, clocks: Clocks) -> None:
        self._line = line
        self._keeper = line.workers[0]
        self._supervisor = supervisor
        self._clocks = clocks
        self.ready = self._hanging = False
        self._status_at = self._changed_at = self._pinged_at = float("-inf")
        self._version: int | None = None

    @property
    def unreachable(self) -> bool:
        """Whether the inbox does not answer, or cannot be listed."""
        return self._hanging or not self._line.inbox.sentry.reachable

    def beat(self) -> None:
        """Say that we are ready, well, or stuck; notice when a command has changed the journal.

        Raises:
            JournalUnusable: The journal cannot be read any more.

        """
        now = self._clocks.monotonic()
        self._notice_hanging(now)
        if not self.ready and (self._keeper.rounds > 0 or self._hanging):
            self.ready = True
            self._supervisor.tell("READY=1")
            log.info("daemon.ready")
        self._notice_changes(now)
        ping = self._supervisor.watchdog_seconds
        if ping is not None and now - self._pinged_at >= ping / 4 and not self._stuck(now):
            self._pinged_at = now
            self._supervisor.tell("WATCHDOG=1")
        if self._supervisor.present and now - self._status_at >= _STATUS_SECONDS:
            self._status_at = now
            self._supervisor.tell(f"STATUS={self.sentence()}")

    def sentence(self) -> str:
        """Return how we are in one sentence, for `systemctl status`."""
        if self.unreachable:
            return f"The inbox {self._line.inbox.sentry.root} cannot be reached."
        try:
            recorded, owed = self._line.questions.totals()
        except Deferred as error:
            return str(error)
        return f"{counted(recorded, 'photo')} registered, {counted(owed, 'act')} owed."

    def idle(self) -> bool:
        """Return whether nothing is whole and waiting, and nothing is due; what cannot be done anyway does not count.

        That is what a lane leaves that has stalled several times in a row, on a full disk for example.
        """
        line = self._line
        if not self.ready or any(worker.busy_since is not None for worker in line.workers):
            return False
        able = [worker for worker in line.workers if max(worker.stall.times, worker.starved.times) < _STALLS]
        if self._keeper in able and not line.inbox.idle():
            return False
        acts = [act for worker in able for act in worker.lane.acts()]
        try:
            return line.questions.busy(acts, self._clocks.wall()) == 0
        except Deferred:
            return not acts

    def _notice_changes(self, now: float) -> None:
        """Have the lanes try at once when another process has written to the journal, as `retry` does."""
        if now - self._changed_at < _CHANGED_SECONDS:
            return
        self._changed_at = now
        try:
            version = self._line.connection.changed()
        except Deferred:
            return
        if self._version is None:
            self._line.ring()
        elif version != self._version:
            self._line.retry()
        self._version = version

    def _notice_hanging(self, now: float) -> None:
        """Say once that a look hangs, and once that it came back."""
        keeper = self._keeper
        hanging = keeper.looking and _busy(keeper, now) > _LOOK_SECONDS
        folder = str(self._line.inbox.sentry.root)
        if hanging and not self._hanging:
            log.error("inbox.unreachable", folder=folder, reason="does not answer")
        elif self._hanging and not hanging and self._line.inbox.sentry.reachable:
            log.info("inbox.reachable", folder=folder)
        self._hanging = hanging

    def _stuck(self, now: float) -> bool:
        """Return whether a lane has made no progress for so long that only a new start can help.

        A look at the inbox that hangs is not our fault, and a slow engine has the time that it was given.
        """
        longest = max(_STUCK_SECONDS, self._line.slowest)
        waiting = self._keeper if self._keeper.looking else None
        return any(_busy(worker, now) > longest for worker in self._line.workers if worker is not waiting)


def _busy(worker: Worker, now: float) -> float:
    """Return for how many seconds *worker* has been at what it does."""
    since = worker.busy_since
    return 0.0 if since is None else now - since
