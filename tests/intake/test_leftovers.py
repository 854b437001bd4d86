"""Newcomers and leftovers: the same photo is never taken in twice, and no new one is taken for an old one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.makers import NOON
from watcher.intake.leftovers import fresh, is_leftover, same_file
from watcher.model import Arrival, Identity, Image, Sidecar, Sighting

HERE = Identity(1, 20, 300, 4000)
BESIDE = Identity(1, 21, 50, 4000)
CARD = Sidecar(path=b"cam.json", identity=BESIDE, propietario="Ana")
OLD = Image(
    name="matricula_20260304_120000.jpg",
    source=b"cam.jpg",
    identity=HERE,
    digest="d1",
    temporary=".incoming-1",
    camera="",
    kind="plate",
    sidecar=CARD,
    arrived_at=NOON,
    captured_at=NOON,
    time_source="arrival",
)


def arrival(path: bytes = b"cam.jpg", identity: Identity = HERE, sidecar: Sidecar | None = None) -> Arrival:
    """Return the arrival of a file with this identity."""
    return Arrival(Sighting(path, identity, 0, 1, "none", "whole", "jpg"), sidecar)


@pytest.mark.parametrize("field", ["device", "inode", "size", "mtime_ns"])
def test_identity_is_all_four(field: str) -> None:
    """A file that differs in device, inode, size or mtime is a newcomer as long as its bytes are not known."""
    other = replace(HERE, **{field: 7})

    assert is_leftover([OLD], b"cam.jpg", HERE)
    assert not is_leftover([OLD], b"cam.jpg", other)
    assert (field == "device") == same_file(HERE, other)


def test_the_bytes_tell_what_the_identity_cannot() -> None:
    """A share that was mounted anew has other numbers: path, size and digest together recognise the file as well."""
    remounted = Identity(9, 99, 300, 5000)

    assert is_leftover([OLD], b"cam.jpg", remounted, "d1")
    assert not is_leftover([OLD], b"cam.jpg", remounted, "d2")
    assert not is_leftover([OLD], b"cam.jpg", replace(remounted, size=301), "d1")
    assert not is_leftover([OLD], b"other.jpg", HERE, "d1")


def test_no_digest_is_no_proof() -> None:
    """A rejected file was never read: two of them do not count as one because neither has a digest."""
    rejected = replace(OLD, digest="")

    assert not is_leftover([rejected], b"cam.jpg", replace(HERE, inode=7), "")


def test_leftovers_do_not_arrive() -> None:
    """What is left of an unfinished image is passed over; a new photo at the same path arrives."""
    new = arrival(identity=replace(HERE, inode=22))

    assert [new] == list(fresh([arrival(), new], [OLD]))
    assert [arrival()] == list(fresh([arrival()], []))


@pytest.mark.parametrize("device", [1, 5])
def test_a_sidecar_goes_with_one_photo(device: int) -> None:
    """A camera that always uses one name: the next photo does not get the sidecar of one that is still being stored.

    Not even after the share got another device number.
    """
    new = arrival(identity=replace(HERE, inode=22), sidecar=replace(CARD, identity=replace(BESIDE, device=device)))

    assert [replace(new, sidecar=None)] == list(fresh([new], [OLD]))


def test_a_new_sidecar_is_not_mistaken_for_the_old_one() -> None:
    """The camera has written the sidecar anew as well: it goes with the new photo."""
    new = arrival(identity=replace(HERE, inode=22), sidecar=replace(CARD, identity=replace(BESIDE, mtime_ns=4001)))

    assert [new] == list(fresh([new], [OLD]))


def test_a_sidecar_of_two_photos_goes_with_the_first() -> None:
    """`cam.json` beside `cam.jpg` and `cam.png`, both whole at once: the first one ready gets it, and only that."""
    first, second = arrival(b"cam.jpg", HERE, CARD), arrival(b"cam.png", replace(HERE, inode=30), CARD)

    assert [first, replace(second, sidecar=None)] == list(fresh([first, second], []))


def test_sidecars_that_are_one_file_under_two_names_are_two() -> None:
    """A sender that makes hard links of one sidecar means every photo to have it."""
    twin = replace(CARD, path=b"gate.json")
    arrivals = [arrival(b"cam.jpg", HERE, CARD), arrival(b"gate.jpg", replace(HERE, inode=30), twin)]

    assert arrivals == list(fresh(arrivals, []))


def test_a_bad_sidecar_on_its_way_to_the_quarantine_goes_with_no_other_photo() -> None:
    """It is an item of its own, still owed: the next photo of that name is taken in without it."""
    bad = replace(OLD, source=b"cam.json", identity=BESIDE, sidecar=replace(CARD, error="not JSON"))
    new = arrival(identity=replace(HERE, inode=22), sidecar=replace(CARD, error="not JSON"))

    assert [replace(new, sidecar=None)] == list(fresh([new], [bad]))


def test_a_sidecar_that_no_look_identified_is_kept() -> None:
    """Without an identity there is nothing to compare, so it stays with its photo."""
    new = arrival(identity=replace(HERE, inode=22), sidecar=Sidecar(path=b"cam.json"))

    assert [new] == list(fresh([new], [OLD, replace(OLD, sidecar=Sidecar(path=b"cam.json"))]))
