"""The pauses of a lane that cannot work."""

from __future__ import annotations

from watcher.lanes import Lane, Stall


def test_pauses_grow_and_stay_bounded() -> None:
    """1, 2, 4, … up to half a minute, also after a night of it; the first after a success is short again."""
    stall = Stall()
    pauses = [stall.begin(100.0) for _ in range(2000)]

    assert [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] == pauses[:7]
    assert 30.0 == pauses[-1]
    assert 130.0 == stall.until
    stall.times = 0
    assert 1.0 == stall.begin(200.0)
    assert 201.0 == stall.until


def test_a_trouble_of_long_ago_does_not_count() -> None:
    """What went wrong once an hour is not wrong in a row."""
    stall = Stall()

    assert [1.0, 2.0, 4.0] == [stall.begin(now) for now in (0.0, 1.0, 33.0)]
    assert 1.0 == stall.begin(68.0)


def test_lanes_work_alone_unless_told_otherwise() -> None:
    """One task at a time, no source of new work, and a bell of its own that is not rung."""
    one, other = (Lane(name, lambda: (), lambda _: []) for name in ("one", "other"))

    assert (1, None, False) == (one.limit(), one.feeder, one.bell.is_set())
    assert one.bell is not other.bell
    assert ([], ()) == (one.perform([]), one.acts())
