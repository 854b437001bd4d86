"""Look at `inbox/` and yield arrivals: file events wake it, scans inform it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from watcher import sidecar
from watcher.arrivals import Arrivals, Patience
from watcher.clocks import Clocks
from watcher.inbox.candidates import Candidates
from watcher.inbox.listing import Found, Ignore, walk
from watcher.inbox.looks import look_at_image
from watcher.inbox.mounts import current_network_devices
from watcher.inbox.notices import Notices
from watcher.inbox.sentry import Mode, Sentry
from watcher.inbox.visits import Visits
from watcher.model import Arrival, Image, Sighting

_LISTING_PAUSE = 0.25
_SLICE = 0.1
"""Seconds of listing, or of looking, before the keeper's other acts have their turn."""


class Inbox:
    """Rounds of looks at *root*; used by one thread only, but for `stir`, `adopt` and `idle`.

    *bell* is rung when something stirs while nobody is looking; *latest_from* answers which image was admitted last
    from one of some paths, to tell late sidecars from early ones; *network_devices* which devices are network mounts.
    """

    def __init__(
        self,
        root: Path,
        *,
        mode: Mode,
        patience: Patience,
        ignore: Sequence[str],
        clocks: Clocks,
        bell: threading.Event,
        latest_from: Callable[[Sequence[bytes]], Image | None],
        network_devices: Callable[[], frozenset[int]] = current_network_devices,
    ) -> None:
        real = root.resolve()
        self.sentry = Sentry(real, mode, self.stir, network_devices)
        self._root = os.fsencode(real)
        self._arrivals = Arrivals(patience)
        self._ignore = Ignore(ignore)
        self._now = clocks.monotonic
        self._bell = bell
        self._stirred = threading.Event()
        self._candidates = Candidates()
        self._notices = Notices()
        self._visits = Visits(
            self._root,
            self._arrivals,
            self._notices,
            network=lambda: self.sentry.network,
            clocks=clocks,
            latest_from=latest_from,
        )
        self._listing: Iterator[Found] | None = None
        self._spent = 0.0
        self._folders, self._network = 0, False
        self._listed = False
        self._begun_at = self._checked_at = self._not_before = float("-inf")

    def close(self) -> None:
        """Stop watching and let go of every folder."""
        self._listing = None
        self.sentry.stop()

    def adopt(self, patience: Patience, ignore: Sequence[str]) -> None:
        """Take new settings; what is known of files that are settling is kept."""
        self._arrivals.patience = patience
        self._ignore = Ignore(ignore)

    def stir(self) -> None:
        """List the inbox again soon; called from any thread, many times a second."""
        if not self._stirred.is_set():
            self._stirred.set()
            self._bell.set()

    def again(self, path: bytes) -> Sighting | None:
        """Return what one more look at the image at *path* shows; none if it is gone or no image any more.

        It is not looked into, so that its ending says nothing.

        Raises:
            OSError: It cannot be looked at.

        """
        seen = look_at_image(self._root, path, self.sentry.network, largest=0)
        return seen if isinstance(seen, Sighting) else None

    def round(self, limit: int) -> list[Arrival]:
        """List and look for a moment; return at most *limit* arrivals, oldest first."""
        try:
            self._list()
        except OSError as error:
            self._listing = None
            self._not_before = self._now() + _LISTING_PAUSE
            self.sentry.failed(error)
        arrivals = self._look(limit)
        return sorted(arrivals, key=lambda arrival: arrival.image.ctime_ns)

    def idle(self) -> bool:
        """Return whether nothing here is whole and waiting, as far as the last complete listing tells."""
        if not self.sentry.reachable:
            return True
        quiet = self._listed and self._listing is None and not self._stirred.is_set()
        return quiet and not self._candidates.imminent

    def pause(self) -> float:
        """Return the seconds until there is something to do, if nothing stirs before."""
        due = self._candidates.next_due
        interval = self.sentry.interval
        if self._listing is None:
            begin = float("-inf") if self._stirred.is_set() else self._begun_at + interval
            due = min(due, max(begin, self._not_before))
        elif self._candidates.have_room:
            return 0.0
        else:
            due = min(due, self._checked_at + interval)
        return max(0.0, due - self._now())

    # Listing

    def _list(self) -> None:
        """Go on with the listing, or begin one if something stirred or the interval is over."""
        now = self._now()
        if self._listing is None:
            wanted = self._stirred.is_set() or now - self._begun_at >= self.sentry.interval
            if not wanted or now < self._not_before:
                return
            self._stirred.clear()
            self._begun_at = now
            self._spent, self._folders, self._network = 0.0, 0, False
            if self._is_well(now):
                self._listing = walk(self._root, self._ignore, self.sentry.network)
        elif now - self._checked_at >= self.sentry.interval and not self._is_well(now):
            self._listing = None
        if self._listing is not None:
            self._go_on(self._listing, now)

    def _is_well(self, now: float) -> bool:
        self._checked_at = now
        return self.sentry.check()

    def _go_on(self, listing: Iterator[Found], start: float) -> None:
        """Take entries for a moment; a listing that took long is followed by as long a pause."""
        ended = self._take(listing, start + _SLICE)
        now = self._now()
        self._spent += now - start
        if ended:
            self._listing = None
            self._listed = True
            self._not_before = now + max(_LISTING_PAUSE, self._spent)
            self.sentry.surveyed(self._folders, network=self._network)

    def _take(self, listing: Iterator[Found], until: float) -> bool:
        """Take entries from *listing* until there is no more room or time; return whether it ended."""
        while self._candidates.have_room and (now := self._now()) < until:
            found = next(listing, None)
            if found is None:
                return True
            match found.what:
                case "image" | "sidecar":
                    self._candidates.add(found.path, now)
                case "folder":
                    self._folders += 1
                    self._network = self._network or found.why == "network"
                case "unwritable":
                    self._notices.unwritable(found.path)
                case _:
                    self._notices.ignored(found.path, found.why or found.what)
        return False

    # Looking

    def _look(self, limit: int) -> list[Arrival]:
        """Visit the candidates whose wait is over until *limit* have arrived or the time is up."""
        arrivals: list[Arrival] = []
        now = self._now()
        until = now + _SLICE
        self._visits.begin()
        while now < until and len(arrivals) < limit and (path := self._candidates.take(now)) is not None:
            arrival = self._visit(path, now)
            if arrival is not None:
                arrivals.append(arrival)
            now = self._now()
        return arrivals

    def _visit(self, path: bytes, now: float) -> Arrival | None:
        """Visit *path* and have it visited again where its time has not come."""
        try:
            answer = self._visits.visit(path, now)
        except BaseException:
            # Whatever it was, the next listing finds this file again, and those that had arrived before it.
            self._candidates.drop(path)
            self.stir()
            raise
        if isinstance(answer, float):
            slow = sidecar.is_sidecar(path) or not self._arrivals.imminent(path)
            if not self._candidates.postpone(path, now + answer, slow=slow):
                self._visits.forget(path)
            return None
        self._candidates.drop(path)
        if not isinstance(answer, bytes):
            return answer
        if not self._ignore(os.path.basename(answer)):
            self._candidates.add(answer, now)
        return None
