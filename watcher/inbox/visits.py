"""Visit one candidate: look at it and at what lies beside it, and say what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Sequence

import structlog

from watcher import sidecar
from watcher.arrivals import Arrivals
from watcher.clocks import Clocks, HostZone
from watcher.inbox.listing import image_names
from watcher.inbox.looks import Ignored, look_at_image, look_at_sidecar, read_sidecar
from watcher.inbox.notices import Notices
from watcher.model import Arrival, Image, Sidecar, Sighting

log = structlog.get_logger()

_LATE_SECONDS = 60.0
_AT_ONCE = 0.1

Answer = Arrival | float | bytes | None
"""It has arrived, is to be looked at again after so many seconds, goes with the file at this path, or is not for us."""


class Visits:
    """What a visit needs to know.

    *network* gives the devices on which leases prove nothing; *latest_from* answers which image was admitted last from
    one of some paths, to tell late sidecars from early ones.
    """

    def __init__(
        self,
        root: bytes,
        arrivals: Arrivals,
        notices: Notices,
        *,
        network: Callable[[], Container[int]],
        clocks: Clocks,
        latest_from: Callable[[Sequence[bytes]], Image | None],
    ) -> None:
        self._root = root
        self._arrivals = arrivals
        self._notices = notices
        self._network = network
        self._clocks = clocks
        self._latest_from = latest_from
        self._given: set[bytes] = set()

    def begin(self) -> None:
        """Begin a round: what was given away in the last one has been written down."""
        self._given.clear()

    def visit(self, path: bytes, now: float) -> Answer:
        """Return what becomes of *path* at monotonic time *now*."""
        try:
            return self._sidecar(path, now) if sidecar.is_sidecar(path) else self._image(path, now)
        except OSError as error:
            log.debug("inbox.look_failed", path=path, reason=str(error))
            self.forget(path)
            return None

    def forget(self, path: bytes) -> None:
        """Forget how long *path*, and what lies beside it, has been quiet."""
        for name in (path, *sidecar.names(path)):
            self._arrivals.forget(name)

    def _image(self, path: bytes, now: float) -> Answer:
        largest = self._arrivals.patience.largest
        seen = look_at_image(self._root, path, self._network(), self._arrivals.last(path), largest=largest)
        if not isinstance(seen, Sighting):
            self._pass_over(path, seen)
            return None
        verdict = self._arrivals.see_image(seen, now)
        if verdict.rejection:
            self.forget(path)
            return Arrival(seen, rejection=verdict.rejection)
        return self._settled(seen, now) if verdict.settled else verdict.again

    def _settled(self, seen: Sighting, now: float) -> Answer:
        """Return the arrival of *seen* if its sidecar is whole, or will not come any more."""
        beside = self._beside(seen.path)
        verdict = self._arrivals.see_sidecar(beside, seen.path, now)
        if verdict.rejection:
            beside = None
        elif not verdict.settled:
            return verdict.again
        fact: Sidecar | None = None
        if beside is not None:
            raw = read_sidecar(self._root, beside)
            if raw is None:
                return _AT_ONCE
            fact = sidecar.parse(
                raw, zone=HostZone(), now=self._clocks.now(), path=beside.path, identity=beside.identity
            )
            self._given.add(beside.path)
        self._given.add(seen.path)
        self.forget(seen.path)
        return Arrival(seen, fact)

    def _beside(self, image: bytes) -> Sighting | None:
        """Return the sidecar of *image* that wins, unless another image has just been given it."""
        for name in sidecar.names(image):
            if name in self._given or not os.path.lexists(os.path.join(self._root, name)):
                continue
            try:
                seen = look_at_sidecar(self._root, name, self._network())
            except OSError as error:
                # A bad sidecar never costs the image its row.
                log.debug("inbox.look_failed", path=name, reason=str(error))
                continue
            if isinstance(seen, Sighting):
                return seen
        return None

    def _sidecar(self, path: bytes, now: float) -> Answer:
        """Look at a sidecar; one that has its image beside it is not alone and comes with that."""
        images = image_names(path)
        beside = next((image for image in images if os.path.lexists(os.path.join(self._root, image))), None)
        if beside is not None:
            # Its history belongs to the image, which may have come after the listing that found the sidecar.
            return None if self._given & {path, beside} else beside
        seen = look_at_sidecar(self._root, path, self._network())
        if not isinstance(seen, Sighting):
            self._pass_over(path, seen)
            return None
        verdict = self._arrivals.see_lone_sidecar(seen, now, late=self._is_late(seen, images))
        if verdict.rejection:
            self.forget(path)
            return Arrival(seen, rejection=verdict.rejection)
        return verdict.again

    def _pass_over(self, path: bytes, seen: Ignored | None) -> None:
        self.forget(path)
        if seen is not None:
            self._notices.ignored(path, seen.what, seen.device, seen.inode)

    def _is_late(self, seen: Sighting, images: Sequence[bytes]) -> bool:
        """Return whether one of *images* was admitted without a sidecar shortly before this one landed."""
        image = self._latest_from(images)
        if image is None or image.sidecar is not None:
            return False
        after = seen.ctime_ns / 1e9 - image.arrived_at.timestamp()
        return 0 <= after <= _LATE_SECONDS
