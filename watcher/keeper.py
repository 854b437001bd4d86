"""What the keeper does beside its owed acts: look at the inbox, admit, and tend the quarantine."""

from __future__ import annotations

from collections.abc import Sequence

from watcher.clocks import Clocks
from watcher.errors import Deferred
from watcher.flow import Flow
from watcher.inbox import Inbox
from watcher.intake.quarantine import Quarantine
from watcher.model import Arrival

_RESUME_SECONDS = 5.0
_PRUNE_SECONDS = 60.0


class Keeper:
    """Feeds the keeper's lane; used by its thread only."""

    def __init__(self, inbox: Inbox, flow: Flow, quarantine: Quarantine, clocks: Clocks, batch: int) -> None:
        self._inbox = inbox
        self._flow = flow
        self._quarantine = quarantine
        self._clocks = clocks
        self._batch = batch
        self._resumed_at = self._pruned_at = float("-inf")

    def look(self) -> list[Arrival]:
        """Return what has arrived; on the way, take back what became whole in the quarantine, and keep that small.

        Raises:
            StorageUnavailable: The quarantine cannot be tended.

        """
        now = self._clocks.monotonic()
        if now - self._resumed_at >= _RESUME_SECONDS:
            self._resumed_at = now
            self._quarantine.resume()
        if now - self._pruned_at >= _PRUNE_SECONDS or self._quarantine.is_filling():
            self._pruned_at = now
            self._quarantine.prune()
        return self._inbox.round(self._batch)

    def admit(self, arrivals: Sequence[Arrival]) -> None:
        """Admit *arrivals*; what could not be is seen again at the next listing.

        Raises:
            StorageUnavailable: There is no room; the photos stay where they are.

        """
        try:
            changed = self._flow.admit(arrivals)
        except Deferred:
            self._inbox.stir()
            raise
        if changed:
            self._inbox.stir()

    def pause(self) -> float:
        """Return the seconds until there is something to look at, if nothing stirs before."""
        return min(self._inbox.pause(), _RESUME_SECONDS)
