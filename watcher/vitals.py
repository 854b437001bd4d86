"""How the running line is: idle, working, stuck; told to the service manager and to the lanes."""

from __future__ import annotations

import structlog

from watcher.bootstrap import Line
from watcher.clocks import Clocks
from watcher.errors import Deferred
from watcher.flow import KEEPER_ACTS, READ, REGISTER
from watcher.service import Supervisor

log = structlog.get_logger()

_STATUS_SECONDS = 10.0
_CHANGED_SECONDS = 1.0
_LOOK_SECONDS = 30.0
"""A look that takes longer hangs on a dead share: that is the inbox's fault, not ours."""
_STUCK_SECONDS = 180.0


class Vitals:
    """One beat after another, from the main thread only."""

    def __init__(self, line: Line, service: Supervisor, clocks: Clocks) -> None:
        self._line = line
        self._service = service
        self._clocks = clocks
        self._ready = self._hanging = False
        self._status_at = self._changed_at = self._pinged_at = float("-inf")
        self._version: int | None = None

    def beat(self) -> None:
        """Say that we are ready, well, or stuck; notice when a command has changed the journal."""
        now = self._clocks.monotonic()
        if not self._ready and self._line.workers[0].rounds > 0:
            self._ready = True
            self._service.tell("READY=1")
            log.info("daemon.ready")
        self._notice_changes(now)
        self._notice_hanging(now)
        ping = self._service.watchdog_seconds
        if ping is not None and now - self._pinged_at >= ping / 4 and not self._stuck(now):
            self._pinged_at = now
            self._service.tell("WATCHDOG=1")
        if self._service.present and now - self._status_at >= _STATUS_SECONDS:
            self._status_at = now
            self._service.tell(f"STATUS={self.sentence()}")

    def sentence(self) -> str:
        """Return how we are in one sentence, for `systemctl status`."""
        if self._hanging or not self._line.inbox.sentry.reachable:
            return f"The inbox {self._line.inbox.sentry.root} cannot be reached."
        try:
            recorded, owed = self._line.questions.totals()
        except Deferred as error:
            return str(error)
        return f"{recorded} photos registered, {owed} acts owed."

    def idle(self) -> bool:
        """Return whether nothing is whole and waiting, and nothing is due."""
        line = self._line
        if not self._ready or not line.inbox.idle() or any(worker.busy_since is not None for worker in line.workers):
            return False
        acts = (*KEEPER_ACTS, READ, REGISTER, *line.flow.notify_acts())
        try:
            return line.questions.busy(acts, self._clocks.wall()) == 0
        except Deferred:
            return False

    def _notice_changes(self, now: float) -> None:
        if now - self._changed_at < _CHANGED_SECONDS:
            return
        self._changed_at = now
        try:
            version = self._line.connection.changed()
        except Deferred:
            return
        if version != self._version:
            self._version = version
            self._line.ring()

    def _notice_hanging(self, now: float) -> None:
        """Say once that a look hangs, and once that it came back."""
        keeper = self._line.workers[0]
        hanging = keeper.looking and keeper.busy_since is not None and now - keeper.busy_since > _LOOK_SECONDS
        if hanging and not self._hanging:
            log.error("inbox.unreachable", folder=str(self._line.inbox.sentry.root), reason="does not answer")
        elif self._hanging and not hanging:
            log.info("inbox.reachable", folder=str(self._line.inbox.sentry.root))
        self._hanging = hanging

    def _stuck(self, now: float) -> bool:
        """Return whether a lane has made no progress for so long that only a new start can help."""
        return any(
            worker.busy_since is not None and now - worker.busy_since > _STUCK_SECONDS and not worker.looking
            for worker in self._line.workers
        )
