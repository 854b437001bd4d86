"""The clocks, handed to whoever needs one, and the zone of this host."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo


@dataclass(frozen=True, slots=True)
class Clocks:
    """Monotonic seconds for waiting, seconds since the epoch for due times, an aware moment for facts."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]

    def now(self) -> datetime:
        """Return the wall clock as an aware moment in UTC."""
        return datetime.fromtimestamp(self.wall(), UTC)


class HostZone(tzinfo):
    """The zone of this host with all its changes of summer time, as the C library knows it."""

    def utcoffset(self, dt: datetime | None) -> timedelta:
        """Return the offset that was in force at *dt*."""
        moment = (dt or datetime.fromtimestamp(0, UTC)).replace(tzinfo=None)
        return moment.astimezone().utcoffset() or timedelta()

    def fromutc(self, dt: datetime) -> datetime:
        """Return the moment *dt*, which is in UTC, as this zone writes it."""
        there = dt.replace(tzinfo=UTC).astimezone()
        here = there.replace(tzinfo=self)
        # The hour that comes twice a year.
        return here if here.utcoffset() == there.utcoffset() else here.replace(fold=1)

    def dst(self, dt: datetime | None) -> None:
        """Return nothing: the offset is all that is known."""
        del dt

    def tzname(self, dt: datetime | None) -> str:
        """Return the abbreviation in force at *dt*."""
        return (dt or datetime.fromtimestamp(0, UTC)).replace(tzinfo=None).astimezone().tzname() or ""


def real_clocks() -> Clocks:
    """Return the clocks of this machine."""
    return Clocks(time.monotonic, time.time)
