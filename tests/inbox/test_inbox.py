"""The inbox as a whole: everything arrives, nothing holds up the others, and looking costs its share and no more."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from structlog.testing import capture_logs

from tests.inbox.doors import Door, put
from tests.makers import Hands, eventually, jpeg
from tests.refusals import counted, refused, unprivileged
from watcher.arrivals import Patience
from watcher.clocks import Clocks, real_clocks
from watcher.errors import StorageUnavailable
from watcher.inbox import Inbox
from watcher.inbox.candidates import Candidates
from watcher.model import Arrival, Image

JSON = b'{"propietario": "Ana"}'


class Slow(Hands):
    """A clock by which every question for the time takes a thousandth of a second: listing and looking cost time."""

    def __init__(self) -> None:
        super().__init__()
        self.clocks = Clocks(self._tick, lambda: self.wall)

    def _tick(self) -> float:
        self.turn(0.001)
        return self.monotonic


def reasons(logs: Sequence[MutableMapping[str, Any]]) -> list[tuple[str, str]]:
    """Return event and reason of each line that was logged, but for that polling was chosen."""
    said = [(line["event"], line.get("reason", "")) for line in logs]
    return [one for one in said if one != ("inbox.polling", "chosen")]


def is_listing(door: Door) -> bool:
    """Return whether a listing has been begun and not ended."""
    return door.inbox._listing is not None


# Arriving


def test_what_was_there_before_arrives_like_anything_else(root: bytes, hands: Hands) -> None:
    """Starting is just the first look."""
    put(root, b"a.jpg", jpeg(1))
    door = Door(root, hands)

    assert [b"a.jpg"] == door.paths(1.0)


def test_photos_and_sidecars_arrive_from_everywhere(door: Door) -> None:
    """From folders in folders, with names of any bytes; sidecars come with their photos and not by themselves."""
    names = [b"a.jpg", b"gate/b.JPG", b"1/2/3/4/5/6/7/c.jpeg", b"caf\xe9/line\nbreak.jpg", b"-rf.jpg"]
    for number, name in enumerate(names):
        door.put(name, jpeg(number))
    door.put(b"gate/b.json", JSON)

    arrivals = {arrival.image.path: arrival for arrival in door.wait(2.0)}

    assert set(names) == set(arrivals)
    sidecar = arrivals[b"gate/b.JPG"].sidecar
    assert sidecar is not None
    assert "Ana" == sidecar.propietario
    assert [] == door.wait(30.0)


def test_a_camera_that_always_uses_one_name_has_all_its_photos_taken(door: Door) -> None:
    """Each with its own sidecar, however often the names come again."""
    for number in range(5):
        door.put(b"snap.json", b'{"observacion": "%d"}' % number)
        door.put(b"snap.jpg", jpeg(number))
        (arrival,) = door.wait(12.0)

        assert arrival.sidecar is not None
        assert str(number) == arrival.sidecar.observacion


def test_a_photo_behind_its_sidecar_does_not_wait_for_a_listing(door: Door) -> None:
    """Who sends the sidecar first has its photo taken as soon as the two have settled, not at the next listing."""
    door.put(b"cam.json", JSON)
    assert [] == door.inbox.round(64)
    door.put(b"cam.jpg", jpeg())

    assert [b"cam.jpg"] == door.paths(0.3)


def test_a_photo_that_is_to_be_ignored_does_not_come_by_its_sidecar(root: bytes, hands: Hands) -> None:
    """What the operator wants left alone is left alone, whatever lies beside it."""
    door = Door(root, hands, ignore=["*_small.jpg"])
    door.put(b"cam_small.json", JSON)
    door.put(b"cam_small.jpg", jpeg())

    assert [] == door.wait(30.0)


def test_the_oldest_come_first(door: Door) -> None:
    """Of what arrives together, and no more than was asked for."""
    for number in (3, 1, 2):
        door.put(b"%d.jpg" % number, jpeg(number))

    assert [b"3.jpg", b"1.jpg", b"2.jpg"] == door.paths(2.0)
    for number in range(5):
        door.put(b"%d.jpg" % number, jpeg(number))
    door.inbox.stir()
    came = []
    for _ in range(20):
        came.append(len(door.inbox.round(2)))
        door.hands.turn(0.1)

    assert [2, 2, 1] == [number for number in came if number]


def test_what_was_not_taken_away_arrives_again(door: Door) -> None:
    """An arrival that could not be written down is seen at the next listing."""
    target = door.put(b"a.jpg", jpeg())
    kept = jpeg()

    assert [b"a.jpg"] == door.paths(1.0)
    with open(target, "wb") as file:
        file.write(kept)

    assert [b"a.jpg"] == door.paths(12.0)


def test_an_upload_arrives_when_it_is_whole(door: Door) -> None:
    """Written in pieces by a writer who takes his time, and not before."""
    target = os.path.join(door.root, b"a.jpg")
    data = jpeg()
    with open(target, "wb", buffering=0) as file:
        for start in range(0, len(data), 100):
            file.write(data[start : start + 100])
            assert [] == door.wait(5.0)

    assert [b"a.jpg"] == door.paths(2.0)


def test_a_broken_upload_is_rejected_after_its_time(door: Door) -> None:
    """Two minutes without a writer and without an end."""
    door.put(b"a.jpg", jpeg()[:-2])

    assert [] == door.wait(119.0)
    assert ["truncated"] == [arrival.rejection for arrival in door.wait(8.0)]


def test_a_network_file_settles_slowly(door: Door) -> None:
    """On devices that are network mounts no lease is asked for, and five seconds are waited."""
    door.network = frozenset({os.stat(door.root).st_dev})
    door.put(b"a.jpg", jpeg())

    assert [] == door.wait(4.5)
    assert [b"a.jpg"] == door.paths(3.0)


def test_what_is_left_alone_is_said_once(door: Door) -> None:
    """Links, other files, and folders too deep, though they are found at every listing."""
    os.symlink(b"/etc/passwd", os.path.join(door.root, b"link.jpg"))
    door.put(b"film.mp4", b"x")
    door.put(b"/".join([b"d"] * 17) + b"/a.jpg", jpeg())
    with capture_logs() as logs:
        assert [] == door.wait(60.0)

    assert [("inbox.ignored", reason) for reason in ("suffix", "symlink", "too_deep")] == sorted(reasons(logs))


def test_a_folder_that_is_not_ours_is_said_once_and_left_alone(commons: Path, hands: Hands) -> None:
    """Its photos could be taken again and again, but never taken away."""
    root = os.fsencode(commons)
    os.chmod(os.path.dirname(put(root, b"theirs/a.jpg", jpeg())), 0o755)  # noqa: S103 (others may look)

    def look() -> None:
        door = Door(root, hands)
        with capture_logs() as logs:
            assert [] == door.wait(30.0)
        assert [b".", b"theirs"] == [line["folder"] for line in logs if line["event"] == "inbox.unwritable"]

    assert unprivileged(look)


def test_a_share_inside_the_inbox_is_listed_often(root: bytes, hands: Hands) -> None:
    """What comes there is not announced; everything else is."""
    inner = os.path.join(root, b"share")
    os.mkdir(inner)
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "x", inner], check=False, capture_output=True).returncode
    ):
        pytest.skip("nothing can be mounted here")
    door = Door(root, hands, mode="auto")
    try:
        put(root, b"other/a.txt", b"x")
        door.network = frozenset({os.stat(inner).st_dev})
        door.wait(1.0)
        assert 2.0 == door.inbox.sentry.interval
        assert os.stat(inner).st_dev != os.stat(root).st_dev
        with open(os.path.join(inner, b"b.jpg"), "wb") as file:
            file.write(jpeg())
        assert [b"share/b.jpg"] == door.paths(9.0)
    finally:
        door.inbox.close()
        subprocess.run(["umount", inner], check=True)


# Waiting


def test_an_empty_inbox_is_left_in_peace(door: Door) -> None:
    """Polling lists every two seconds and does nothing else."""
    door.wait(60.0)

    assert 29 <= door.rounds <= 31
    assert door.inbox.idle()


def test_file_events_wake_us(root: bytes, hands: Hands) -> None:
    """Otherwise the inbox is listed every ten seconds; an event lists it at once."""
    door = Door(root, hands, mode="auto")
    try:
        door.wait(60.0)
        assert 5 <= door.rounds <= 7
        assert not door.bell.is_set()

        door.put(b"a.jpg", jpeg())

        assert eventually(door.bell.is_set)
        assert not door.inbox.idle()
        assert [b"a.jpg"] == door.paths(1.0)
    finally:
        door.inbox.close()


def test_the_pause_ends_when_the_next_wait_does(door: Door) -> None:
    """Whichever comes first: a candidate, a listing that is due, one that was asked for."""
    door.inbox.round(9)
    assert 2.0 == pytest.approx(door.inbox.pause())
    door.hands.turn(1.0)
    assert 1.0 == pytest.approx(door.inbox.pause())
    door.inbox.stir()
    assert 0.0 == door.inbox.pause()
    door.put(b"a.jpg", jpeg())
    door.inbox.round(9)
    assert 0.1 == pytest.approx(door.inbox.pause())
    door.inbox.stir()
    assert 0.1 == pytest.approx(door.inbox.pause())
    door.hands.turn(9.0)
    assert 0.0 == door.inbox.pause()


def test_stirring_rings_the_bell_once(door: Door) -> None:
    """An event that comes while one is waiting to be seen changes nothing."""
    door.inbox.stir()
    assert door.bell.is_set()
    door.bell.clear()
    door.inbox.stir()

    assert not door.bell.is_set()
    door.inbox.round(9)
    door.inbox.stir()
    assert door.bell.is_set()


def test_listings_are_no_more_than_four_a_second(door: Door) -> None:
    """However often something stirs."""
    door.put(b"gate/a.txt", b"x")

    def storm() -> None:
        for _ in range(1000):
            door.inbox.stir()
            door.inbox.round(9)
            door.hands.turn(0.01)

    # Two folders each.
    assert 60 <= counted(os.scandir, storm) <= 82


def test_listings_take_half_of_the_time_at_most(root: bytes) -> None:
    """A large inbox is listed less often than a small one; looks and acts have their turn between."""
    hands = Slow()
    door = Door(root, hands)
    for number in range(2000):
        put(root, b"%d.txt" % number, b"")
    door.inbox.round(9)
    while is_listing(door):
        door.inbox.round(9)
    began, spent = hands.monotonic, 0.0

    while hands.monotonic < began + 60.0:
        door.inbox.stir()
        before, listing = hands.monotonic, is_listing(door)
        door.inbox._list()
        if listing or door.inbox._begun_at >= before:
            spent += hands.monotonic - before

    assert 20.0 < spent < 31.0


def test_a_round_ends_soon(root: bytes) -> None:
    """Neither listing nor looking goes on for longer than a moment: the owed acts have their turn."""
    hands = Slow()
    door = Door(root, hands)
    for number in range(1000):
        put(root, b"%d.jpg" % number, b"")

    for _ in range(20):
        before = hands.monotonic
        door.inbox.round(64)
        assert hands.monotonic - before < 0.25


# Fairness


def crowd(door: Door, make: Callable[[bytes], object], number: int = 120) -> None:
    """Put many files that never arrive into an inbox that has room for few."""
    door.inbox._candidates = Candidates(room=16, slow_room=32)
    for count in range(number):
        make(os.path.join(door.root, b"z/y/x/%03d.jpg" % count))


def _cut(path: bytes) -> None:
    with open(path, "wb") as file:
        file.write(jpeg()[:-2])


def _linked(path: bytes) -> None:
    with open(path, "wb") as file:
        file.write(jpeg())
    os.link(path, path + b".other")


def _with_half_a_sidecar(path: bytes) -> None:
    with open(path, "wb") as file:
        file.write(jpeg())
    with open(path + b".json", "wb") as file:
        file.write(b"{")


@pytest.mark.parametrize("make", [_cut, _linked, _with_half_a_sidecar], ids=["cut", "linked", "half a sidecar"])
def test_a_crowd_does_not_hold_up_a_whole_photo(door: Door, make: Callable[[bytes], None]) -> None:
    """However many files will never be whole, or not yet: one that is whole arrives within seconds."""
    door.put(b"z/y/x/first.txt", b"")
    crowd(door, make)
    door.wait(3.0)

    door.put(b"a.jpg", jpeg())
    door.put(b"z/last.jpg", jpeg())
    door.inbox.stir()

    assert {b"a.jpg", b"z/last.jpg"} <= set(door.paths(15.0))
    assert len(door.inbox._arrivals) <= 2 * (16 + 32), "what found no room is not remembered"


def test_a_crowd_of_open_files_does_not_hold_up_a_whole_photo(door: Door) -> None:
    """Uploads that go on for ever, whole or not, sidecars held open beside photos: none of them is in the way."""
    door.put(b"z/y/x/first.txt", b"")
    held: list[BinaryIO] = []

    def hold(path: bytes) -> None:
        with open(path, "wb") as file:
            file.write(jpeg())
        target = path + b".json" if len(held) % 2 else path
        held.append(open(target, "ab"))  # noqa: SIM115 (closed below)

    crowd(door, hold)
    assert set() == {arrival.rejection for arrival in door.wait(15.0)} - {""}

    door.put(b"a.jpg", jpeg())
    assert [b"a.jpg"] == door.paths(60.0)
    for file in held:
        file.close()
    assert 120 == len(door.paths(40.0))


def test_a_whole_photo_does_not_wait_for_looks_at_others(root: bytes) -> None:
    """Where looks take time, the second look at a whole photo comes in its turn, and not after all first ones."""
    hands = Slow()
    door = Door(root, hands)
    put(root, b"a.jpg", jpeg())
    for number in range(4000):
        put(root, b"%d.jpg" % number, jpeg()[:-2])
    began = hands.monotonic
    arrivals: list[Arrival] = []

    while not arrivals:
        arrivals = door.inbox.round(64)
        assert hands.monotonic < began + 12.0

    assert [b"a.jpg"] == [arrival.image.path for arrival in arrivals]


def test_a_backlog_larger_than_the_room_arrives_whole(door: Door, *, long: bool) -> None:
    """What finds no room waits in the folder, not in memory."""
    door.inbox._candidates = Candidates(room=50, slow_room=50)
    number = 5000 if long else 300
    for count in range(number):
        door.put(b"%d/%d.jpg" % (count % 7, count), jpeg(count % 3))

    assert number == len(door.paths(60.0))
    assert 0 == len(door.inbox._candidates)
    assert 0 == len(door.inbox._arrivals)


def test_what_never_arrives_costs_little(door: Door) -> None:
    """Broken uploads are looked at less and less often."""
    for number in range(200):
        door.put(b"%d.jpg" % number, jpeg()[:-2])
    door.wait(60.0)

    looks = counted(os.pread, lambda: door.wait(10.0)) + counted(os.fstat, lambda: door.wait(10.0))

    assert looks < 800


# Trouble


def test_a_root_that_leaves_and_comes_back(door: Door) -> None:
    """While it is gone nothing arrives and nobody spins; when it is back, what is in it arrives."""
    door.put(b"a.jpg", jpeg()[:-2])
    door.wait(5.0)
    os.rename(door.root, door.root + b".away")

    with capture_logs() as logs:
        assert [] == door.wait(30.0)
        assert door.inbox.idle()
        rounds = door.rounds
        door.wait(30.0)
        assert door.rounds - rounds < 40
        os.mkdir(door.root)
        door.put(b"b.jpg", jpeg())
        assert [b"b.jpg"] == door.paths(5.0)

    said = [one for one in reasons(logs) if one[0] != "inbox.look_failed"]
    assert [("inbox.unreachable", os.strerror(errno.ENOENT)), ("inbox.reachable", "")] == said


def test_a_root_that_cannot_be_listed_is_said_and_tried_again(door: Door) -> None:
    """Every quarter of a second at most, although something stirs all the time."""
    door.put(b"a.jpg", jpeg())

    def storm() -> None:
        for _ in range(500):
            door.inbox.stir()
            assert [] == door.inbox.round(9)
            door.hands.turn(0.01)

    with capture_logs() as logs:
        scans = refused("getdents64", errno.EIO, lambda: counted(os.scandir, storm))
        assert [("inbox.unreachable", os.strerror(errno.EIO))] == reasons(logs)
        assert 15 <= scans <= 21
        assert [b"a.jpg"] == door.paths(5.0)

    assert ("inbox.reachable", "") == reasons(logs)[-1]


def test_a_long_listing_does_not_keep_us_from_noticing_that_the_root_was_replaced(root: bytes, hands: Hands) -> None:
    """The health of the watch is asked for all the while."""
    door = Door(root, hands, mode="auto", patience=Patience(settle=5.0))
    door.inbox._candidates = Candidates(room=4, slow_room=4)
    for number in range(200):
        door.put(b"%d.jpg" % number, jpeg())
    door.wait(4.0)
    assert is_listing(door)
    os.rename(root, root + b".old")
    os.mkdir(root)

    with capture_logs() as logs:
        before = door.checks
        door.wait(12.0)
        assert 1 <= door.checks - before <= 4
        assert ("inbox.rebuilt", "folder_replaced") in reasons(logs)
        door.put(b"new.jpg", jpeg())
        assert [b"new.jpg"] == door.paths(20.0)
    door.inbox.close()


def test_a_root_that_is_lost_ends_a_long_listing(root: bytes, hands: Hands) -> None:
    """Nothing is held open of what cannot be reached."""
    door = Door(root, hands, patience=Patience(settle=30.0))
    door.inbox._candidates = Candidates(room=4, slow_room=4)
    for number in range(50):
        door.put(b"%d.jpg" % number, jpeg())
    door.wait(1.0)
    assert is_listing(door)
    os.rename(root, root + b".old")

    door.wait(3.0)

    assert not is_listing(door)
    assert door.inbox.idle()


def test_a_question_that_fails_loses_nothing(root: bytes, hands: Hands) -> None:
    """When the journal cannot be asked whether a sidecar is late, all that had arrived by then arrives again, soon."""
    door = Door(root, hands, mode="auto")
    failing = [True]

    def latest_from(_: Sequence[bytes]) -> Image | None:
        if failing:
            raise StorageUnavailable("full")
        return None

    door.inbox._visits._latest_from = latest_from
    for number in range(5):
        door.put(b"%d.jpg" % number, jpeg(number))
    door.put(b"lone.json", JSON)
    failed = 0
    for _ in range(20):
        try:
            assert len(door.inbox.round(64)) in {0, 5}
        except StorageUnavailable:
            failed += 1
        hands.turn(max(0.05, door.inbox.pause()))
    assert failed > 1

    failing.clear()

    assert 5 == len(door.paths(1.5))
    door.inbox.close()


# The rest


def test_it_is_idle_when_nothing_whole_waits(door: Door) -> None:
    """Not before the first listing, not while something settles or stirs; what is broken does not count."""
    door.put(b"cut.jpg", jpeg()[:-2])
    door.put(b"lone.json", JSON)
    assert not door.inbox.idle()
    door.inbox.round(9)
    assert door.inbox.idle()

    door.put(b"a.jpg", jpeg())
    door.inbox.stir()
    assert not door.inbox.idle()
    door.hands.turn(1.0)
    door.inbox.round(9)
    assert not door.inbox.idle()
    assert [b"a.jpg"] == door.paths(2.0)
    assert door.inbox.idle()


def test_new_settings_hold_from_the_next_look(door: Door) -> None:
    """What is known of files that settle is kept."""
    door.put(b"a.jpg", jpeg())
    door.put(b"b.test.jpg", jpeg())
    door.inbox.adopt(Patience(settle=8.0), ["*.test.jpg"])
    assert [] == door.wait(7.0)

    assert [b"a.jpg"] == door.paths(3.0)
    door.inbox.adopt(Patience(), [])
    assert [b"b.test.jpg"] == door.paths(5.0)


def test_one_more_look_is_just_that(door: Door) -> None:
    """For whoever is about to take a photo: there, gone, or no photo any more; trouble is trouble."""
    target = door.put(b"gate/a.jpg", jpeg())
    seen = door.inbox.again(b"gate/a.jpg")
    assert seen is not None
    assert ("none", len(jpeg())) == (seen.writer, seen.identity.size)

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        refused("openat", errno.EIO, lambda: door.inbox.again(b"gate/a.jpg"))
    os.unlink(target)
    assert door.inbox.again(b"gate/a.jpg") is None
    os.symlink(b"/etc/passwd", target)
    assert door.inbox.again(b"gate/a.jpg") is None


def test_a_linked_inbox_is_the_folder_it_leads_to(root: bytes, hands: Hands, tmp_path: Path) -> None:
    """Watchdog would watch the link and hear nothing."""
    (tmp_path / "link").symlink_to(os.fsdecode(root))
    door = Door(os.fsencode(tmp_path / "link"), hands, mode="auto")
    door.wait(1.0)
    door.put(b"a.jpg", jpeg())

    assert eventually(door.bell.is_set)
    assert [b"a.jpg"] == door.paths(1.0)
    door.inbox.close()


def test_closing_lets_go_of_everything(root: bytes, hands: Hands) -> None:
    """In the midst of a listing too."""
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    door = Door(root, hands, mode="auto")
    door.inbox._candidates = Candidates(room=2, slow_room=2)
    for number in range(9):
        door.put(b"%d.jpg" % number, jpeg())
    door.inbox.round(9)
    assert is_listing(door)

    door.inbox.close()

    assert before == (threading.active_count(), len(os.listdir("/proc/self/fd")))


def test_a_large_backlog_is_begun_at_once(
    root: bytes, record_property: Callable[[str, object], None], *, long: bool
) -> None:
    """The first photos of a hundred thousand arrive within seconds, and memory stays as it is."""
    data, number = jpeg(), 100_000 if long else 3_000
    for count in range(number):
        with open(os.path.join(root, b"%d.jpg" % count), "wb") as file:
            file.write(data)
    inbox = Inbox(
        Path(os.fsdecode(root)),
        mode="poll",
        patience=Patience(),
        ignore=(),
        clocks=real_clocks(),
        bell=threading.Event(),
        latest_from=lambda _: None,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, first, taken = time.monotonic(), 0.0, 0

    while taken < number:
        for arrival in inbox.round(64):
            os.unlink(os.path.join(root, arrival.image.path))
            first = first or time.monotonic() - began
            taken += 1

    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    record_property("seconds to the first, seconds to the last, MiB", (first, time.monotonic() - began, grown))
    assert first < 10.0
    assert grown < 60.0
