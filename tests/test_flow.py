"""From the inbox to the register and beyond: which act follows which, and what is true when it went wrong."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.makers import Hands, jpeg, png
from tests.premises import Premises, Recorder, digest, sidecar_of
from tests.refusals import meddling, refused, unprivileged
from watcher.errors import (
    ChildLost,
    DeliveryRefused,
    EngineUnavailable,
    JournalUnusable,
    LineBroken,
    SinkUnavailable,
    StorageUnavailable,
)
from watcher.flow import record_of
from watcher.journal import Admission, Journal
from watcher.journal.listing import Listing
from watcher.model import Image, Reading, Row, StoredImage, Task
from watcher.register import Register

MEMORY = "/dev/shm"  # noqa: S108 (a name of its own is made in it)
Make = Callable[..., Premises]


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Give what is logged."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def root() -> Iterator[Path]:
    """Give an empty folder; in memory where that can be had, since no power will be cut."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def make(root: Path) -> Iterator[Make]:
    """Give a maker of lines; one that is made later works on the same folders, as after a restart."""
    made: list[Premises] = []
    hands = Hands(wall=root.stat().st_ctime + 1)

    def one(**options: object) -> Premises:
        for earlier in made:
            earlier.close()
        made.append(Premises(root, hands, **options))  # type: ignore[arg-type]
        made[-1].open()
        return made[-1]

    yield one
    for line in made:
        line.close()


@pytest.fixture
def line(make: Make) -> Premises:
    """Give a line with one sink."""
    return make(sinks=[Recorder()])


def unreadable(_: StoredImage) -> Reading:
    """Die of any photo."""
    raise ChildLost("killed by signal 11", late=False)


# All the way


def test_photos_become_rows(line: Premises) -> None:
    """Photos of both kinds, in sub-folders, with and without a sidecar: bytes, row and announcement are right."""
    line.drop("a.jpg", jpeg(1))
    line.drop("a.json", '{"propietario": "José Ñ", "timestamp": "2026-03-04T15:30:45"}'.encode())
    line.drop("gate/b.PNG", png(2))
    line.work()
    names = {row[6] for row in line.rows()}
    told = line.sinks["office"].told  # type: ignore[attr-defined]

    assert ["1", "2"] == sorted(row[0] for row in line.rows())
    assert {"matricula_20260304_153045.jpg", next(name for name in names if name.endswith(".png"))} == names
    assert sorted([digest(jpeg(1)), digest(png(2))]) == sorted(line.photos().values())
    assert {name: line.photos()[name] for name in names} == line.photos()
    assert [] == line.waiting() == line.quarantined()
    [row] = [row for row in line.rows() if row[6].endswith("45.jpg")]
    assert ["2026-03-04 15:30:45", digest(jpeg(1))[:7].upper(), "José Ñ", "", ""] == row[1:6]
    assert {(record.id, record.image.name) for record, _ in told} == {(int(row[0]), row[6]) for row in line.rows()}
    assert {"", "gate"} == {record.image.camera for record, _ in told}


def test_searching_its_name_gives_the_whole_story(line: Premises, logs: list[MutableMapping[str, Any]]) -> None:
    """Each completed act is one line with the name of the image."""
    line.drop("a.jpg", jpeg(1))
    line.work()
    [row] = line.rows()

    assert ["intake.admitted", "intake.stored", "reading.finished", "register.appended", "notify.delivered"] == [
        one["event"] for one in logs if one.get("image") == row[6]
    ]


def test_photos_of_one_second_are_numbered(line: Premises) -> None:
    """A burst: each photo has a name of its own."""
    for number in range(12):
        line.drop(f"{number}.jpg", jpeg(number))
        line.drop(f"{number}.json", b'{"timestamp": "2026-03-04T15:30:45"}')
    line.work()
    first = "matricula_20260304_153045"

    assert {f"{first}.jpg"} | {f"{first}_{number}.jpg" for number in range(2, 13)} == set(line.photos())
    assert 12 == len({row[6] for row in line.rows()})


def test_names_avoid_what_lies_in_uploads(line: Premises) -> None:
    """The journal was lost and the photos were not: nothing is overwritten."""
    (line.uploads / "matricula_20260304_153045.jpg").write_bytes(b"old")
    line.drop("a.jpg", jpeg(1))
    line.drop("a.json", b'{"timestamp": "2026-03-04T15:30:45"}')
    line.work()

    assert {
        "matricula_20260304_153045.jpg": digest(b"old"),
        "matricula_20260304_153045_2.jpg": digest(jpeg(1)),
    } == line.photos()


@pytest.mark.parametrize("source", ["sidecar", "arrival", "exif", "mtime"])
def test_the_chosen_source_of_time_counts(make: Make, source: str) -> None:
    """`fecha_hora`, the name, and the memory of where the time came from agree."""
    line = make(timestamps=(source,))
    path = line.drop("a.jpg", jpeg(1))
    line.drop("a.json", b'{"timestamp": "2026-03-04T15:30:45"}')
    os.utime(path, (0, datetime(2026, 2, 2, 3, 4, 5).timestamp()))  # noqa: DTZ001 (of this host)
    line.work()
    image = line.questions.latest_from([b"a.jpg"])
    assert image is not None
    expected = {"sidecar": "2026-03-04 15:30:45", "mtime": "2026-02-02 03:04:05"}
    local = image.captured_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")

    assert expected.get(source, local) == line.rows()[0][1]
    assert ("arrival" if source == "exif" else source) == image.time_source


def test_a_backlog_keeps_its_true_times(make: Make) -> None:
    """The daemon was away for a day: a photo bears the time when it landed."""
    line = make()
    landed = line.drop("a.jpg", jpeg(1)).stat().st_ctime
    line.hands.turn(24 * 3600)
    line.work()
    expected = datetime.fromtimestamp(landed, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")

    assert expected == line.rows()[0][1]


# Sidecars


def test_a_bad_sidecar_costs_no_row(line: Premises, logs: list[MutableMapping[str, Any]]) -> None:
    """The row has empty fields, the record the error; the sidecar is kept with the reason."""
    line.drop("a.jpg", jpeg(1))
    line.drop("a.json", b'{"propietario": ')
    line.work()
    record, _ = line.sinks["office"].told[0]  # type: ignore[attr-defined]
    [item] = line.quarantined()

    assert ["", "", ""] == line.rows()[0][3:6]
    assert "sidecar_error" == record.reading.code
    assert ["done"] == [step[0] for step in line.steps("quarantine")]
    assert "intake.quarantined" in [one["event"] for one in logs]
    assert item.startswith("sidecar_error/")
    assert b'{"propietario": ' == (line.quarantine.folder / item).read_bytes()
    assert "not JSON" in str(line.reason(item)["message"])
    assert [] == line.waiting()


def test_another_error_of_the_reading_is_kept(make: Make) -> None:
    """What the engines say is more to the point than a bad sidecar."""
    recorder = Recorder()
    line = make(ask=lambda _: Reading("AB1", code="engine_unavailable", review=True), sinks=[recorder])
    line.drop("a.jpg", jpeg(1))
    line.drop("a.json", b"{")
    line.work()

    assert "engine_unavailable" == recorder.told[0][0].reading.code


def test_the_journal_knows_what_went_to_the_quarantine(line: Premises) -> None:
    """And what did not, since it had become another file before it could be moved."""
    line.drop("a.jpg", b"text")
    line.drop("b.jpg", b"text")
    line.flow.admit([line.arrival(path, rejection="not_an_image") for path in ("a.jpg", "b.jpg")])
    line.drop("b.jpg", jpeg(1))
    line.work()

    assert {"not_an_image": 1} == Listing(line.data).counts().quarantined
    assert 1 == len(line.rows())


def test_a_late_sidecar_never_makes_a_row(line: Premises) -> None:
    """It came after its photo: it is kept in the quarantine, and the next photo of that name does not get it."""
    line.drop("cam.jpg", jpeg(1))
    line.work()
    line.drop("cam.json", b'{"propietario": "Ana"}')
    line.work()
    line.drop("cam.jpg", jpeg(2))
    line.work()

    assert ["", ""] == [row[3] for row in line.rows()]
    assert ["late_sidecar"] == [item.split("/")[0] for item in line.quarantined()]


def test_a_sidecar_without_a_photo_is_an_orphan(line: Premises) -> None:
    """After an hour."""
    line.drop("cam.json", b"{}")
    line.work(6, seconds=60)
    assert ["cam.json"] == line.waiting()
    line.work(6, seconds=3600)

    assert ["orphan_sidecar"] == [item.split("/")[0] for item in line.quarantined()]
    assert [] == line.waiting()


def test_a_camera_that_always_uses_one_name_gets_its_own_sidecars(line: Premises) -> None:
    """Photo after photo under one name, each with its own sidecar, one without, one with a bad one."""
    owners = ["Ana", "", "Eva", None, "Ida"]
    for number, owner in enumerate(owners):
        if owner is None:
            line.drop("cam.json", b"{")
        elif owner:
            line.drop("cam.json", json.dumps({"propietario": owner}).encode())
        line.drop("cam.jpg", jpeg(number))
        line.work(4)

    assert ["Ana", "", "Eva", "", "Ida"] == [row[3] for row in line.rows()]
    assert [] == line.waiting()


def test_the_next_photo_does_not_get_a_sidecar_that_is_still_being_removed(line: Premises) -> None:
    """The first photo is written down and not stored yet when the camera overwrites it: the sidecar stays its own."""
    line.drop("cam.json", b'{"propietario": "Ana"}')
    line.drop("cam.jpg", jpeg(1))
    line.admitted("cam.jpg", sidecar_of(line.inbox, "cam.json", propietario="Ana"))
    line.drop("cam.jpg", jpeg(2))
    line.work()

    assert ["Ana", ""] == [row[3] for row in line.rows()]
    assert [] == line.waiting()


def test_a_bad_sidecar_is_not_taken_twice(line: Premises) -> None:
    """It is on its way to the quarantine, which is full for a while: the next photo of its name is taken without it."""
    line.drop("cam.json", b"{")
    line.drop("cam.jpg", jpeg(1))
    line.admitted("cam.jpg", replace(sidecar_of(line.inbox, "cam.json"), error="It is not JSON."))
    line.drop("cam.jpg", jpeg(2))
    line.work()
    codes = [record.reading.code for record, _ in line.sinks["office"].told]  # type: ignore[attr-defined]

    assert ["", "sidecar_error"] == sorted(codes)
    assert 1 == len(line.quarantined())


def test_one_sidecar_of_two_photos_goes_with_one(line: Premises) -> None:
    """`cam.json` beside `cam.jpg` and `cam.png`: one row has it, the other has empty fields."""
    line.drop("cam.json", b'{"propietario": "Ana"}')
    line.drop("cam.jpg", jpeg(1))
    line.drop("cam.png", png(2))
    line.work()

    assert ["", "Ana"] == sorted(row[3] for row in line.rows())
    assert [] == line.waiting() == line.quarantined()


def test_a_sidecar_is_not_given_to_a_twin_while_its_photo_is_being_stored(line: Premises) -> None:
    """`cam.jpg` took it and is not stored yet when `cam.png` arrives: the journal knows whose it is."""
    line.drop("cam.json", b'{"propietario": "Ana"}')
    line.drop("cam.jpg", jpeg(1))
    line.admitted("cam.jpg", sidecar_of(line.inbox, "cam.json", propietario="Ana"))
    line.drop("cam.png", png(2))
    line.flow.admit([line.arrival("cam.png", sidecar_of(line.inbox, "cam.json", propietario="Ana"))])
    line.work()

    assert ["", "Ana"] == sorted(row[3] for row in line.rows())


# Duplicates


@pytest.mark.parametrize("together", [True, False])
def test_the_same_bytes_again_have_no_second_row(line: Premises, *, together: bool) -> None:
    """In one batch or later, under another name: kept in the quarantine, with the name of the first photo."""
    line.drop("a.jpg", jpeg(1))
    if not together:
        line.work()
    line.drop("b.jpg", jpeg(1))
    line.work()
    [item] = line.quarantined()

    assert 1 == len(line.rows())
    assert line.rows()[0][6] == line.reason(item)["duplicate_of"]
    assert item.startswith("duplicate/")
    assert item.endswith(("a.jpg", "b.jpg"))
    assert jpeg(1) == (line.quarantine.folder / item).read_bytes()
    assert [line.rows()[0][6]] == list(line.photos())


def test_the_sidecar_of_a_duplicate_does_not_reach_the_next_photo(line: Premises) -> None:
    """The camera sends the same bytes again with a sidecar, and then a new photo without one, under one name."""
    line.drop("cam.jpg", jpeg(1))
    line.work()
    line.drop("cam.json", b'{"propietario": "Ana"}')
    line.drop("cam.jpg", jpeg(1))
    line.work()
    line.drop("cam.jpg", jpeg(2))
    line.work()
    [item] = line.quarantined()

    assert ["", ""] == [row[3] for row in line.rows()]
    assert {"propietario": "Ana", "type": "plate"} == line.reason(item)["sidecar"]
    assert [] == line.waiting()


@pytest.mark.parametrize("hours", [0, 1])
def test_beyond_the_window_the_same_bytes_are_a_new_photo(make: Make, hours: int) -> None:
    """After the hours that were set, and always if they are 0, even in one batch."""
    line = make(window=hours * 3600.0)
    line.drop("a.jpg", jpeg(1))
    line.work()
    line.hands.turn(3600)
    line.drop("b.jpg", jpeg(1))
    if not hours:
        line.drop("c.jpg", jpeg(1))
    line.work()

    assert (3 if not hours else 2) == len(line.rows()) == len(line.photos())
    assert [] == line.quarantined()


def test_a_new_window_holds_from_the_next_photo(line: Premises) -> None:
    """As after a reload."""
    line.drop("a.jpg", jpeg(1))
    line.work()
    line.flow.adopt(line.sinks, 0.0)
    line.drop("a.jpg", jpeg(1))
    line.work()

    assert 2 == len(line.rows())


# Leftovers


def admit_and_crash(make: Make, before: Callable[[Premises], object] = lambda _: None) -> tuple[Premises, Image]:
    """Admit a photo, crash before it is stored, and start again."""
    line = make(window=0.0)
    before(line)
    line.drop("cam.jpg", jpeg(1))
    image = line.admitted("cam.jpg")
    return make(window=0.0), image


def test_a_leftover_is_not_taken_in_again(make: Make) -> None:
    """The photo that was written down before the crash is still in the inbox: one row, whatever the window."""
    line, image = admit_and_crash(make)
    line.work()

    assert [image.name] == [row[6] for row in line.rows()] == list(line.photos())
    assert [] == line.waiting()


def test_a_leftover_with_other_numbers_is_recognised_by_its_bytes(make: Make) -> None:
    """The share was mounted anew, or the same file was copied there again, before we came back."""
    line, image = admit_and_crash(make)
    line.drop("cam.jpg", jpeg(1))
    line.work()

    assert [image.name] == [row[6] for row in line.rows()] == list(line.photos())
    assert [] == line.waiting() == line.quarantined()


def test_a_leftover_that_only_its_bytes_give_away_leaves_no_copy(make: Make) -> None:
    """It had to be copied to be recognised; the copy goes again, and nothing is written down."""
    line, image = admit_and_crash(make)
    line.drop("cam.jpg", jpeg(1))

    assert 0 == line.flow.admit([line.arrival("cam.jpg")])
    assert [image.temporary] == list(line.photos())
    assert 1 == len(line.steps("store"))


def test_a_newcomer_at_the_place_of_a_leftover_is_taken_in(make: Make) -> None:
    """The camera has written the next photo meanwhile: two rows, and each has its bytes."""
    line, _ = admit_and_crash(make)
    line.drop("cam.jpg", jpeg(2))
    line.work()

    assert 2 == len(line.rows())
    assert sorted([digest(jpeg(1)), digest(jpeg(2))]) == sorted(line.photos().values())
    assert [] == line.waiting()


@pytest.mark.parametrize("at", [os.unlink, os.fsync])
def test_a_crash_while_the_source_is_removed_leaves_one_row(make: Make, at: object) -> None:
    """Between the name in `uploads/` and the journal's knowledge of it, at each act on the disk."""
    line, image = admit_and_crash(make)

    def crash() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        meddling(at, crash, line.work)
    line = make(window=0.0)
    line.work()

    assert [image.name] == [row[6] for row in line.rows()] == list(line.photos())
    assert [] == line.waiting()


def test_a_copy_lost_with_the_power_is_made_again(make: Make) -> None:
    """The journal knows the photo, the copy is gone, the source is there."""
    line, image = admit_and_crash(make)
    (line.uploads / image.temporary).unlink()
    line.work()

    assert {image.name: digest(jpeg(1))} == line.photos()
    assert [image.name] == [row[6] for row in line.rows()]


def test_a_photo_that_was_withdrawn_frees_its_name(make: Make, logs: list[MutableMapping[str, Any]]) -> None:
    """Copy and source are both gone: no row, and the name is given to the next photo of that second."""
    line, image = admit_and_crash(make)
    (line.uploads / image.temporary).unlink()
    (line.inbox / "cam.jpg").unlink()
    logs.clear()
    line.work()

    assert [] == line.rows()
    assert ["intake.gone"] == [one["event"] for one in logs if one["event"].startswith("intake.")]
    assert not line.intake.taken(image.name)
    line.drop("b.jpg", jpeg(3))
    line.drop("b.json", json.dumps({"timestamp": image.captured_at.isoformat()}).encode())
    line.work()
    assert [image.name] == [row[6] for row in line.rows()]


def test_copies_of_a_killed_run_are_swept(make: Make) -> None:
    """Copied and not written down: the copy goes at start, and the photo is taken in once."""
    line = make()
    line.drop("a.jpg", jpeg(1))
    line.intake.secure([line.arrival("a.jpg")])
    assert 1 == len(line.photos())
    line = make()
    assert {} == line.photos()
    line.work()

    assert 1 == len(line.rows()) == len(line.photos())


# A source that may not be removed


@pytest.mark.parametrize("restart", [True, False])
def test_a_source_that_has_to_stay_is_released_later(
    make: Make, logs: list[MutableMapping[str, Any]], *, restart: bool
) -> None:
    """The photo has its row at once; what is left of it is no newcomer, and goes as soon as it can."""
    line = make(window=0.0)
    path = line.drop("gate/a.jpg", jpeg(1))
    line.admitted("gate/a.jpg")
    stream = path.open("ab")
    line.work(20)
    assert 1 == len(line.rows())
    assert ["gate/a.jpg"] == line.waiting()
    assert ("owed", 0) == line.steps("release")[0][::3]

    stream.close()
    if restart:
        line = make(window=0.0)
    line.work(20, seconds=60)
    assert [] == line.waiting()
    assert 1 == len(line.rows())
    assert ["done"] == [step[0] for step in line.steps("release")]
    assert 1 == [one["event"] for one in logs].count("intake.released")


def test_without_rights_on_its_folder_a_photo_has_its_row(root: Path) -> None:
    """The folder became read-only for us between the copy and the removal."""
    root.chmod(0o777)
    hands = Hands(wall=root.stat().st_ctime + 1)

    def act() -> None:
        line = Premises(root, hands, window=0.0)
        line.open()
        line.drop("gate/a.jpg", jpeg(1))
        line.admitted("gate/a.jpg")
        (line.inbox / "gate").chmod(0o555)
        line.work(10)
        assert 1 == len(line.rows())
        assert ["gate/a.jpg"] == line.waiting()
        (line.inbox / "gate").chmod(0o755)
        line.work(20, seconds=60)
        assert [] == line.waiting()
        assert 1 == len(line.rows())
        line.close()

    assert unprivileged(act)


def test_a_newcomer_at_the_place_of_a_photo_that_had_to_stay_is_taken_in(line: Premises) -> None:
    """Somebody wrote a new photo over it: the old one is done with, and the new one has its own row."""
    path = line.drop("a.jpg", jpeg(1))
    line.admitted("a.jpg")
    with path.open("ab"):
        line.work()
    line.drop("a.jpg", jpeg(2))
    line.work(20, seconds=60)

    assert 2 == len(line.rows())
    assert [] == line.waiting()


# A disk that fails


@pytest.mark.parametrize(
    ("call", "number"), [("write", errno.ENOSPC), ("fsync", errno.EIO), ("renameat2", errno.EROFS)]
)
def test_a_failing_disk_costs_nothing(make: Make, call: str, number: int) -> None:
    """Nothing is lost and nothing is done twice: afterwards, without a restart, everything has its row."""
    line = make(window=0.0)
    for index in range(3):
        line.drop(f"{index}.jpg", jpeg(index))
    line.drop("bad.jpg", b"text")
    refused(call, number, lambda: line.work(6))
    line.work(20, seconds=30)

    assert ["1", "2", "3"] == [row[0] for row in line.rows()]
    assert sorted(digest(jpeg(index)) for index in range(3)) == sorted(line.photos().values())
    assert 1 == len(line.quarantined())
    assert [] == line.waiting()


def test_a_photo_that_cannot_be_copied_does_not_hold_up_the_others(line: Premises) -> None:
    """What could be copied is written down before the trouble is told."""
    line.drop("a.jpg", jpeg(1))
    line.drop("b.jpg", jpeg(2))
    arrivals = [line.arrival("a.jpg"), line.arrival("b.jpg")]
    secure, pending = line.intake.secure, [StorageUnavailable("One does not fit.")]

    class Choosy:
        """An intake that has no room for the first photo."""

        def __getattr__(self, name: str) -> object:
            return getattr(line.intake, name)

        def secure(self, arrivals: Sequence[object]) -> object:
            return replace(secure(arrivals[1:]), error=pending.pop())  # type: ignore[arg-type]

    line.assemble(intake=Choosy())  # type: ignore[arg-type]
    with pytest.raises(StorageUnavailable):
        line.flow.admit(arrivals)
    assert 1 == len(line.steps("store"))


@pytest.mark.parametrize("uploads_too", [True, False])
def test_an_admission_that_cannot_be_written_down_leaves_nothing(line: Premises, *, uploads_too: bool) -> None:
    """The journal fails after the copy: the copy goes, unless `uploads/` fails as well; the first error is told."""
    line.drop("a.jpg", jpeg(1))

    @dataclass
    class Failing:
        """A journal that is lost."""

        real: Journal

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def admit(self, items: Sequence[Admission], **_: object) -> list[Image]:
            if uploads_too:
                line.uploads.rename(line.uploads.with_name("away"))
            raise JournalUnusable(f"{len(items)} cannot be written down.")

    line.assemble(journal=Failing(line.journal))  # type: ignore[arg-type]
    with pytest.raises(JournalUnusable):
        line.flow.admit([line.arrival("a.jpg")])
    if not uploads_too:
        assert {} == line.photos()
    assert ["a.jpg"] == line.waiting()


# Reading


def test_a_photo_that_kills_its_reader_gets_its_row(make: Make) -> None:
    """Five attempts, made alone, without an explanation; then a row without a plate that a person should look at."""
    recorder = Recorder()
    line = make(ask=unreadable, sinks=[recorder])
    line.drop("a.jpg", jpeg(1))
    line.work(5)
    assert [] == line.rows()
    line.work(40, seconds=20)
    [row] = line.rows()
    record, _ = recorder.told[0]

    assert "NO_DETECTADA" == row[2] == record.plate
    assert ("reader_crashed", True, None) == (record.reading.code, record.reading.review, record.reading.text)
    assert ("done", 6) == line.steps("read")[0][:2]


def test_a_process_that_dies_of_a_photo_gives_it_up_in_the_end(make: Make) -> None:
    """Killed while it reads, again and again: the attempt was counted before it was made."""
    line = make()
    line.drop("a.jpg", jpeg(1))
    line.work(3)
    with line.connection.turn(writing=True) as db:
        db.execute("UPDATE tasks SET status = 'owed', attempts = 0, strikes = 0 WHERE act = 'read'")
        db.execute("UPDATE images SET reading = NULL")
    for _ in range(5):
        assert 1 == len(line.journal.claim(["read"], now=line.hands.wall, limit=1))
        line = make()
    line.work()
    image = line.questions.latest_from([b"a.jpg"])

    assert image is not None
    assert ("done", 6, 6) == line.steps("read")[0][:3]


def test_an_engine_that_is_away_costs_only_time(make: Make) -> None:
    """No strike, however long it takes; then the plate is read."""
    waits = [EngineUnavailable("No network.") for _ in range(12)]

    def ask(_: StoredImage) -> Reading:
        if waits:
            raise waits.pop()
        return Reading("1234BCD")

    line = make(ask=ask)
    line.drop("a.jpg", jpeg(1))
    line.work(40, seconds=300)

    assert "1234BCD" == line.rows()[0][2]


def test_nothing_seen_is_a_reading(make: Make) -> None:
    """The row says so, and is not marked for review by us."""
    line = make(ask=lambda _: Reading(None, tried=("a", "b")))
    line.drop("a.jpg", jpeg(1))
    line.work()

    assert "NO_DETECTADA" == line.rows()[0][2]


def test_the_record_bears_the_plate_of_the_row(make: Make) -> None:
    """What an engine outside our tree answers is cleaned for the register; the receiver is told the same."""
    recorder = Recorder()
    line = make(ask=lambda _: Reading("-=ab 1"), sinks=[recorder])
    line.drop("a.jpg", jpeg(1))
    line.work()

    assert line.rows()[0][2] == recorder.told[0][0].plate


# Registering


@dataclass
class Interrupted:
    """A register that does what it is asked, and raises before it says so, *times* times."""

    real: Register
    error: BaseException
    times: int = 1

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def append(self, rows: Sequence[Row], **words: object) -> list[int]:
        """Append, then raise."""
        ids = self.real.append(rows, **words)  # type: ignore[arg-type]
        if self.times:
            self.times -= 1
            raise self.error
        return ids


def test_the_register_is_not_searched_without_need(line: Premises) -> None:
    """A row is looked for only if an earlier attempt may have written it: the file may have a million lines."""
    asked: list[bool] = []

    @dataclass
    class Curious:
        """A register that notes what it is asked to look for."""

        real: Register

        def append(self, rows: Sequence[Row], **words: object) -> list[int]:
            asked.extend(row.repeated for row in rows)
            if len(asked) == 1:
                raise StorageUnavailable("Not now.")
            return self.real.append(rows, **words)  # type: ignore[arg-type]

    line.drop("a.jpg", jpeg(1))
    line.assemble(register=Curious(line.register))  # type: ignore[arg-type]
    line.work()

    assert [False, True] == asked


@pytest.mark.parametrize(
    "error", [KeyError("a bug"), StorageUnavailable("The disk failed."), JournalUnusable("It is corrupt.")]
)
@pytest.mark.parametrize("restart", [True, False])
def test_a_row_that_was_written_is_not_written_again(make: Make, error: Exception, *, restart: bool) -> None:
    """Whatever happened between the row and the memory of it: one row, with the id that it has."""
    line = make()
    line.drop("a.jpg", jpeg(1))
    line.assemble(register=Interrupted(line.register, error))  # type: ignore[arg-type]
    try:
        line.work(3)
    except JournalUnusable:
        assert isinstance(error, JournalUnusable)
    if restart:
        line = make()
    line.work(8)

    assert ["1"] == [row[0] for row in line.rows()]
    assert ("done", 2) == line.steps("register")[0][:2]


def test_the_brake_does_not_forget_that_rows_may_be_there(make: Make) -> None:
    """Ten rows were written and none remembered when the line stopped: after the start there are still ten."""
    line = make()
    for number in range(10):
        line.drop(f"{number}.jpg", jpeg(number))
    line.assemble(register=Interrupted(line.register, KeyError("a bug"), times=99))  # type: ignore[arg-type]
    with pytest.raises(LineBroken):
        line.work(60)
    line = make()
    line.work()

    assert [str(number) for number in range(1, 11)] == [row[0] for row in line.rows()]
    assert 10 == len({row[6] for row in line.rows()})


def test_a_row_whose_id_somebody_changed_keeps_it(make: Make) -> None:
    """After a crash a row is found with the id of another: that stands in the file, so it is what we tell."""
    recorder = Recorder()
    line = make(sinks=[recorder])
    line.drop("a.jpg", jpeg(1))
    line.work()
    line.drop("b.jpg", jpeg(2))
    line.assemble(register=Interrupted(line.register, KeyError("a bug"), times=99))  # type: ignore[arg-type]
    line.work(4)
    path = line.data / "registros.csv"
    path.write_bytes(path.read_bytes().replace(b"\n2,", b"\n1,"))
    line = make(sinks=[recorder])
    line.work()

    assert ["1", "1"] == [row[0] for row in line.rows()]
    assert [1, 1] == [record.id for record, _ in recorder.told]


@pytest.mark.parametrize("cells", [7, 3, 1])
def test_half_a_row_of_ours_is_cut_off_and_written_again(make: Make, cells: int) -> None:
    """The power went in the middle of a line: what is left of it is a row that is owed, so it goes."""
    line = make()
    line.drop("a.jpg", jpeg(1))
    line.work()
    line.drop("b.jpg", jpeg(2))
    line.assemble(register=Interrupted(line.register, KeyError("a bug"), times=99))  # type: ignore[arg-type]
    line.work(4)
    path = line.data / "registros.csv"
    whole = path.read_bytes()
    last = whole.splitlines()[-1]
    path.write_bytes(whole.removesuffix(last + b"\n") + b",".join(last.split(b",")[:cells])[:-1])
    line = make()
    line.work()

    assert whole == path.read_bytes()


# Telling


def test_a_receiver_is_told_until_it_takes_it(make: Make) -> None:
    """Always with the same key; what it refuses for ever is parked and the others go on."""
    patient = Recorder(SinkUnavailable("Busy."), SinkUnavailable("Busy."))
    strict = Recorder(DeliveryRefused("Never."), name="police")
    line = make(sinks=[patient, strict])
    line.drop("a.jpg", jpeg(1))
    line.drop("b.jpg", jpeg(2))
    line.work(20)

    assert 2 == len(patient.told) == len({key for _, key in patient.told})
    assert 1 == len(strict.told)
    assert ["done", "parked"] == sorted(step[0] for step in line.steps("notify/police"))


def test_a_slow_receiver_does_not_hold_up_another(make: Make) -> None:
    """Each round tells every receiver once."""
    one, other = Recorder(name="one"), Recorder(name="other")
    line = make(sinks=[one, other])
    for number in range(5):
        line.drop(f"{number}.jpg", jpeg(number))
    line.work(6)
    told = [len(one.told), len(other.told)]

    assert told[0] == told[1] > 0


def test_the_key_survives_a_restart(make: Make) -> None:
    """It was told and that was not remembered: the receiver can tell that it has had it before."""
    recorder = Recorder()
    line = make(sinks=[recorder])
    line.drop("a.jpg", jpeg(1))
    line.work()
    with line.connection.turn(writing=True) as db:
        db.execute("UPDATE tasks SET status = 'owed' WHERE act = 'notify/office'")
    line = make(sinks=[recorder])
    line.work()

    assert 2 == len(recorder.told)
    assert 1 == len({key for _, key in recorder.told})


def test_what_is_owed_to_a_receiver_that_is_gone_waits(make: Make) -> None:
    """It is not claimed, and told when the receiver is back; one that goes between claim and call is no bug."""
    recorder = Recorder()
    line = make(sinks=[recorder])
    line.drop("a.jpg", jpeg(1))
    line.workers.pop()
    line.work()
    [task] = line.journal.claim(["notify/office"], now=line.hands.wall, limit=1)
    line.flow.adopt({}, 0.0)
    [failure] = line.flow.notify([task])
    assert isinstance(failure.error, SinkUnavailable)
    line = make()
    line.work()
    assert ["owed"] == [step[0] for step in line.steps("notify/office")]
    line = make(sinks=[recorder])
    line.work()

    assert 1 == len(recorder.told)


def test_a_record_needs_its_row(line: Premises) -> None:
    """Nobody is told of a row that does not exist."""
    line.drop("a.jpg", jpeg(1))
    image = line.admitted("a.jpg")
    task = Task(id=1, act="notify/office", attempts=1, strikes=0, alone=True, image=image)

    with pytest.raises(ValueError, match="no row yet"):
        record_of(task)
    with pytest.raises(ValueError, match="no row yet"):
        record_of(replace(task, record_id=1))
    known = replace(task, record_id=1, recorded_at=datetime.now(UTC) + timedelta())
    assert "NO_DETECTADA" == record_of(known).plate
