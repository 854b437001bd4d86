"""Which time an image bears: the first believable one, in the order that the operator chose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from watcher import images
from watcher.clocks import HostZone
from watcher.model import Sidecar, Sighting, TimeSource

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)


def landed(ctime_ns: int, now: datetime) -> datetime:
    """Return when a file landed in the inbox: its change time, but *now* if that is later or before the year 2000."""
    moment = _at(ctime_ns)
    return moment if moment is not None and _EARLIEST <= moment <= now else now


def captured(
    source: int, seen: Sighting, sidecar: Sidecar | None, order: Sequence[TimeSource], now: datetime
) -> tuple[datetime, TimeSource]:
    """Return the first time in *order* between the year 2000 and a day after *now*, and where it came from.

    *source* is the open file. A time without a zone is the host's. The arrival serves where nothing else does.
    """
    for origin in order:
        moment = _moment(origin, source, seen, sidecar, now)
        # Near the ends of the calendar a zone cannot say what its offset is.
        if moment is None or not _EARLIEST.year - 1 <= moment.year <= now.year + 1:
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
            return _at(seen.identity.mtime_ns)
        case _:
            return landed(seen.ctime_ns, now)


def _at(nanoseconds: int) -> datetime | None:
    """Return the moment so long after the epoch; none if the calendar does not reach that far, as shares may claim."""
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None
