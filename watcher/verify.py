"""Compare the journal, the register and the folder of photos; they must agree."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from watcher import bootstrap
from watcher.clocks import Clocks
from watcher.errors import AlreadyRunning, StorageUnavailable
from watcher.flow import REGISTER
from watcher.journal import Journal
from watcher.journal.connection import Connection
from watcher.journal.listing import Listing
from watcher.lock import locked
from watcher.register import Register
from watcher.settings import Settings

_DAEMON_SECONDS, _DAEMON_PAUSE = 20.0, 0.1


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree.

    Attributes:
        code: `row_missing`, `row_twice`, `row_unknown`, `line_broken`, `photo_missing` or `photo_unknown`.
        what: The name of the image, or the number of the line.
        says: A sentence.

    """

    code: str
    what: str
    says: str


def compare(settings: Settings) -> Iterator[Difference]:
    """Yield every difference. The journal is read first, since rows are written before it remembers them.

    Raises:
        RegisterForeign: The register is not ours.
        StorageUnavailable: Something cannot be read at the moment.

    """
    with closing(Listing(settings.folders.data)) as listing:
        known = dict(listing.names())
        rows: Counter[str] = Counter()
        for line in Register(settings.folders.data).lines():
            if not line.ok:
                says = f"Line {line.number} of registros.csv does not parse as seven cells."
                yield Difference("line_broken", str(line.number), says)
            if line.ok or line.image in known:
                rows[line.image] += 1
        photos = _stored(settings.folders.uploads)
        yield from _rows(known, rows)
        late = dict(listing.names()) if (rows.keys() | photos) - known.keys() else known
        yield from _unknown(late, rows, photos)
        yield from _photos(known, photos)


def facts(difference: Difference) -> dict[str, str]:
    """Return *difference* ready for JSON."""
    return asdict(difference)


def repair(settings: Settings, differences: Sequence[Difference], clocks: Clocks) -> None:
    """Write missing rows again under their old ids, or wait for a running daemon to do it.

    Nothing else is repaired: what to do about a photo that is gone, or a row that nobody knows, is for a person.

    Raises:
        StorageUnavailable: The journal cannot be written by us.

    """
    names = [difference.what for difference in differences if difference.code == "row_missing"]
    connection = Connection(settings.folders.data)
    try:
        Journal(connection).register_again(names)
    finally:
        connection.close()
    try:
        with locked(settings.folders.data):
            _write(settings, clocks)
    except AlreadyRunning:
        _wait(settings, names, clocks.monotonic() + _DAEMON_SECONDS, clocks)


def _write(settings: Settings, clocks: Clocks) -> None:
    """Do what the registrar of a daemon would do, until nothing is left or it cannot go on."""
    with closing(bootstrap.assemble(settings, clocks)) as line:
        registrar = next(worker for worker in line.workers if worker.lane.name == "registrar")
        while registrar.round() == 0.0:
            pass


def _wait(settings: Settings, names: Sequence[str], until: float, clocks: Clocks) -> None:
    """Wait until a running daemon has written the rows of *names*, which it does in order."""
    pause = threading.Event()
    with closing(Listing(settings.folders.data)) as listing:
        while names and clocks.monotonic() < until:
            story = listing.story(names[-1])
            if story is not None and all(step.status == "done" for step in story.steps if step.act == REGISTER):
                return
            pause.wait(_DAEMON_PAUSE)


def _stored(uploads: Path) -> set[str]:
    """Return the names of the photos in *uploads*, none if there is no such folder."""
    try:
        return {name for name in os.listdir(uploads) if not name.startswith(".")}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise StorageUnavailable(
            f"The folder {uploads} cannot be listed: {error.strerror}.", hint="Run this as the user of the daemon."
        ) from error


def _rows(known: dict[str, bool], rows: Counter[str]) -> Iterator[Difference]:
    for name, recorded in known.items():
        if recorded and not rows[name]:
            yield Difference("row_missing", name, f"{name} was registered, but its row is gone.")
        elif rows[name] > 1:
            yield Difference("row_twice", name, f"{name} has {rows[name]} rows.")


def _photos(known: dict[str, bool], photos: set[str]) -> Iterator[Difference]:
    for name, recorded in known.items():
        if recorded and name not in photos:
            yield Difference("photo_missing", name, f"{name} was registered, but its photo is gone from uploads.")


def _unknown(known: dict[str, bool], rows: Counter[str], photos: set[str]) -> Iterator[Difference]:
    for name in sorted(rows.keys() - known.keys()):
        yield Difference("row_unknown", name, f"{name} has a row, but the journal does not know it.")
    for name in sorted(photos - known.keys()):
        yield Difference("photo_unknown", name, f"{name} lies in uploads, but the journal does not know it.")
