"""Compare the journal, the register and the folder of photos; they must agree."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from watcher import bootstrap
from watcher.clocks import Clocks
from watcher.daemon import locked
from watcher.errors import AlreadyRunning
from watcher.journal.listing import Listing
from watcher.register import Register
from watcher.settings import Settings


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
    listing = Listing(settings.folders.data)
    try:
        known = dict(listing.names())
        rows: Counter[str] = Counter()
        for line in Register(settings.folders.data).lines():
            if not line.ok:
                says = f"Line {line.number} of registros.csv does not parse as seven cells."
                yield Difference("line_broken", str(line.number), says)
            rows[line.image] += 1
        photos = {name for name in os.listdir(settings.folders.uploads) if not name.startswith(".")}
        yield from _rows(known, rows)
        late = dict(listing.names()) if (rows.keys() | photos) - known.keys() else known
        yield from _unknown(late, rows, photos)
        yield from _photos(known, photos)
    finally:
        listing.close()


def facts(difference: Difference) -> dict[str, str]:
    """Return *difference* ready for JSON."""
    return asdict(difference)


def repair(settings: Settings, differences: Sequence[Difference], clocks: Clocks) -> str:
    """Write the missing rows again under their old ids, or have a running daemon do it; return what was done.

    Nothing else is repaired: what to do about a photo that is gone, or a row that nobody knows, is for a person.
    """
    names = [difference.what for difference in differences if difference.code == "row_missing"]
    if not names:
        return "No row is missing; nothing was changed."
    line = bootstrap.assemble(settings, clocks)
    try:
        number = line.journal.register_again(names)
        try:
            with locked(settings.folders.data):
                registrar = next(worker for worker in line.workers if worker.lane.name == "registrar")
                while registrar.round() == 0.0:
                    pass
        except AlreadyRunning:
            return f"{number} rows will be written again by the running daemon."
    finally:
        line.close()
    return f"{number} rows were written again."


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
    for name in rows.keys() - known.keys() - {""}:
        yield Difference("row_unknown", name, f"{name} has a row, but the journal does not know it.")
    for name in photos - known.keys():
        yield Difference("photo_unknown", name, f"{name} lies in uploads, but the journal does not know it.")
