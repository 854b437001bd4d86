"""Which time an image bears: the first believable one, in the order that the operator chose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from watcher import images
from watcher.clocks import HostZone
from watcher.model import Sidecar, Sighting, TimeSource

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)


def landed(ctime_ns: int, now: datetime) -> datetime:
    """Return when a file landed in the inbox: its change time, but never later than *now*."""
    return min(datetime.fromtimestamp(ctime_ns / 1e9, UTC), now)


def captured(
    source: int, seen: Sighting, sidecar: Sidecar | None, order: Sequence[TimeSource], now: datetime
) -> tuple[datetime, TimeSource]:
    """Return the first time in *order* between the year 2000 and a day after *now*, and where it came from.

    *source* is the open file. A time without a zone is the host's. The arrival serves where nothing else does.
    """
    for origin in order:
        moment = _moment(origin, source, seen, sidecar, now)
        if moment is None:
            continue
        moment = moment if moment.tzinfo else moment.replace(tzinfo=HostZone())
        if _EARLIEST <= moment <= now + _AHEAD:
            return moment, origin
    return landed(seen.ctime_ns, now), "arrival"


def _moment(origin: TimeSource, source: int, seen: Sighting, sidecar: Sidecar | None, now: datetime) -> datetime | None:
    match origin:
        case "sidecar":
            return sidecar.timestamp if sidecar else None
        case "exif":
            return images.exif_time(source, seen.identity.size)
        case "mtime":
            return datetime.fromtimestamp(seen.identity.mtime_ns / 1e9, UTC)
        case "arrival":
            return landed(seen.ctime_ns, now)
