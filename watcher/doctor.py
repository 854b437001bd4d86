"""Look at everything that an operator can get wrong, and say what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from watcher import bootstrap, places
from watcher.errors import ChildLost, Deferred, Fatal, SettingsInvalid, WatcherError
from watcher.journal.listing import Listing
from watcher.places import Finding
from watcher.reader import Desk
from watcher.register import Register
from watcher.settings import Settings


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield one finding after the other: folders, machine, register, journal, engines. Changes nothing."""
    yield from places.check(settings.folders)
    yield from places.check_machine()
    yield _register(settings)
    yield _journal(settings)
    yield from _engines(settings)


def _register(settings: Settings) -> Finding:
    try:
        Register(settings.folders.data).check()
    except (Fatal, Deferred) as error:
        return Finding("register", "error", error.reason, error.hint)
    return Finding("register", "ok", "registros.csv is ours, or not there yet.")


def _journal(settings: Settings) -> Finding:
    listing = Listing(settings.folders.data)
    try:
        counts = listing.counts()
    except WatcherError as error:
        return Finding("journal", "error", error.reason, error.hint)
    finally:
        listing.close()
    if counts.parked:
        return Finding("journal", "warning", f"Parked acts: {counts.parked}.", "See why with `status`, then `retry`.")
    return Finding("journal", "ok", f"{counts.recorded} photos registered, {sum(counts.owed.values())} acts owed.")


def _engines(settings: Settings) -> Iterator[Finding]:
    """Ask each engine what it is; one without a key is no fault, but worth a word."""
    try:
        options = bootstrap.reader_options(settings)
    except SettingsInvalid as error:
        yield Finding("engines", "error", error.reason, error.hint)
        return
    for name in settings.reading.engines:
        if name not in options.engines:
            yield Finding(name, "warning", f"{name} has no key and is skipped.", "Set OPENAI_API_KEY to use it.")
    if not options.engines:
        yield Finding("engines", "warning", "No engine reads: every row says NO_DETECTADA.", "See [reading] engines.")
    desk = Desk(options)
    try:
        for seat in desk.seats:
            try:
                yield Finding(seat.name, "ok", seat.probe())
            except WatcherError as error:
                yield Finding(seat.name, "error", error.reason, error.hint)
            except ChildLost as error:
                yield Finding(seat.name, "error", f"Its process ended: {error}.", "Look into the log for child.lost.")
    finally:
        desk.close()
