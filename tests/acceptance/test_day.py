"""A day at the gate: photos come in every way they really do, and each becomes one right row."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from functools import partial
from pathlib import Path

from tests.acceptance.house import House
from tests.makers import eventually, jpeg, png

NAME = r"matricula_\d{8}_\d{6}(_\d+)?\.(jpg|png)"


def _stored(house: House) -> list[bytes]:
    return sorted(path.read_bytes() for path in house.uploads.iterdir())


def _grew(house: House, before: int) -> bool:
    return len(house.rows()) > before


def test_a_copied_photo_becomes_one_row_under_its_new_name(tmp_path: Path) -> None:
    """A photo copied into the inbox is moved to uploads with its bytes, and has one row that names it."""
    house = House(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    with house.running():
        shutil.copy(tmp_path / "photo.jpg", house.inbox)
        (row,) = house.wait_rows(1)
        assert eventually(house.is_empty)

    assert jpeg() == (house.uploads / row["imagen"]).read_bytes()
    assert ("1", "NO_DETECTADA", "", "", "") == (
        row["id"],
        row["matricula"],
        row["propietario"],
        row["tipo_vehiculo"],
        row["observacion"],
    )
    assert house.register.read_bytes().startswith(
        b"id,fecha_hora,matricula,propietario,tipo_vehiculo,observacion,imagen\n1,"
    )


def test_a_sidecar_fills_the_row_and_leaves_with_its_photo(tmp_path: Path) -> None:
    """Owner, type, remark and time come from the sidecar, in UTF-8; nothing stays in the inbox."""
    house = House(tmp_path)
    facts = {
        "propietario": "Juan Pérez",
        "tipo_vehiculo": "Sedan",
        "observacion": "Vehículo, «de entrega»",
        "timestamp": "2026-03-04T15:30:45",
    }
    with house.running():
        (house.inbox / "cam7.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
        (house.inbox / "cam7.jpg").write_bytes(jpeg())
        (row,) = house.wait_rows(1)
        assert eventually(house.is_empty)

    assert "matricula_20260304_153045.jpg" == row["imagen"]
    assert "2026-03-04 15:30:45" == row["fecha_hora"]
    assert tuple(facts.values())[:3] == (row["propietario"], row["tipo_vehiculo"], row["observacion"])


def test_photos_dropped_while_it_was_down_are_taken_in_at_the_start(tmp_path: Path) -> None:
    """What waits in the inbox, sub-folders included, is taken in by the first look; PNG keeps its ending."""
    house = House(tmp_path)
    (house.inbox / "north" / "2026-03-04").mkdir(parents=True)
    (house.inbox / "north" / "2026-03-04" / "a.JPG").write_bytes(jpeg(1))
    (house.inbox / "b.png").write_bytes(png(2))
    (house.inbox / "c.jpg").write_bytes(png(3))
    with house.running():
        rows = house.wait_rows(3)
        assert eventually(house.is_empty)

    assert sorted([jpeg(1), png(2), png(3)]) == _stored(house)
    assert [".jpg", ".png", ".png"] == sorted(Path(row["imagen"]).suffix for row in rows)
    records = [json.loads(line) for line in house.command("records", "--json").stdout.splitlines()]
    assert ["", "", "north"] == sorted(record["camera_id"] for record in records)


def test_a_slow_writer_is_waited_for(tmp_path: Path) -> None:
    """A photo written in pieces with pauses between them is taken only when its writer has closed it."""
    house = House(tmp_path)
    photo = jpeg(size=(320, 240))
    pieces = threading.Event()
    with house.running():
        with (house.inbox / "slow.jpg").open("wb", buffering=0) as file:
            for start in range(0, len(photo), len(photo) // 8):
                file.write(photo[start : start + len(photo) // 8])
                pieces.wait(0.2)
            assert [] == house.rows()
        (row,) = house.wait_rows(1)

    assert photo == (house.uploads / row["imagen"]).read_bytes()


def test_a_truncated_photo_is_quarantined_and_says_why(tmp_path: Path) -> None:
    """An upload that broke off never becomes a row; it lies in the quarantine with a reason and a remedy."""
    house = House(tmp_path, "[inbox]\nincomplete_after_seconds = 0.5\n")
    with house.running():
        (house.inbox / "broken.jpg").write_bytes(jpeg()[:-200])
        (reason,) = house.wait_quarantine("truncated")
        assert eventually(house.is_empty)

    facts = json.loads(reason.read_bytes())
    assert ("truncated", "broken.jpg") == (facts["code"], facts["source"])
    assert facts["message"]
    assert facts["retry"]
    assert jpeg()[:-200] == Path(str(reason).removesuffix(".reason.json")).read_bytes()
    assert [] == house.rows()
    assert {"truncated": 1} == house.ask("status")["quarantined"]


def test_a_photo_that_is_finished_in_the_quarantine_comes_back(tmp_path: Path) -> None:
    """A sender that resumes writes on into the file we set aside; when it is whole it gets its row."""
    house = House(tmp_path, "[inbox]\nincomplete_after_seconds = 0.3\n")
    with house.running():
        with (house.inbox / "resumed.jpg").open("wb", buffering=0) as file:
            file.write(jpeg()[:-200])
        (reason,) = house.wait_quarantine("truncated")
        with Path(str(reason).removesuffix(".reason.json")).open("ab") as file:
            file.write(jpeg()[-200:])
        (row,) = house.wait_rows(1)

    assert jpeg() == (house.uploads / row["imagen"]).read_bytes()
    assert 1 == len(house.said("intake.resumed"))
    assert {} == house.ask("status")["quarantined"]


def test_the_same_bytes_again_are_set_aside(tmp_path: Path) -> None:
    """A second drop of the same bytes gets no second row; its reason names the first photo."""
    house = House(tmp_path)
    with house.running():
        (house.inbox / "one.jpg").write_bytes(jpeg())
        (row,) = house.wait_rows(1)
        (house.inbox / "two.jpg").write_bytes(jpeg())
        (reason,) = house.wait_quarantine("duplicate")

    assert row["imagen"] == json.loads(reason.read_bytes())["duplicate_of"]
    assert 1 == len(house.rows())
    assert [jpeg()] == _stored(house)


def test_a_camera_that_always_uses_one_name_loses_nothing(tmp_path: Path) -> None:
    """Twelve photos under one name, each as soon as the last has left, become twelve rows with their own sidecars."""
    house = House(tmp_path)
    with house.running():
        for number in range(12):
            (house.inbox / "cam.json").write_text(json.dumps({"observacion": f"n{number}"}), encoding="utf-8")
            (house.inbox / "cam.jpg").write_bytes(jpeg(number))
            assert eventually(lambda: not (house.inbox / "cam.jpg").exists())
        rows = house.wait_rows(12)

    by_remark = {row["observacion"]: (house.uploads / row["imagen"]).read_bytes() for row in rows}
    assert {f"n{number}": jpeg(number) for number in range(12)} == by_remark


def test_kill_and_start_again_changes_nothing(tmp_path: Path) -> None:
    """Killed over and over while photos pour in, it ends with exactly one row and one file for each."""
    house = House(tmp_path)
    photos = [jpeg(number) for number in range(60)]
    for batch in range(6):
        with house.start() as daemon:
            before = len(house.rows())
            for number in range(batch * 10, batch * 10 + 10):
                (house.inbox / f"p{number}.jpg").write_bytes(photos[number])
            eventually(partial(_grew, house, before), 1.0)
            daemon.kill()
    with house.running():
        rows = house.wait_rows(60)
        assert eventually(house.is_empty)

    assert sorted(photos) == _stored(house)
    assert sorted(os.listdir(house.uploads)) == sorted(row["imagen"] for row in rows)
    assert 0 == house.command("verify").returncode


def test_strange_things_in_the_inbox_stop_nothing(tmp_path: Path) -> None:
    """Links, fifos, folders, text, empty files and odd names are left or set aside; the photos among them are taken."""
    house = House(tmp_path, "[inbox]\nincomplete_after_seconds = 0.3\n")
    (house.inbox / "link.jpg").symlink_to("/etc/passwd")
    os.mkfifo(house.inbox / "fifo.jpg")
    (house.inbox / "folder.jpg").mkdir()
    (house.inbox / "text.jpg").write_text("not a photo", encoding="utf-8")
    (house.inbox / "empty.jpg").touch()
    (house.inbox / "notes.txt").write_text("hello", encoding="utf-8")
    odd = [
        b"new\nline.jpg",
        b"\xff\xfe.jpg",
        b"-rf.jpg",
        "\u202egpj.exe.jpg".encode(),
        b"=cmd().jpg",
        b"x" * 251 + b".jpg",
    ]
    for number, name in enumerate(odd):
        with open(os.path.join(os.fsencode(house.inbox), name), "wb") as file:
            file.write(jpeg(number))
    with house.running():
        rows = house.wait_rows(len(odd))
        house.wait_quarantine("not_an_image")
        house.wait_quarantine("empty")

    assert sorted(jpeg(number) for number in range(len(odd))) == _stored(house)
    assert len(odd) == len({row["imagen"] for row in rows})
    left = {path.name for path in house.inbox.iterdir()}
    assert {"link.jpg", "fifo.jpg", "folder.jpg", "notes.txt"} == left
    assert {"folder", "special", "suffix", "symlink"} == {line["reason"] for line in house.said("inbox.ignored")}


def test_sigterm_ends_it_in_time_and_a_second_start_is_refused(tmp_path: Path) -> None:
    """A second daemon on the same data folder leaves with 75; SIGTERM ends the first one with 0."""
    house = House(tmp_path)
    with house.running():
        second = house.command("run")
        also = house.command("once")

    assert (75, 75) == (second.returncode, also.returncode)
    assert "daemon.stopped" == house.events()[-1]["event"]


def test_sighup_takes_new_settings_and_keeps_the_old_ones_if_they_are_wrong(tmp_path: Path) -> None:
    """A good file counts from then on; a bad one changes nothing and is named in the log."""
    house = House(tmp_path, "[inbox]\nincomplete_after_seconds = 600\n")
    good = house.config.read_text(encoding="utf-8")
    with house.running() as daemon:
        house.config.write_text(good.replace("600", "nonsense"), encoding="utf-8")
        daemon.signal(signal.SIGHUP)
        assert eventually(lambda: house.said("daemon.reload_refused"))
        house.config.write_text(good.replace("600", "0.2"), encoding="utf-8")
        daemon.signal(signal.SIGHUP)
        assert eventually(lambda: house.said("daemon.reloaded"))
        (house.inbox / "cut.jpg").write_bytes(jpeg()[:-100])
        house.wait_quarantine("truncated")
