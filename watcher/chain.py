"""The chain of engines that one reader thread asks, each behind its breaker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from watcher import reading
from watcher.breaker import Breaker, guarded
from watcher.errors import ChildLost, EngineUnavailable
from watcher.model import Reading, Request, StoredImage
from watcher.reader import Desk, ReaderOptions

_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Links:
    """What a chain is made of: readers share the *breakers*, by engine; *believable* is 0 to 1.

    With *separators*, hyphens that are printed on a plate are kept.
    """

    options: ReaderOptions
    believable: float
    breakers: Mapping[str, Breaker]
    separators: bool = False

    @property
    def slowest(self) -> float:
        """The seconds that one photo may take: every engine starts, decodes, encodes and uses its time up."""
        return len(self.options.engines) * 3 * (self.options.deadline_seconds + _START_SECONDS)


def forged(options: ReaderOptions, believable: float, clock: Callable[[], float]) -> Links:
    """Return links with new breakers, all closed: what an operator has just set is tried at once."""
    return Links(options, believable, {name: Breaker(name, clock) for name in options.engines})


class Chain:
    """A desk and its seats, used by one thread. New links are taken between two photos."""

    def __init__(self, links: Links) -> None:
        """Start nothing yet."""
        self._wanted = links
        self._closed = False
        self._desk = Desk(links.options)
        self._take(links)

    @property
    def waits(self) -> bool:
        """Whether reading takes time: there is an engine."""
        return bool(self._seats)

    @property
    def slowest(self) -> float:
        """The seconds that one photo may take at most."""
        return max(self._links.slowest, self._wanted.slowest)

    def adopt(self, links: Links) -> None:
        """Take new links with the next photo; called from another thread."""
        self._wanted = links

    def forgive(self) -> None:
        """Ask every engine again with the next photo, also one that is left alone; called from another thread."""
        for breaker in self._wanted.breakers.values():
            breaker.forgive()

    def ask(self, stored: StoredImage) -> Reading:
        """Have *stored* read.

        Raises:
            EngineUnavailable: Not one engine could be asked.
            ChildLost: The child process died of it, or the chain was closed.
            StorageUnavailable: The photo cannot be read from the disk.

        """
        image, sidecar = stored.image, stored.image.sidecar
        language, regions = (sidecar.language, sidecar.regions) if sidecar else ("", ())
        return self.read_file(stored.path, Request(image.kind, language, regions))

    def read_file(self, path: str, request: Request) -> Reading:
        """Have the photo at *path* read; raises what `ask` raises."""
        self._renew()
        try:
            if self._seats:
                self._desk.open_file(path)
            return reading.read(
                self._seats,
                believable=self._links.believable,
                request=request,
                separators=self._links.separators,
            )
        except EngineUnavailable as error:
            if not self._closed:
                raise
            raise ChildLost("It was cut short.", late=False) from error

    def annotate(self, reading: Reading) -> bytes:
        """Return the photo that was read last, as a PNG with *reading* on it; raises what `Desk.annotate` raises."""
        return self._desk.annotate(reading)

    def close(self) -> None:
        """End the children for good, from any thread; a call that is running is cut short."""
        self._closed = True
        self._desk.close()

    def _renew(self) -> None:
        """Take over new links, if there are any; children that nothing changes for stay."""
        wanted = self._wanted
        if wanted.options != self._links.options:
            self._desk.close()
            self._desk = Desk(wanted.options)
            if self._closed:
                self._desk.close()
        if wanted is not self._links:
            self._take(wanted)

    def _take(self, links: Links) -> None:
        self._links = links
        self._seats = [guarded(seat, links.breakers[seat.name]) for seat in self._desk.seats]
