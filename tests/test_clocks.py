"""The clocks, and the zone of this host on the days that are not like others."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.makers import NOON, Hands
from watcher.clocks import HostZone, real_clocks


@pytest.fixture
def madrid() -> Iterator[HostZone]:
    """Put this host into Madrid, and give its zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Madrid"
    time.tzset()
    try:
        yield HostZone()
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


@pytest.mark.parametrize(
    ("local", "fold", "utc"),
    [
        (datetime(2026, 1, 15, 12, 0), 0, datetime(2026, 1, 15, 11, 0)),  # noqa: DTZ001 (what a camera writes)
        (datetime(2026, 7, 15, 12, 0), 0, datetime(2026, 7, 15, 10, 0)),  # noqa: DTZ001
        (datetime(2026, 10, 25, 2, 30), 0, datetime(2026, 10, 25, 0, 30)),  # noqa: DTZ001
        (datetime(2026, 10, 25, 2, 30), 1, datetime(2026, 10, 25, 1, 30)),  # noqa: DTZ001
    ],
    ids=["winter", "summer", "the hour that comes twice", "its second time"],
)
def test_local_times_are_those_of_the_host(madrid: HostZone, local: datetime, fold: int, utc: datetime) -> None:
    """Summer time, winter time and the hour between them convert to UTC and back."""
    moment, expected = local.replace(tzinfo=madrid, fold=fold), utc.replace(tzinfo=UTC)

    assert expected == moment.astimezone(UTC)
    assert (moment, fold) == (expected.astimezone(madrid), expected.astimezone(madrid).fold)
    assert moment.isoformat() == expected.astimezone(madrid).isoformat()


def test_the_hour_that_is_left_out_is_some_time(madrid: HostZone) -> None:
    """A camera that does not know of summer time writes times that do not exist; they are off by an hour at most."""
    moment = datetime(2026, 3, 29, 2, 30, tzinfo=madrid)

    assert abs(moment - datetime(2026, 3, 29, 1, 0, tzinfo=UTC)) <= timedelta(hours=1)


def test_the_zone_says_its_name(madrid: HostZone) -> None:
    """The abbreviation is that of the day, and there is one without a day too."""
    assert "CET" == datetime(2026, 1, 15, tzinfo=madrid).tzname()
    assert "CEST" == datetime(2026, 7, 15, tzinfo=madrid).tzname()
    assert madrid.tzname(None)
    assert timedelta(hours=1) == madrid.utcoffset(None)
    assert datetime(2026, 7, 15, tzinfo=madrid).dst() is None


def test_a_time_with_the_zone_can_be_copied(madrid: HostZone) -> None:
    """Facts are copied deeply on their way into the journal."""
    moment = datetime(2026, 7, 15, 12, tzinfo=madrid)

    assert moment == copy.deepcopy(moment)


def test_clocks_are_handed_in(hands: Hands) -> None:
    """Facts get an aware moment of the same clock that due times are counted by."""
    hands.turn(1.5)

    assert NOON + timedelta(seconds=1.5) == hands.clocks.now()
    assert UTC == hands.clocks.now().tzinfo
    assert 1001.5 == hands.clocks.monotonic()


def test_the_real_clocks_are_real() -> None:
    """They show what the kernel says."""
    clocks = real_clocks()

    assert clocks.monotonic() <= time.monotonic() <= clocks.monotonic() + 60
    assert abs(clocks.now() - datetime.now(UTC)) < timedelta(seconds=60)
