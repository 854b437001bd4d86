"""Look at `inbox/` and yield arrivals: file events wake it, scans inform it."""

from __future__ import annotations

import heapq
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from watcher import sidecar
from watcher.arrivals import Arrivals, Patience, Verdict
from watcher.clocks import Clocks, HostZone
from watcher.inbox.listing import Found, Ignore, image_names, walk
from watcher.inbox.looks import Ignored, look_at_image, look_at_sidecar, read_sidecar
from watcher.inbox.sentry import Mode, Sentry
from watcher.model import Arrival, Image, Sidecar, Sighting

log = structlog.get_logger()

_LATE = timedelta(seconds=60)
_ROOM, _SLOW_ROOM = 4096, 20_000
"""How many candidates are remembered while they settle, and how many that may never become whole."""
_TOLD = 10_000
_LISTING_PAUSE = 0.25
_SLICE = 0.1
"""Seconds of listing, or of looking, before the keeper's other acts have their turn."""


class Inbox:
    """Rounds of looks at *root*; used by one thread only.

    *bell* is rung when something stirs while nobody is looking; *latest_from* answers which image was admitted last
    from one of some paths, to tell late sidecars from early ones.
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
    ) -> None:
        real = root.resolve()
        self.sentry = Sentry(real, mode, self.stir)
        self._root = os.fsencode(real)
        self._arrivals = Arrivals(patience)
        self._ignore = Ignore(ignore)
        self._clocks = clocks
        self._bell = bell
        self._stirred = threading.Event()
        self._latest_from = latest_from
        self._due: list[tuple[float, bytes]] = []
        self._known: set[bytes] = set()
        self._slow: set[bytes] = set()
        self._told: set[tuple[str | int | bytes, ...]] = set()
        self._listing: Iterator[Found] | None = None
        self._spent = 0.0
        self._folders = self._counted = 0
        self._listed_at = float("-inf")
        self._not_before = float("-inf")

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
        """Return what one more look at the image at *path* shows; none if it is gone or no image any more."""
        seen = look_at_image(self._root, path, self.sentry.network)
        return seen if isinstance(seen, Sighting) else None

    def round(self, limit: int) -> list[Arrival]:
        """List and look for a moment; return at most *limit* arrivals, oldest first."""
        try:
            self._list()
        except OSError as error:
            # The next check says what is wrong with the folder, if it still is.
            log.debug("inbox.listing_failed", reason=str(error))
            self._listing = None
            self._listed_at = self._clocks.monotonic()
        arrivals = self._look(limit)
        return sorted(arrivals, key=lambda arrival: arrival.image.ctime_ns)

    def idle(self) -> bool:
        """Return whether nothing here is whole and waiting, as far as the last complete listing tells."""
        quiet = self._listing is None and not self._stirred.is_set() and self._folders > 0
        return not self.sentry.reachable or (quiet and len(self._known) == len(self._slow))

    def pause(self) -> float:
        """Return the seconds until there is something to do, if nothing stirs before."""
        now = self._clocks.monotonic()
        if self._listing is not None and self._has_room():
            return 0.0
        times = [max(self._listed_at + self.sentry.interval, self._not_before)]
        if self._stirred.is_set():
            times.append(self._not_before)
        if self._due:
            times.append(self._due[0][0])
        return max(0.0, min(times) - now)

    # Listing

    def _has_room(self) -> bool:
        return len(self._known) - len(self._slow) < _ROOM

    def _list(self) -> None:
        """Go on with the listing, or begin one if something stirred or the interval is over."""
        start = self._clocks.monotonic()
        if self._listing is None:
            waited = start - self._listed_at >= self.sentry.interval
            if start < self._not_before or not (self._stirred.is_set() or waited):
                return
            self._stirred.clear()
            self._listed_at = start
            if not self.sentry.check(self._folders):
                return
            self._listing = walk(self._root, self._ignore)
            self._spent, self._counted = 0.0, 1
        ended = self._take(self._listing, start + _SLICE)
        now = self._clocks.monotonic()
        self._spent += now - start
        if ended:
            self._listing = None
            self._folders = self._counted
            self._not_before = now + max(_LISTING_PAUSE, self._spent)

    def _take(self, listing: Iterator[Found], until: float) -> bool:
        """Take entries from *listing* until there is no more room or time; return whether it ended."""
        while self._has_room() and self._clocks.monotonic() < until:
            found = next(listing, None)
            if found is None:
                return True
            if found.what == "folder":
                self._counted += 1
            elif found.what in {"image", "sidecar"}:
                if found.path not in self._known:
                    self._known.add(found.path)
                    heapq.heappush(self._due, (float("-inf"), found.path))
            else:
                self._tell(found.why or found.what, found.path)
        return False

    def _tell(self, why: str, path: bytes, *identity: int) -> None:
        """Say once what stands in the inbox and will be left there."""
        key = (why, *(identity or (path,)))
        if key in self._told or len(self._told) >= _TOLD:
            return
        self._told.add(key)
        if why == "unwritable":
            log.warning("inbox.unwritable", folder=path)
        else:
            log.warning("inbox.ignored", path=path, reason=why)

    # Looking

    def _look(self, limit: int) -> list[Arrival]:
        """Look at the candidates whose wait is over until *limit* have arrived or the time is up."""
        arrivals: list[Arrival] = []
        now = self._clocks.monotonic()
        until = now + _SLICE
        while self._due and self._due[0][0] <= now < until and len(arrivals) < limit:
            _, path = heapq.heappop(self._due)
            try:
                arrival = self._look_at(path, now)
            except BaseException:
                # Whatever it was, the next listing finds the file again.
                self._drop(path)
                raise
            if arrival is not None:
                arrivals.append(arrival)
            now = self._clocks.monotonic()
        return arrivals

    def _look_at(self, path: bytes, now: float) -> Arrival | None:
        """Look at *path*, and either return its arrival, or come back to it later, or drop it."""
        try:
            seen, verdict = self._image(path, now) if not sidecar.is_sidecar(path) else self._lone(path, now)
        except OSError as error:
            log.debug("inbox.look_failed", path=path, reason=str(error))
            seen, verdict = None, Verdict()
        if seen is None or verdict.rejection:
            self._drop(path)
            return None if seen is None else Arrival(seen, rejection=verdict.rejection)
        if verdict.settled:
            return self._with_sidecar(seen, now)
        self._postpone(seen, now + verdict.again)
        return None

    def _image(self, path: bytes, now: float) -> tuple[Sighting | None, Verdict]:
        seen = look_at_image(self._root, path, self.sentry.network, self._arrivals.last(path))
        if isinstance(seen, Ignored):
            self._tell(seen.what, path, seen.device, seen.inode)
            return None, Verdict()
        if seen is None:
            return None, Verdict()
        return seen, self._arrivals.see_image(seen, now)

    def _lone(self, path: bytes, now: float) -> tuple[Sighting | None, Verdict]:
        """Look at a sidecar; one that has its image beside it is not alone and comes with that."""
        images = image_names(path)
        if any(os.path.lexists(os.path.join(self._root, image)) for image in images):
            return None, Verdict()
        seen = look_at_sidecar(self._root, path, self.sentry.network)
        if seen is None:
            return None, Verdict()
        landed = datetime.fromtimestamp(seen.ctime_ns / 1e9, UTC)
        image = self._latest_from(images)
        late = image is not None and image.sidecar is None and timedelta() <= landed - image.arrived_at <= _LATE
        return seen, self._arrivals.see_lone_sidecar(seen, now, late=late)

    def _with_sidecar(self, seen: Sighting, now: float) -> Arrival | None:
        """Return the arrival of the settled image *seen* if its sidecar is whole, or will not come any more."""
        beside = next(filter(None, map(self._sidecar_at, sidecar.names(seen.path))), None)
        verdict = self._arrivals.see_sidecar(beside, seen.path, now)
        if not verdict.settled:
            self._postpone(seen, now + verdict.again)
            return None
        fact: Sidecar | None = None
        if beside is not None:
            raw = read_sidecar(self._root, beside)
            if raw is None:
                self._postpone(seen, now)
                return None
            fact = sidecar.parse(
                raw, zone=HostZone(), now=self._clocks.now(), path=beside.path, identity=beside.identity
            )
            self._arrivals.forget(beside.path)
        self._drop(seen.path)
        return Arrival(seen, fact)

    def _sidecar_at(self, path: bytes) -> Sighting | None:
        return look_at_sidecar(self._root, path, self.sentry.network)

    def _drop(self, path: bytes) -> None:
        self._arrivals.forget(path)
        self._known.discard(path)
        self._slow.discard(path)

    def _postpone(self, seen: Sighting, until: float) -> None:
        """Look at it again at *until*; one that may never be whole yields its place once there are too many."""
        if seen.ending == "whole" and seen.writer != "open" and seen.form != "json":
            self._slow.discard(seen.path)
        elif len(self._slow) < _SLOW_ROOM:
            self._slow.add(seen.path)
        else:
            self._drop(seen.path)
            return
        heapq.heappush(self._due, (until, seen.path))
