"""Owe rows again that another program removed from the register, where the settings want that."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from watcher.journal import Journal
from watcher.journal.listing import Listing
from watcher.model import Arrival
from watcher.register import Register

log = structlog.get_logger()

_PAUSE = 10.0


class Mender:
    """Feeds the registrar's lane: nothing arrives, but rows may be owed again. Used by that lane's thread only.

    It compares at its first look, for what happened while nobody was here, and whenever the register was rewritten.
    """

    def __init__(self, register: Register, journal: Journal, listing: Listing, *, wanted: bool) -> None:
        self._register = register
        self._journal = journal
        self._listing = listing
        self._wanted = wanted
        self._seen = -1

    def adopt(self, *, wanted: bool) -> None:
        """Take a new setting."""
        self._wanted = wanted

    def look(self) -> list[Arrival]:
        """Owe what is missing; return nothing.

        Raises:
            RegisterSuspended: The register is not ours.
            StorageUnavailable: The register or the journal cannot be used.

        """
        rewritten = self._register.rewritten
        if self._wanted and rewritten != self._seen:
            names = self._missing()
            if names:
                self._journal.register_again(names)
                log.warning("register.repaired", rows=len(names))
            self._seen = rewritten
        return []

    def admit(self, arrivals: Sequence[Arrival]) -> None:
        """Do nothing: there are none."""

    def pause(self) -> float:
        """Return the seconds until it may look again: the bell rings before, or there is nothing to see."""
        return _PAUSE

    def close(self) -> None:
        """Let go of the journal."""
        self._listing.close()

    def _missing(self) -> list[str]:
        there = {line.image for line in self._register.lines()}
        return [name for name, recorded in self._listing.names() if recorded and name not in there]
