"""Disks that fill up or turn read-only, a journal that is lost, a clock that jumps: all heals without a restart."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.house import PATIENCE, House
from tests.makers import eventually, jpeg
from tests.scripted_receiver import Receiver, answers

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
HEALING = 2 * PATIENCE
"""Seconds until all is done once there is room again: the pauses before that grow with the length of the outage."""
SIDE = (160, 120)
"""Pixels of photos that fill many pages of a disk: about 45 kB."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")

Tiny = Callable[[Path], Path]


@pytest.fixture
def tiny() -> Iterator[Tiny]:
    """Give a function that mounts an empty disk of two megabytes on a folder."""
    with ExitStack() as mounted:

        def mount(folder: Path) -> Path:
            folder.mkdir(parents=True, exist_ok=True)
            _run("mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", str(folder))
            mounted.callback(_run, "umount", "--lazy", str(folder))
            return folder

        yield mount


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)


def _fill(disk: Path) -> Path:
    """Leave no room on *disk*; return the file that takes it."""
    filler = disk / "somebody-elses-file"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError as error:
                assert errno.ENOSPC == error.errno  # noqa: PT017 (it is the way to the end of the disk)
    return filler


def _drop(house: House, numbers: range, size: tuple[int, int] = SIDE) -> list[bytes]:
    photos = [jpeg(number, size) for number in numbers]
    for number, photo in zip(numbers, photos, strict=True):
        aside = house.inbox / f".{number}"
        aside.write_bytes(photo)
        aside.rename(house.inbox / f"{number}.jpg")
    return photos


def _photos(*folders: Path) -> list[bytes]:
    """Return the bytes of every photo in *folders*, those under hidden names left out."""
    return sorted(path.read_bytes() for folder in folders for path in folder.glob("[!.]*.jpg"))


def _told(house: House, code: str) -> list[str]:
    """Return the sentences in which the log says that there was this trouble."""
    lines = house.said("worker.stalled") + house.said("worker.deferred")
    return [line["reason"] for line in lines if line["code"] == code]


def _all_is_done(house: House, photos: list[bytes]) -> None:
    """Every photo has exactly one row and one file, the inbox is empty, and the three accounts agree."""
    assert eventually(lambda: len(house.rows()) >= len(photos), HEALING), house.events()[-20:]
    assert eventually(house.is_empty, PATIENCE)
    rows = house.rows()
    assert list(range(1, len(photos) + 1)) == sorted(int(row["id"]) for row in rows)
    assert sorted(photos) == sorted((house.uploads / row["imagen"]).read_bytes() for row in rows)
    assert sorted(photos) == _photos(house.uploads)
    agreed = house.command("verify")
    assert 0 == agreed.returncode, agreed.stdout


def _explained(house: House) -> str:
    """Return why the newest photo without a row has none yet."""
    held_up = {path.name for path in house.uploads.glob("[!.]*")} - {row["imagen"] for row in house.rows()}
    acts = house.ask("explain", max(held_up))["acts"]
    return " ".join(act["reason"] for act in acts if act["act"] == "register")


def _doctor_says(house: House, folder: str) -> str:
    (line,) = [line for line in house.command("doctor").stdout.splitlines() if f"[folders] {folder}" in line]
    return line


@needs_root
def test_a_full_disk_holds_photos_in_the_inbox_until_there_is_room(tmp_path: Path, tiny: Tiny) -> None:
    """With `uploads/` and `data/` on one full disk nothing is lost; when there is room all is done by itself."""
    house = House(tiny(tmp_path / "disk"), inbox=tmp_path / "inbox")
    house.log = tmp_path / "log"
    with house.running() as daemon:
        photos = _drop(house, range(1))
        house.wait_rows(1)
        filler = _fill(house.root)
        waiting = _drop(house, range(1, 6))
        assert eventually(lambda: _told(house, "disk_full"), PATIENCE), house.events()

        assert sorted(waiting) == _photos(house.inbox)
        assert 1 == len(house.rows())
        assert (
            "There is no room left for uploads (No space left on device). Free some space"
            in _told(house, "disk_full")[0]
        )
        status = house.ask("status", code=1)
        (obstacle,) = status["obstacles"]
        assert ("[folders] uploads", True) == (obstacle["what"], "is full (0.0 MiB free)" in obstacle["says"])
        assert "is full" in house.command("explain", "inbox/1.jpg").stderr
        assert (5, 1, True) == (status["waiting"], status["recorded"], status["reachable"])
        assert "photos wait in the inbox when the disk is full" in _doctor_says(house, "uploads")
        assert None is daemon.process.poll()

        filler.unlink()
        _all_is_done(house, photos + waiting)
    assert [] == house.said("worker.crashed")


@needs_root
def test_a_full_uploads_alone_is_waited_for(tmp_path: Path, tiny: Tiny) -> None:
    """With room for the journal and none for photos they wait in the inbox; none is admitted twice later."""
    tiny(tmp_path / "uploads")
    house = House(tmp_path)
    with house.running():
        filler = _fill(house.uploads)
        waiting = _drop(house, range(5))
        assert eventually(lambda: _told(house, "disk_full"), PATIENCE), house.events()
        assert sorted(waiting) == _photos(house.inbox)
        assert [] == house.rows()

        filler.unlink()
        _all_is_done(house, waiting)
    assert [] == house.said("worker.crashed")


@needs_root
def test_a_full_data_alone_loses_nothing(tmp_path: Path, tiny: Tiny) -> None:
    """With room for photos and none for journal and register, each photo lies in the inbox or in `uploads/`."""
    tiny(tmp_path / "data")
    house = House(tmp_path)
    with house.running():
        filler = _fill(house.data)
        photos = _drop(house, range(200), (32, 16))
        assert eventually(lambda: house.said("worker.stalled"), PATIENCE), house.events()
        reasons = {line["reason"] for line in house.said("worker.stalled")}
        assert [] == [reason for reason in reasons if "journal" not in reason and "no room left" not in reason]
        assert len(house.rows()) < len(photos)
        assert set(photos) <= set(_photos(house.inbox, house.uploads))
        assert house.ask("status", code=1)["reachable"]

        filler.unlink()
        _all_is_done(house, photos)
    assert [] == house.said("worker.crashed")


@needs_root
def test_a_register_that_cannot_grow_is_explained(tmp_path: Path, tiny: Tiny) -> None:
    """While only rows cannot be written, photos are stored, and `status` and `explain` say what they wait for."""
    house = House(tmp_path)
    with house.running():
        photos = _drop(house, range(1))
        house.wait_rows(1)
    disk = tiny(tmp_path / "disk")
    shutil.copy(house.register, disk)
    _run("mount", "--bind", str(disk / house.register.name), str(house.register))
    try:
        with house.running():
            filler = _fill(disk)
            photos += _drop(house, range(1, 300), (32, 16))
            assert eventually(lambda: _told(house, "disk_full"), PATIENCE), house.events()
            assert eventually(lambda: len(_photos(house.uploads)) == 300, PATIENCE)
            status = house.ask("status")
            assert 0 < status["owed"]["register"]
            assert "disk_full: There is no room left for the register" in status["held_up_by"]["register"]
            assert eventually(lambda: "Free some space" in _explained(house), PATIENCE)

            filler.unlink()
            _all_is_done(house, photos)
    finally:
        _run("umount", "--lazy", str(house.register))
    assert [] == house.said("worker.crashed")


@needs_root
def test_a_read_only_uploads_is_waited_for(tmp_path: Path, tiny: Tiny) -> None:
    """A disk that turns read-only under the daemon is said so, and used again when it can be written."""
    tiny(tmp_path / "uploads")
    house = House(tmp_path)
    with house.running():
        photos = _drop(house, range(1))
        house.wait_rows(1)
        _run("mount", "-o", "remount,ro", str(house.uploads))
        waiting = _drop(house, range(1, 4))
        assert eventually(lambda: _told(house, "read_only"), PATIENCE), house.events()
        assert sorted(waiting) == _photos(house.inbox)
        assert "The file system of uploads is read-only" in _told(house, "read_only")[0]
        assert 3 == house.ask("status", code=1)["waiting"]
        assert "is mounted read-only." in house.command("status").stdout

        _run("mount", "-o", "remount,rw", str(house.uploads))
        _all_is_done(house, photos + waiting)
    assert [] == house.said("worker.crashed")


@needs_root
@pytest.mark.parametrize("folder", ["uploads", "data"])
def test_it_does_not_start_on_a_read_only_disk(tmp_path: Path, tiny: Tiny, folder: str) -> None:
    """At the start a read-only disk ends the process with 74, a sentence and a remedy; later it starts and works."""
    tiny(tmp_path / folder)
    house = House(tmp_path)
    photos = _drop(house, range(2))
    _run("mount", "-o", "remount,ro", str(tmp_path / folder))
    refused = house.command("run")
    _run("mount", "-o", "remount,rw", str(tmp_path / folder))

    assert 74 == refused.returncode
    assert f"The folder {tmp_path / folder} is mounted read-only." in refused.stderr
    assert sorted(photos) == _photos(house.inbox)
    with house.running():
        _all_is_done(house, photos)


@needs_root
def test_an_inbox_on_another_disk_works(tmp_path: Path, tiny: Tiny) -> None:
    """Photos and sidecars are taken across file systems."""
    house = House(tmp_path, inbox=tiny(tmp_path / "card"))
    assert house.inbox.stat().st_dev != house.uploads.stat().st_dev
    with house.running():
        (house.inbox / "0.json").write_text('{"propietario": "Ana"}', encoding="utf-8")
        photos = _drop(house, range(3))
        _all_is_done(house, photos)

    assert ["", "", "Ana"] == sorted(row["propietario"] for row in house.rows())


def test_a_lost_journal_loses_nothing(tmp_path: Path) -> None:
    """Without its journal it goes on with the next id, takes no name that is on the disk, and keeps the rows."""
    house = House(tmp_path)
    same = json.dumps({"timestamp": "2026-03-04T15:30:45"})
    with house.running():
        for number in range(2):
            (house.inbox / f"{number}.json").write_text(same, encoding="utf-8")
            _drop(house, range(number, number + 1))
            house.wait_rows(number + 1)
    before = house.rows()
    for file in house.data.glob("journal*"):
        file.unlink()
    for number in range(2, 4):
        (house.inbox / f"{number}.json").write_text(same, encoding="utf-8")
    _drop(house, range(2, 4))
    with house.running():
        rows = house.wait_rows(4)
        assert eventually(house.is_empty)

    assert before == rows[:2]
    assert ["1", "2", "3", "4"] == [row["id"] for row in rows]
    name = "matricula_20260304_153045"
    assert [f"{name}.jpg", f"{name}_2.jpg", f"{name}_3.jpg", f"{name}_4.jpg"] == sorted(row["imagen"] for row in rows)
    assert sorted(jpeg(number, SIDE) for number in range(4)) == _photos(house.uploads)


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed, so no clock can be set back")
def test_a_clock_that_is_set_back_repeats_no_name_and_delays_nothing(tmp_path: Path) -> None:
    """Two hours back, names stay unique and what was put off until then is done now, not in two hours."""
    hands = tmp_path / "hands"
    hands.write_text("2026-03-04 14:00:00", encoding="ascii")
    clock = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(hands),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    busy = answers(503)
    with Receiver(busy, busy, answers()) as receiver:
        sink = f'name = "gate"\nkind = "webhook"\nallow_private = true\nurl = "{receiver.url}"\n'
        # Polling, since the faked clock breaks the pauses of watchdog's threads, which no real clock does.
        house = House(tmp_path, f'[inbox]\nwatch = "poll"\n[[sinks]]\n{sink}')
        # The clock stands still, so that what is put off is not due before it is set.
        with house.running(**clock):
            photos = _drop(house, range(2))
            assert eventually(lambda: len(house.said("worker.deferred")) == 2, PATIENCE), house.events()
            hands.write_text("2026-03-04 12:00:00", encoding="ascii")
            assert eventually(lambda: len(house.said("notify.delivered")) == 2, PATIENCE), house.events()
            photos += _drop(house, range(2, 4))
            house.wait_rows(4)
            hands.write_text("2026-03-04 14:00:00", encoding="ascii")
            photos += _drop(house, range(4, 6))
            _all_is_done(house, photos)
            assert eventually(lambda: len(house.said("notify.delivered")) == 6, PATIENCE), house.events()

    afternoon, noon = "matricula_20260304_140000", "matricula_20260304_120000"
    assert sorted(
        [f"{afternoon}{end}.jpg" for end in ("", "_2", "_3", "_4")] + [f"{noon}{end}.jpg" for end in ("", "_2")]
    ) == sorted(row["imagen"] for row in house.rows())
