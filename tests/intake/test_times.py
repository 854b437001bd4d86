"""Which time an image bears, whatever cameras, shares and clocks claim."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from tests.makers import NOON, jpeg
from tests.premises import seen
from watcher.clocks import HostZone
from watcher.intake.times import captured, landed
from watcher.model import Identity, Sidecar, Sighting, TimeSource

SECOND = 1_000_000_000
NOON_NS = int(NOON.timestamp()) * SECOND
HOUR = timedelta(hours=1)


def sighting(*, ctime_ns: int = NOON_NS, mtime_ns: int = NOON_NS, size: int = 0) -> Sighting:
    """Return a sighting with these times."""
    return Sighting(b"a.jpg", Identity(1, 2, size, mtime_ns), ctime_ns, 1, "none", "whole", "jpg")


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[tuple[int, Sighting]]:
    """Give an open photo, and its sighting, that says it was taken on 2 February 2026 at 03:04:05 local time."""
    path = tmp_path / "a.jpg"
    exif = Pillow.Exif()
    exif[0x8769] = {0x9003: "2026:02:02 03:04:05"}
    Pillow.new("RGB", (32, 16)).save(path, exif=exif)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor, seen(tmp_path, "a.jpg")
    os.close(descriptor)


def test_a_file_landed_when_it_changed_last() -> None:
    """The change time counts, to the microsecond: no program can set it, unlike the time of modification."""
    moment = landed(NOON_NS - 3 * SECOND + 123_456_789, NOON)

    assert NOON - timedelta(seconds=3) + timedelta(microseconds=123_456) == moment


@pytest.mark.parametrize(
    "ctime_ns",
    [NOON_NS + 1_000, NOON_NS + 86_400 * SECOND, 0, -1, 11644473600 * -SECOND, 1 << 63, -(1 << 63), 1 << 70],
)
def test_nothing_lands_in_the_future_or_before_2000(ctime_ns: int) -> None:
    """What a clock that was not set, or a share that makes times up, claims is not believed: it landed now."""
    assert NOON == landed(ctime_ns, NOON)


def test_the_first_believable_time_in_the_chosen_order_counts(taken: tuple[int, Sighting]) -> None:
    """Each source gives its own time, and its name is remembered."""
    descriptor, sight = taken
    sight = replace(sight, ctime_ns=NOON_NS - SECOND, identity=replace(sight.identity, mtime_ns=NOON_NS - 2 * SECOND))
    sidecar = Sidecar(timestamp=NOON - 3 * HOUR)
    expected: dict[TimeSource, datetime] = {
        "sidecar": NOON - 3 * HOUR,
        "arrival": NOON - timedelta(seconds=1),
        "exif": datetime(2026, 2, 2, 3, 4, 5, tzinfo=HostZone()),
        "mtime": NOON - timedelta(seconds=2),
    }

    assert set(get_args(TimeSource)) == set(expected)
    for origin, moment in expected.items():
        assert (moment, origin) == captured(descriptor, sight, sidecar, [origin, "arrival"], NOON)


@pytest.mark.parametrize("origin", ["sidecar", "exif"])
def test_a_source_that_says_nothing_is_passed_over(origin: TimeSource) -> None:
    """Without a sidecar, or without a time in it, the next source is asked; the arrival serves in the end."""
    descriptor = os.memfd_create("photo")
    os.write(descriptor, jpeg())
    sight = sighting(size=len(jpeg()))

    assert (NOON, "arrival") == captured(descriptor, sight, None, [origin], NOON)
    assert (NOON, "arrival") == captured(descriptor, sight, Sidecar(), [origin], NOON)
    os.close(descriptor)


@pytest.mark.parametrize(
    "timestamp",
    [
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        NOON + timedelta(days=1, seconds=1),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-14))),
        datetime.min,  # noqa: DTZ901 (EXIF has no zone)
        datetime.max,  # noqa: DTZ901 (likewise)
    ],
)
def test_what_cannot_be_is_not_believed(timestamp: datetime) -> None:
    """A time before 2000 or more than a day ahead is refused, also where no zone could say what it means."""
    assert (NOON, "arrival") == captured(-1, sighting(), Sidecar(timestamp=timestamp), ["sidecar"], NOON)


@pytest.mark.parametrize("timestamp", [datetime(2000, 1, 1, tzinfo=UTC), NOON + timedelta(days=1)])
def test_the_bounds_themselves_are_believed(timestamp: datetime) -> None:
    """The first second of 2000 and a day ahead are just within."""
    assert (timestamp, "sidecar") == captured(-1, sighting(), Sidecar(timestamp=timestamp), ["sidecar"], NOON)


@given(st.integers(-(1 << 80), 1 << 80), st.integers(-(1 << 80), 1 << 80))
def test_no_time_of_a_file_is_too_strange(ctime_ns: int, mtime_ns: int) -> None:
    """Whatever a file system claims, there is an answer, and it is believable."""
    moment, origin = captured(-1, sighting(ctime_ns=ctime_ns, mtime_ns=mtime_ns), None, ["mtime", "arrival"], NOON)

    assert datetime(2000, 1, 1, tzinfo=UTC) <= moment <= NOON + timedelta(days=1)
    assert origin in {"mtime", "arrival"}
