"""The quarantine: what goes there, why, for how long, and how it comes back."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.makers import NOON, Hands, jpeg
from tests.premises import DAY, digest, drop, look_below, seen, sidecar_of
from tests.refusals import killed, refused, unprivileged
from watcher.errors import StorageUnavailable
from watcher.intake.quarantine import REASON_ENDING, Quarantine, count
from watcher.intake.reasons import REASONS, source_in
from watcher.model import Image, Sidecar, Sighting

CUT = jpeg(1)[:500]
NAME = "truncated/20260304_120000_1_a.jpg"


class Ward:
    """A quarantine beside an inbox."""

    def __init__(self, root: Path, hands: Hands, folder: Path | None = None) -> None:
        self.inbox, self.folder, self.hands = root / "inbox", folder or root / "quarantine", hands
        self.inbox.mkdir()
        self.quarantine = Quarantine(
            self.folder, self.inbox, look=look_below(self.folder), clocks=hands.clocks, days=30, megabytes=1
        )

    def item(self, path: str = "a.jpg", name: str = NAME, sidecar: Sidecar | None = None) -> Image:
        """Return what the journal knows of the rejected file at *path* in the inbox."""
        return Image(
            name=name,
            source=os.fsencode(path),
            identity=seen(self.inbox, path).identity,
            digest="",
            temporary="",
            camera="",
            kind="plate",
            sidecar=sidecar,
            arrived_at=NOON,
            captured_at=NOON,
            time_source="arrival",
        )

    def put(self, path: str = "a.jpg", data: bytes = CUT, name: str = NAME) -> Image:
        """Drop a file and put it into the quarantine."""
        drop(self.inbox, path, data)
        image = self.item(path, name)
        assert self.quarantine.put(image)
        return image

    def contents(self) -> dict[str, bytes]:
        """Return every file in the quarantine, hidden ones included, without the reasons."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and not path.name.endswith(REASON_ENDING)
        }

    def reasons(self) -> dict[str, bytes]:
        """Return every reason by the item it is about."""
        return {
            str(path.relative_to(self.folder)).removesuffix(REASON_ENDING): path.read_bytes()
            for path in self.folder.rglob("*" + REASON_ENDING)
        }

    def waiting(self) -> dict[str, bytes]:
        """Return every file in the inbox, hidden ones included."""
        return {
            str(path.relative_to(self.inbox)): path.read_bytes() for path in self.inbox.rglob("*") if path.is_file()
        }


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Give what is logged."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Give an empty folder on another file system than *tmp_path*."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        if Path(path).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("everything lies on one file system here")
        yield Path(path)


@pytest.fixture(params=["here", "elsewhere"])
def ward(request: pytest.FixtureRequest, tmp_path: Path, hands: Hands) -> Ward:
    """Give an empty quarantine, once on the file system of the inbox and once on another."""
    hands.wall = tmp_path.stat().st_ctime + 1
    folder = None if request.param == "here" else request.getfixturevalue("elsewhere") / "quarantine"
    return Ward(tmp_path, hands, folder)


@pytest.fixture
def near(tmp_path: Path, hands: Hands) -> Ward:
    """Give an empty quarantine beside its inbox."""
    hands.wall = tmp_path.stat().st_ctime + 1
    return Ward(tmp_path, hands)


# Going there


def test_a_file_goes_with_its_reason(ward: Ward) -> None:
    """Bytes, name and times are kept, the reason names the source, and a repeat after a crash changes nothing."""
    path = drop(ward.inbox, "gate/caf\udce9.jpg", CUT)
    before = path.stat().st_mtime_ns
    image = ward.item("gate/caf\udce9.jpg")

    assert ward.quarantine.put(image)
    assert ward.quarantine.taken(NAME)
    assert {NAME: CUT} == ward.contents()
    assert before == (ward.folder / NAME).stat().st_mtime_ns
    assert {} == ward.waiting()
    assert image.source == source_in(ward.reasons()[NAME])
    assert ward.quarantine.put(image)
    assert {NAME: CUT} == ward.contents()


def test_a_crash_at_any_point_is_repaired(ward: Ward) -> None:
    """Killed before any of its acts on the disk, the next attempt finishes: one file, one reason, nothing else."""
    for at in range(1, 100):
        name = f"truncated/20260304_120000_{at}_a.jpg"
        drop(ward.inbox, "a.jpg", CUT)
        image = ward.item("a.jpg", name)
        came_to_it = killed(lambda image=image: ward.quarantine.put(image), at)  # type: ignore[misc]

        assert ward.quarantine.put(image)
        assert {} == ward.waiting()
        assert {name: CUT} == ward.contents()
        assert [name] == list(ward.reasons())
        (ward.folder / name).unlink()
        (ward.folder / (name + REASON_ENDING)).unlink()
        if not came_to_it:
            break
    assert at > 8


def _removed(path: Path) -> None:
    path.unlink()


def _resumed(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _replaced(path: Path) -> None:
    drop(path.parent, path.name, jpeg(2))


def _without_its_folder(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def _in_a_linked_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("elsewhere")


@pytest.mark.parametrize("change", [_removed, _resumed, _replaced, _without_its_folder, _in_a_linked_folder])
def test_another_file_is_left_alone(near: Ward, change: Callable[[Path], None]) -> None:
    """What was rejected is gone or has become something else: nothing is moved and no reason stays."""
    path = drop(near.inbox, "gate/a.jpg", CUT)
    image = near.item("gate/a.jpg")
    change(path)
    before = near.waiting()

    assert not near.quarantine.put(image)
    assert before == near.waiting()
    assert ({}, {}) == (near.contents(), near.reasons())


def test_a_newcomer_at_the_place_of_a_moved_file_is_left_alone(ward: Ward) -> None:
    """The crash came after the move; the camera has sent the next photo since."""
    image = ward.put()
    drop(ward.inbox, "a.jpg", jpeg(2))

    assert ward.quarantine.put(image)
    assert {"a.jpg": jpeg(2)} == ward.waiting()
    assert {NAME: CUT} == ward.contents()


def test_nothing_is_ever_replaced(ward: Ward) -> None:
    """A foreign file stands at the name: the item is given up under it, and gets another when it is seen again."""
    drop(ward.folder, NAME, b"foreign")
    drop(ward.inbox, "a.jpg", CUT)

    assert not ward.quarantine.put(ward.item())
    assert {NAME: b"foreign"} == ward.contents()
    assert {"a.jpg": CUT} == ward.waiting()


def test_a_duplicate_takes_its_sidecar_along(near: Ward) -> None:
    """Else the next photo of a camera that always uses one name would get it; the reason keeps what it said."""
    drop(near.inbox, "a.jpg", CUT)
    drop(near.inbox, "a.json", b"{}")
    card = sidecar_of(near.inbox, "a.json", propietario="Ana")

    assert near.quarantine.put(near.item("a.jpg", "duplicate/1_a.jpg", card))
    assert {} == near.waiting()
    assert b'"propietario": "Ana"' in near.reasons()["duplicate/1_a.jpg"]


@pytest.mark.parametrize("error", ["", "not JSON"])
def test_other_sidecars_stay(near: Ward, error: str) -> None:
    """One that was written anew since, and a bad one, which is an item of its own."""
    drop(near.inbox, "a.jpg", CUT)
    drop(near.inbox, "a.json", b"{}")
    card = replace(sidecar_of(near.inbox, "a.json"), error=error)
    if not error:
        drop(near.inbox, "a.json", b'{"propietario": "Eva"}')

    assert near.quarantine.put(near.item("a.jpg", "duplicate/1_a.jpg", card))
    assert ["a.json"] == list(near.waiting())


def test_an_unidentified_sidecar_stays(near: Ward) -> None:
    """Without an identity nothing is removed."""
    drop(near.inbox, "a.jpg", CUT)
    drop(near.inbox, "a.json", b"{}")

    assert near.quarantine.put(near.item("a.jpg", "duplicate/1_a.jpg", Sidecar(path=b"a.json")))
    assert ["a.json"] == list(near.waiting())


@pytest.mark.parametrize(
    ("call", "number"), [("write", errno.ENOSPC), ("fsync", errno.EIO), ("renameat2", errno.EROFS)]
)
def test_a_full_or_failing_disk_waits(near: Ward, call: str, number: int) -> None:
    """The file stays where it is, and the next attempt succeeds."""
    drop(near.inbox, "a.jpg", CUT)
    image = near.item()

    with pytest.raises(StorageUnavailable):
        refused(call, number, lambda: near.quarantine.put(image))
    assert {"a.jpg": CUT} == near.waiting()
    assert near.quarantine.put(image)
    assert {NAME: CUT} == near.contents()


def test_without_rights_it_waits(hands: Hands) -> None:
    """A folder of the inbox in which we may move nothing."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o777)
        ward = Ward(Path(path), hands)
        drop(ward.inbox, "a.jpg", CUT)
        image = ward.item()

        def act() -> None:
            with pytest.raises(StorageUnavailable) as caught:
                ward.quarantine.put(image)
            assert "no_rights" == caught.value.code

        assert unprivileged(act)
        assert {"a.jpg": CUT} == ward.waiting()


def test_its_folders_are_made(near: Ward) -> None:
    """At start, and again if somebody removed one; a quarantine that is not there yet is empty."""
    assert ([], {}) == (list(near.quarantine.items()), count(near.folder))
    near.quarantine.prune()
    near.quarantine.prepare()
    assert set(REASONS) == {path.name for path in near.folder.iterdir()}
    (near.folder / "truncated").rmdir()
    near.put()
    assert {"truncated": 1} == count(near.folder)


# Coming back


def finish(ward: Ward, name: str = NAME) -> None:
    """Let the sender finish its upload into the file that we moved."""
    with (ward.folder / name).open("ab") as file:
        file.write(jpeg(1)[500:])


def settle(ward: Ward) -> None:
    """Look twice, with time in between."""
    ward.quarantine.resume()
    ward.hands.turn(5)
    ward.quarantine.resume()


def test_a_resumed_upload_comes_back(ward: Ward) -> None:
    """The sender went on writing into the file that we moved: once it is whole and quiet it is in the inbox again."""
    ward.put("gate/a.jpg")
    settle(ward)
    assert {} == ward.waiting()

    finish(ward)
    settle(ward)
    assert {"gate/a.jpg": jpeg(1)} == ward.waiting()
    assert ({}, {}) == (ward.contents(), ward.reasons())


def test_an_upload_that_goes_on_is_waited_for(near: Ward) -> None:
    """It is whole by its bytes, but somebody has it open for writing still."""
    near.put()
    finish(near)
    with (near.folder / NAME).open("ab"):
        settle(near)
        settle(near)
        assert {} == near.waiting()
    settle(near)
    assert ["a.jpg"] == list(near.waiting())


@pytest.mark.parametrize(
    ("before", "path"),
    [
        (lambda ward: drop(ward.inbox, "gate/a.jpg", jpeg(2)), "gate/20260304_120000_1_a.jpg"),
        (lambda ward: (ward.inbox / "gate").rmdir(), "20260304_120000_1_a.jpg"),
        (lambda ward: (ward.folder / (NAME + REASON_ENDING)).unlink(), "20260304_120000_1_a.jpg"),
        (lambda ward: (ward.folder / (NAME + REASON_ENDING)).write_bytes(b"{}"), "20260304_120000_1_a.jpg"),
    ],
    ids=["sent anew", "folder gone", "no reason", "reason without a source"],
)
def test_it_comes_back_beside_where_it_came_from(near: Ward, before: Callable[[Ward], object], path: str) -> None:
    """Its old place is taken, gone or forgotten: nothing is replaced, and it arrives all the same."""
    near.put("gate/a.jpg")
    finish(near)
    before(near)
    settle(near)

    assert jpeg(1) == near.waiting()[path]
    assert {} == near.contents()


def test_where_no_place_is_left_it_stays(near: Ward) -> None:
    """All three names are taken."""
    near.put("gate/a.jpg")
    finish(near)
    for path in "gate/a.jpg", "gate/20260304_120000_1_a.jpg", "20260304_120000_1_a.jpg":
        drop(near.inbox, path, jpeg(2))
    settle(near)

    assert {NAME: jpeg(1)} == near.contents()


def test_a_folder_that_does_not_take_it_back_holds_up_nobody(near: Ward, logs: list[MutableMapping[str, Any]]) -> None:
    """It stays, which is said once, and the others come back."""
    near.put("gate/a.jpg")
    near.put("b.jpg", CUT, "truncated/20260304_120000_2_b.jpg")
    finish(near)
    finish(near, "truncated/20260304_120000_2_b.jpg")
    near.quarantine.resume()
    near.hands.turn(5)
    refused("renameat2", errno.EROFS, near.quarantine.resume)
    settle(near)
    refused("renameat2", errno.EROFS, near.quarantine.resume)

    assert {"gate/a.jpg", "b.jpg"} == set(near.waiting())
    near.put("gate/a.jpg")
    finish(near)
    for _ in range(3):
        near.quarantine.resume()
        near.hands.turn(5)
        refused("renameat2", errno.EROFS, near.quarantine.resume)
    said = [line["item"] for line in logs if line["event"] == "intake.resume_failed"]
    assert sorted([NAME, "truncated/20260304_120000_2_b.jpg"]) == sorted(said)


def test_many_truncated_files_do_not_make_one_round_last(tmp_path: Path, hands: Hands) -> None:
    """Where looking is slow each round goes on where the last left off, and nobody is passed over."""
    looked: list[bytes] = []
    ward = Ward(tmp_path, hands)
    see = look_below(ward.folder)

    def look(path: bytes, last: Sighting | None, /) -> Sighting | None:
        looked.append(path)
        hands.turn(1)
        return see(path, last)

    slow = Quarantine(ward.folder, ward.inbox, look=look, clocks=hands.clocks, days=30, megabytes=1)
    names = [f"truncated/{number}.jpg" for number in range(3)]
    for name in names:
        ward.put("a.jpg", CUT, name)
    for _ in range(4):
        slow.resume()

    assert [os.fsencode(names[number]) for number in (0, 1, 2, 0)] == looked


def test_only_truncated_files_of_the_last_day_come_back(near: Ward) -> None:
    """Other reasons do not go away by themselves, and after a day nobody resumes."""
    near.put("a.jpg", jpeg(1), "duplicate/1_a.jpg")
    near.put("b.jpg")
    finish(near)
    near.quarantine.resume()
    near.hands.turn(DAY + 60)
    settle(near)

    assert {"duplicate/1_a.jpg": jpeg(1), NAME: jpeg(1)} == near.contents()


def test_what_a_person_took_away_is_forgotten(near: Ward) -> None:
    """Nothing is remembered of files that went."""
    near.put()
    near.quarantine.resume()
    (near.folder / NAME).unlink()
    near.quarantine.resume()
    (near.folder / NAME).symlink_to("nowhere")
    settle(near)

    assert {} == near.waiting()


def test_a_failing_disk_is_told(near: Ward) -> None:
    """A quarantine that cannot be listed or looked into is not an empty one."""
    near.put()
    for act in near.quarantine.resume, near.quarantine.prune, lambda: count(near.folder):
        with pytest.raises(StorageUnavailable):
            refused("openat", errno.EIO, act)


def test_an_item_that_goes_while_it_is_counted_does_not_count(near: Ward) -> None:
    """`status` counts beside a running daemon that prunes."""
    near.put("a.jpg", CUT, "truncated/1_a.jpg")
    near.put("a.jpg", CUT, "truncated/2_a.jpg")
    items = near.quarantine.items()
    first = next(items)
    for path in (near.folder / "truncated").glob("*.jpg"):
        path.unlink()

    assert first.name in {"1_a.jpg", "2_a.jpg"}
    assert [] == list(items)


# Staying small


def aged(ward: Ward, *names: str, size: int = 100_000) -> None:
    """Put items of that size, each a moment after the last."""
    for name in names:
        ward.put("a.jpg", os.urandom(size), f"truncated/{name}")


def test_the_oldest_go_first(near: Ward, logs: list[MutableMapping[str, Any]]) -> None:
    """Beyond the megabytes the oldest go, with their reasons, until the rest is small enough."""
    names = [f"{number:02}.jpg" for number in range(12)]
    aged(near, *names)
    near.quarantine.prune()

    assert {f"truncated/{name}" for name in names[2:]} == set(near.contents()) == set(near.reasons())
    said = [line["item"] for line in logs if line["event"] == "intake.pruned"]
    assert [f"truncated/{name}" for name in names[:2]] == said


def test_what_is_too_old_goes(near: Ward) -> None:
    """Days are counted from when the file came."""
    aged(near, "a.jpg", size=10)
    near.hands.turn(30 * DAY - 60)
    near.quarantine.prune()
    assert ["truncated/a.jpg"] == list(near.contents())
    near.quarantine.adopt(29, 1)
    near.quarantine.prune()

    assert ({}, {}) == (near.contents(), near.reasons())


def test_it_says_when_much_has_come(near: Ward) -> None:
    """A quarter of what it may hold, since it was last made smaller: then that is due at once."""
    aged(near, "1.jpg", "2.jpg")
    assert not near.quarantine.is_filling()
    aged(near, "3.jpg")
    assert near.quarantine.is_filling()
    near.quarantine.prune()
    assert not near.quarantine.is_filling()


def test_it_holds_so_many_items_and_no_more(tmp_path: Path, hands: Hands, elsewhere: Path) -> None:
    """Tiny files take little room and much time: beyond ten thousand the oldest go."""
    ward = Ward(tmp_path, hands, elsewhere)
    ward.quarantine.prepare()
    for number in range(10_003):
        (elsewhere / f"empty/{number}.jpg").touch()
    ward.quarantine.prune()

    assert {"empty": 10_000} == count(elsewhere)


def test_holes_take_no_room(near: Ward) -> None:
    """A huge sparse file counts with what it takes on the disk, so it does not push everything else out."""
    path = near.inbox / "a.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 26)
    assert near.quarantine.put(near.item("a.jpg", "too_large/1_a.jpg"))
    near.quarantine.prune()

    assert near.quarantine.taken("too_large/1_a.jpg")


def test_reasons_that_are_alone_go(near: Ward) -> None:
    """A crash between a photo's way back and its reason's removal leaves one; folders and reasons of items stay."""
    near.put()
    (near.folder / "truncated" / ("gone.jpg" + REASON_ENDING)).write_bytes(b"{}")
    (near.folder / "truncated" / "folder").mkdir()
    (near.folder / "truncated" / ".hidden").touch()
    near.quarantine.prune()

    assert [NAME] == list(near.reasons())
    assert [NAME] == [f"{item.reason}/{item.name}" for item in near.quarantine.items()]


def test_an_item_that_ends_like_a_reason_is_an_item(near: Ward) -> None:
    """Its name in the quarantine is chosen so that it cannot be mistaken for one."""
    near.put("x.reason.json", b"{}", "orphan_sidecar/1_x_reason.json")

    assert {"orphan_sidecar": 1} == count(near.folder)
    assert digest(b"{}") == digest((near.folder / "orphan_sidecar/1_x_reason.json").read_bytes())
