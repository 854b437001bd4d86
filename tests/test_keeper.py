"""What the keeper does beside its acts: looking, tending the quarantine, and coming back to what it could not take."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.makers import Hands, jpeg
from tests.premises import DAY, Premises
from tests.refusals import meddling, refused
from watcher.errors import StorageUnavailable

MEMORY = "/dev/shm"  # noqa: S108 (a name of its own is made in it)


@pytest.fixture
def premises() -> Iterator[Premises]:
    """Give an empty line; in memory where that can be had, since no power will be cut."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        line = Premises(Path(folder), Hands(wall=Path(folder).stat().st_ctime + 1))
        line.open()
        yield line
        line.close()


def looks(premises: Premises, count: int) -> list[bytes]:
    """Look that many times, a second apart, and return what arrived."""
    found = []
    for _ in range(count):
        premises.hands.turn(1)
        found += [arrival.image.path for arrival in premises.keeper.look()]
    return found


def test_what_settled_arrives_once(premises: Premises) -> None:
    """Each photo is handed out when it is whole and quiet, oldest first, and again after the next listing."""
    premises.drop("a.jpg", jpeg(1))
    premises.drop("b.jpg", jpeg(2))

    assert [b"a.jpg", b"b.jpg"] == looks(premises, 3)
    assert [b"a.jpg", b"b.jpg"] == looks(premises, 2)


def test_an_upload_resumed_in_the_quarantine_is_taken_in(premises: Premises) -> None:
    """Every few seconds it is looked for, and it takes the ordinary way from the inbox."""
    premises.drop("a.jpg", jpeg(1)[:500])
    premises.work(4, seconds=60)
    [item] = premises.quarantined()
    with (premises.quarantine.folder / item).open("ab") as file:
        file.write(jpeg(1)[500:])
    premises.work(10, seconds=5)

    assert [jpeg(1)] == [path.read_bytes() for path in premises.uploads.iterdir()]
    assert [] == premises.quarantined()


def test_the_quarantine_is_kept_small(premises: Premises) -> None:
    """Once a minute what is too old goes."""
    premises.drop("a.jpg", b"text")
    premises.work(4)
    assert 1 == len(premises.quarantined())
    premises.hands.turn(31 * DAY)
    premises.keeper.look()
    assert [] == premises.quarantined()


def test_a_quarantine_that_cannot_be_tended_is_not_tended_at_every_look(premises: Premises) -> None:
    """The next look sees the inbox all the same."""
    premises.drop("a.jpg", jpeg(1))
    with pytest.raises(StorageUnavailable):
        refused("openat", errno.EIO, premises.keeper.look)

    assert [b"a.jpg"] == looks(premises, 3)


def test_what_could_not_be_taken_in_comes_again(premises: Premises) -> None:
    """The disk is full for a moment: the photo stays where it is and is found at the next listing, at once."""
    premises.drop("a.jpg", jpeg(1))
    [path] = looks(premises, 3)
    arrival = premises.arrival("a.jpg")
    with pytest.raises(StorageUnavailable):
        refused("write", errno.ENOSPC, lambda: premises.keeper.admit([arrival]))

    assert premises.keeper.pause() < 1.0
    assert [path] == looks(premises, 3)


def test_what_changed_meanwhile_comes_again(premises: Premises) -> None:
    """A photo that grew while it was copied is no arrival yet: it is looked at again at once."""
    file = premises.drop("a.jpg", jpeg(1))
    looks(premises, 3)
    arrival = premises.arrival("a.jpg")

    def grow() -> None:
        with file.open("ab") as stream:
            stream.write(b"\0")

    meddling(os.fsync, grow, lambda: premises.keeper.admit([arrival]))
    assert [b"a.jpg"] == looks(premises, 3)
    premises.keeper.admit([premises.arrival("a.jpg")])
    assert [1] == [len(premises.steps("store"))]


def test_a_bug_does_not_make_it_run_hot(premises: Premises) -> None:
    """What fails for no known reason waits for the next regular listing."""
    premises.drop("a.jpg", jpeg(1))
    while not (arrivals := premises.keeper.look()):
        premises.hands.turn(1)

    def bug() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        meddling(os.fsync, bug, lambda: premises.keeper.admit(arrivals))
    assert premises.keeper.pause() >= 0.5


def test_it_comes_back_for_the_quarantine(premises: Premises) -> None:
    """However long the inbox can wait, the quarantine is looked at every five seconds."""
    assert 0.0 <= premises.keeper.pause() <= 5.0
