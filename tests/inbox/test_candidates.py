"""Who is looked at next, and who has to leave room for others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watcher.inbox.candidates import Candidates


def taken(candidates: Candidates, now: float) -> list[bytes]:
    """Return all whose waits are over, in order; they are dropped."""
    paths = []
    while (path := candidates.take(now)) is not None:
        candidates.drop(path)
        paths.append(path)
    return paths


def state(candidates: Candidates) -> tuple[bool, bool]:
    """Return whether they have room, and whether one of them is imminent."""
    return candidates.have_room, candidates.imminent


def test_those_that_waited_longest_come_first() -> None:
    """New ones line up behind those whose wait ended before, however many they are."""
    candidates = Candidates()
    candidates.add(b"a", 1.0)
    assert b"a" == candidates.take(1.0)
    candidates.postpone(b"a", 1.1, slow=False)
    for number in range(100):
        candidates.add(b"new %d" % number, 1.05 + number)

    assert [b"new 0", b"a", b"new 1"] == taken(candidates, 2.05)


def test_each_waits_once() -> None:
    """A listing finds the same file again and again."""
    candidates = Candidates()
    candidates.add(b"a", 1.0)
    candidates.add(b"a", 2.0)
    assert b"a" == candidates.take(9.0)
    candidates.add(b"a", 2.0)

    assert candidates.take(9.0) is None
    assert 1 == len(candidates)


def test_nobody_is_taken_before_the_wait_is_over() -> None:
    """And it is known when the next wait ends."""
    candidates = Candidates()
    assert float("inf") == candidates.next_due
    candidates.add(b"a", 5.0)

    assert candidates.take(4.9) is None
    assert 5.0 == candidates.next_due
    assert b"a" == candidates.take(5.0)


def test_there_is_room_for_so_many() -> None:
    """The slow ones do not use it up, and have room of their own."""
    candidates = Candidates(room=2, slow_room=1)
    candidates.add(b"a", 0.0)
    assert (True, True) == state(candidates)
    candidates.add(b"b", 0.0)
    assert (False, True) == state(candidates)

    assert b"a" == candidates.take(0.0)
    assert candidates.postpone(b"a", 1.0, slow=True)
    assert (True, True) == state(candidates)
    assert b"b" == candidates.take(0.0)
    assert not candidates.postpone(b"b", 1.0, slow=True)

    assert 1 == len(candidates)
    candidates.add(b"b", 0.5)
    assert [b"b", b"a"] == taken(candidates, 9.0)
    assert 0 == len(candidates)


def test_what_turned_out_slow_may_turn_out_fast() -> None:
    """An upload that got its end takes room among the others again, and leaves it among the slow."""
    candidates = Candidates(room=1, slow_room=1)
    candidates.add(b"a", 0.0)
    candidates.take(0.0)
    candidates.postpone(b"a", 1.0, slow=True)
    assert (True, False) == state(candidates)
    candidates.take(1.0)
    candidates.postpone(b"a", 2.0, slow=False)

    assert (False, True) == state(candidates)
    candidates.take(2.0)
    assert candidates.postpone(b"a", 3.0, slow=True)


def test_what_is_let_go_leaves_its_room() -> None:
    """A slow one that leaves makes room for another slow one."""
    candidates = Candidates(room=1, slow_room=1)
    for path in (b"a", b"b"):
        candidates.add(path, 0.0)
        candidates.take(0.0)
        assert candidates.postpone(path, 0.0, slow=True)
        candidates.take(0.0)
        candidates.drop(path)

    assert (True, False) == state(candidates)


def test_new_ones_are_imminent_until_they_were_looked_at() -> None:
    """Nobody knows yet whether they are whole."""
    candidates = Candidates()
    assert not candidates.imminent
    candidates.add(b"a", 0.0)
    assert candidates.imminent


@given(st.lists(st.tuples(st.sampled_from("apsfd"), st.integers(0, 5), st.floats(0, 10)), max_size=200))
def test_nothing_is_counted_twice_or_forgotten(acts: list[tuple[str, int, float]]) -> None:
    """Whatever happens, in whatever order: each path waits once, and the rooms are as full as they are."""
    candidates, waiting, slow = Candidates(room=3, slow_room=2), set[bytes](), set[bytes]()
    for act, number, now in acts:
        path = b"%d" % number
        if act == "a":
            candidates.add(path, now)
            waiting.add(path)
        elif (path_or_none := candidates.take(now)) is not None:
            path = path_or_none
            assert path in waiting
            wants = act == "s"
            full = wants and len(slow - {path}) >= 2
            slow.discard(path)
            if act in "fd" or full:
                waiting.discard(path)
            elif wants:
                slow.add(path)
            if act in "fd":
                candidates.drop(path)
            else:
                assert full != candidates.postpone(path, now, slow=wants)

        assert len(waiting) == len(candidates)
        assert (len(waiting) - len(slow) < 3) == candidates.have_room
        assert (len(waiting) > len(slow)) == candidates.imminent

    assert sorted(waiting) == sorted(taken(candidates, 99.0))
