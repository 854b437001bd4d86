"""Look at everything that an operator can get wrong, and say what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from watcher import places
from watcher.clocks import Clocks
from watcher.errors import Deferred, Fatal, SettingsInvalid, WatcherError
from watcher.facts import counted
from watcher.journal.listing import Listing
from watcher.options import reader_options, sinks_of, skipped
from watcher.places import Finding
from watcher.reader import Desk
from watcher.register import Register
from watcher.settings import Settings


def examine(settings: Settings, clocks: Clocks) -> Iterator[Finding]:
    """Yield one finding after the other: folders, machine, register, journal, engines, sinks. Changes nothing."""
    yield from places.check(settings.folders)
    yield from places.check_machine()
    yield _register(settings)
    yield _journal(settings)
    yield from _engines(settings)
    yield _sinks(settings, clocks)


def _register(settings: Settings) -> Finding:
    try:
        Register(settings.folders.data).check()
    except (Fatal, Deferred) as error:
        return Finding("register", "error", error.reason, error.hint)
    return Finding("register", "ok", "registros.csv is ours, or not there yet.")


def _journal(settings: Settings) -> Finding:
    with closing(Listing(settings.folders.data)) as listing:
        try:
            counts = listing.counts()
        except WatcherError as error:
            return Finding("journal", "error", error.reason, error.hint)
    if counts.parked:
        parked = ", ".join(f"{act} {number}" for act, number in counts.parked.items())
        return Finding("journal", "warning", f"Acts were set aside: {parked}.", "See why with `explain`, then `retry`.")
    owed = counted(sum(counts.owed.values()), "act")
    return Finding("journal", "ok", f"{counted(counts.recorded, 'photo')} registered, {owed} owed.")


def _engines(settings: Settings) -> Iterator[Finding]:
    """Ask each engine what it is; one that is skipped is no fault, but worth a word."""
    try:
        options = reader_options(settings)
    except SettingsInvalid as error:
        yield Finding("engines", "error", error.reason, error.hint)
        return
    for one in skipped(settings):
        yield Finding(one.name, "warning", f"{one.name} is skipped. {one.reason}", one.hint)
    if not options.engines:
        # Without a word of what was skipped, that is what somebody wants.
        level = "error" if settings.reading.engines else "warning"
        yield Finding("engines", level, "No engine reads: every row says NO_DETECTADA.", "See [reading] engines.")
    with closing(Desk(options)) as desk:
        for seat in desk.seats:
            try:
                yield Finding(seat.name, "ok", seat.probe())
            except WatcherError as error:
                yield Finding(seat.name, "error", error.reason, error.hint)


def _sinks(settings: Settings, clocks: Clocks) -> Finding:
    """Look whether the sinks can be set up; nobody is told anything."""
    try:
        names = list(sinks_of(settings, clocks))
    except SettingsInvalid as error:
        return Finding("sinks", "error", error.reason, error.hint)
    return Finding("sinks", "ok", f"Told of every row: {', '.join(names)}." if names else "Nobody is told of the rows.")
