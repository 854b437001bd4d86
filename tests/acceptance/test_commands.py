"""Every command as operators and scripts run it: a process, its output, its exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.house import AS_NOBODY, PROGRAM, House
from tests.acceptance.terminal import Terminal
from tests.makers import eventually, jpeg
from tests.scripted_receiver import Receiver, answers
from watcher.demo import VEHICLES, draw

ZEROS = {"waiting": 0, "owed": {}, "parked": {}, "quarantined": {}, "recorded": 0, "running": None, "held_up_by": {}}
NOBODYS = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Give a house in which four photos have been registered; not to be changed."""
    house = House(tmp_path_factory.mktemp("finished"))
    for number in range(4):
        (house.inbox / f"{number}.jpg").write_bytes(jpeg(number))
    (house.inbox / "0.json").write_text('{"propietario": "Ana", "camera_id": "gate"}', encoding="utf-8")
    done = house.command("once")
    assert (0, "", "4 photos registered") == (done.returncode, done.stdout, done.stderr.splitlines()[-1])
    return house


@pytest.fixture
def house(finished: House, tmp_path: Path) -> House:
    """Give a copy of that house."""
    for folder in (finished.uploads, finished.data):
        shutil.copytree(folder, tmp_path / folder.name)
    return House(tmp_path)


def _kept(house: House) -> dict[str, tuple[int, bytes]]:
    """Return every file of the data folder with the time of its last change; of folders, that alone."""
    paths = [house.data, *house.data.rglob("*")]
    return {str(path): (path.stat().st_mtime_ns, b"" if path.is_dir() else path.read_bytes()) for path in paths}


def _without_row(house: House, number: int) -> str:
    """Remove the row with this id from the register, as a spreadsheet would, and return the name of its photo."""
    (gone,) = (row["imagen"] for row in house.rows() if row["id"] == str(number))
    lines = house.register.read_text(encoding="utf-8").splitlines(keepends=True)
    (house.data / "new").write_text("".join(line for line in lines if gone not in line), encoding="utf-8")
    (house.data / "new").replace(house.register)
    return gone


# Listings


def test_listings_without_a_journal_answer_and_create_nothing(tmp_path: Path) -> None:
    """Before the first start every listing works, all counts are zero, and nothing comes into being."""
    house = House(tmp_path)
    before = _kept(house)

    assert ZEROS.items() <= house.ask("status").items()
    assert [] == house.ask_all("records")
    assert [] == house.ask_all("verify")
    assert {"ok"} == {finding["level"] for finding in house.ask_all("doctor")} - {"warning"}
    assert 1 == house.command("explain", "matricula_20260304_153045.jpg").returncode
    assert "Nothing waits" in house.command("retry").stdout
    assert before == _kept(house)


def test_listings_of_a_house_that_does_not_exist(tmp_path: Path) -> None:
    """Folders that are not there are no reason for a traceback, and are not made by asking."""
    house = House(tmp_path)
    for folder in (house.inbox, house.uploads, house.data):
        folder.rmdir()

    assert {"reachable": False}.items() <= house.ask("status", code=1).items()
    assert f"{house.data} is not there. Mount it, or put it back.\n" == house.command("verify").stderr
    assert {"[folders] inbox", "[folders] uploads", "[folders] data", "register"} == {
        finding["what"] for finding in house.ask_all("doctor", code=1) if finding["level"] == "error"
    }
    assert not house.data.exists()


def test_listings_beside_a_running_daemon_change_nothing(house: House) -> None:
    """Beside the daemon all listings answer, and neither a file nor a time in data/ changes."""
    with house.running() as daemon:
        before = {path: path.stat().st_mtime_ns for path in (house.data, *house.data.iterdir())}
        status = house.ask("status")
        records = house.ask_all("records")
        story = house.ask("explain", records[0]["image"])
        differences = house.ask_all("verify")
        after = {path: path.stat().st_mtime_ns for path in (house.data, *house.data.iterdir())}

    assert (daemon.process.pid, 4, True) == (status["running"], status["recorded"], status["reachable"])
    assert [1, 2, 3, 4] == [record["id"] for record in records]
    assert ["store", "read", "register"] == [act["act"] for act in story["acts"]]
    assert [] == differences
    # The index of the log beside the journal is where SQLite notes who reads.
    assert before == {path: time for path, time in after.items() if path.name != "journal.sqlite3-shm"} | {
        path: time for path, time in before.items() if path.name == "journal.sqlite3-shm"
    }


def test_what_listings_say(house: House) -> None:
    """Records can be cut to the last ones and to doubtful ones; a story is found by name, by path and by source."""
    (last,) = house.ask_all("records", "--last", "1")
    (owned,) = [record for record in house.ask_all("records") if record["propietario"]]
    stories = [
        house.ask("explain", name)
        for name in (owned["image"], f"uploads/{owned['image']}", str(house.uploads / owned["image"]), "inbox/0.jpg")
    ]
    text = house.command("records").stdout.splitlines()

    assert 4 == last["id"]
    assert [] == house.ask_all("records", "--review")
    assert ("Ana", "gate", "NO_DETECTADA") == (owned["propietario"], owned["camera_id"], owned["plate"])
    assert stories == [stories[0]] * 4
    assert ("0.jpg", owned["id"], "done") == (stories[0]["source"], stories[0]["id"], stories[0]["acts"][-1]["status"])
    assert [f"{number}" for number in (1, 2, 3, 4)] == [line.split()[0] for line in text]


def test_the_configuration_may_be_named_before_or_after_the_command(house: House, tmp_path: Path) -> None:
    """`--config` works on either side; behind the command it wins; `WATCHER_CONFIG` names it too."""
    other = tmp_path / "other.toml"
    other.write_text("wrong", encoding="utf-8")
    where = str(house.config)

    assert 0 == house.command("status", "--config", where, config=False).returncode
    assert 0 == house.command("--config", str(other), "status", "--config", where, config=False).returncode
    assert 0 == house.command("status", config=False, WATCHER_CONFIG=where).returncode
    assert 78 == house.command("status", config=False, WATCHER_CONFIG=str(other)).returncode


@NOBODYS
def test_missing_rights_are_one_sentence(finished: House) -> None:
    """Somebody who may not look into data/ is told so in one line, with the remedy; no traceback, exit code 1."""
    with tempfile.TemporaryDirectory() as root:
        shutil.copytree(finished.data, Path(root) / "data")
        house = House(Path(root))
        house.root.chmod(0o755)
        house.data.chmod(0o700)

        for command in ("status", "records", "verify", "retry"):
            asked = house.command(command, program=AS_NOBODY)
            (sentence,) = asked.stderr.splitlines()
            assert (1, "") == (asked.returncode, asked.stdout)
            assert str(house.data / "journal.sqlite3") in sentence
            assert "Run this as the user" in sentence


def test_a_reader_that_goes_away_ends_a_listing_quietly(house: House) -> None:
    """`records | head -1` leaves no traceback behind."""
    reading, writing = os.pipe()
    os.close(reading)
    listed = subprocess.run(
        [*PROGRAM, "--config", str(house.config), "records"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=house.environment(),
        check=False,
    )
    os.close(writing)

    assert (1, b"") == (listed.returncode, listed.stderr)


# Exit codes


def test_wrong_usage_is_2(house: House) -> None:
    """An unknown command, an unknown option and a missing argument are refused with the usage."""
    for arguments in (("frobnicate",), ("status", "--yes"), ("read",), ("records", "--last", "0"), ()):
        asked = house.command(*arguments)
        assert (2, True) == (asked.returncode, "Usage:" in asked.stderr + asked.stdout)


def test_wrong_settings_are_78_with_all_problems_at_once(house: House) -> None:
    """Every command refuses settings that are wrong, and names all that is wrong, each with its remedy."""
    house.config.write_text("[reading]\nreaders = 0\n[inbox]\nwach = 'poll'\n", encoding="utf-8")

    for command in ("run", "once", "status", "doctor"):
        asked = house.command(command, WATCHER_LOGS__LEVEL="loud")
        assert (78, "") == (asked.returncode, asked.stdout)
        assert ["WATCHER_LOGS__LEVEL", "[inbox] wach", "[reading] readers"] == sorted(
            " ".join(line.split()[:2]).removesuffix(" must") for line in asked.stderr.splitlines()
        )
        assert f"The file is {house.config}." in asked.stderr


def test_an_engine_that_does_not_exist_is_78(house: House) -> None:
    """It is told with all else that is wrong, also where nothing would be read, and so are options for nobody."""
    text = house.config.read_text(encoding="utf-8").replace("[]", '["magic"]')
    house.config.write_text(text + "\n[engines.foo]\nx = 1\n[logs]\nlevle = 3\n", encoding="utf-8")

    for command in (["run"], ["read", "x.jpg"], ["doctor"]):
        asked = house.command(*command)
        assert (78, "") == (asked.returncode, asked.stdout)
        assert "[logs] levle is not a setting;" in asked.stderr
        assert "[engines.foo] is for an engine that there is not;" in asked.stderr
        assert "[reading] engines names magic, which is no engine; set it to some of " in asked.stderr


def test_a_receiver_that_does_not_exist_is_78(house: House) -> None:
    """What only the adapters know is told in the same way, by a log line where the log is what people watch."""
    sink = "\n[[sinks]]\nname = 'gate'\nkind = 'magic'\nurl = 'https://gate.example'\n"
    house.config.write_text(house.config.read_text(encoding="utf-8") + sink, encoding="utf-8")
    run = house.command("run")

    assert 78 == run.returncode
    assert '"event": "daemon.failed"' in run.stderr


def test_a_foreign_register_is_74_at_the_start(house: House) -> None:
    """A CSV that is not ours is not touched; the daemon says what it found and leaves."""
    house.register.write_text("name;age\nAna;30\n", encoding="utf-8")
    once = house.command("once")
    verify = house.command("verify")

    assert (74, 1) == (once.returncode, verify.returncode)
    assert '"code": "register_foreign"' in once.stderr
    assert "is not our register" in verify.stderr
    assert "name;age\nAna;30\n" == house.register.read_text(encoding="utf-8")


def test_a_corrupt_journal_is_74(house: House) -> None:
    """A journal that is no database is not overwritten; daemon and listings say what to do about it."""
    (house.data / "journal.sqlite3").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    once, status = house.command("once"), house.command("status")

    assert (74, 74) == (once.returncode, status.returncode)
    assert "Move journal.sqlite3* away and start again" in once.stderr
    assert status.stderr.startswith("The journal ")
    assert b"not a database" in (house.data / "journal.sqlite3").read_bytes()


CRASHING = """
class Crashing:
    name = "bug"
    def send(self, record, key):
        raise ZeroDivisionError("a bug")

def create(*, name, options, now):
    return Crashing()
"""


def test_a_line_that_is_broken_is_70(tmp_path: Path) -> None:
    """When ten different photos in a row fail for a reason that nobody foresaw, it is us, and the process ends."""
    (tmp_path / "lib" / "bug-1.dist-info").mkdir(parents=True)
    (tmp_path / "lib" / "bug.py").write_text(CRASHING, encoding="utf-8")
    (tmp_path / "lib" / "bug-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bug\nVersion: 1\n")
    (tmp_path / "lib" / "bug-1.dist-info" / "entry_points.txt").write_text(
        "[matricula_watcher.sinks]\nbug = bug:create\n", encoding="utf-8"
    )
    house = House(tmp_path, '[[sinks]]\nname = "bug"\nkind = "bug"\nurl = "https://x.test/"\n')
    for number in range(10):
        (house.inbox / f"{number}.jpg").write_bytes(jpeg(number))
    once = house.command("once", PYTHONPATH=str(tmp_path / "lib"))

    assert 70 == once.returncode
    assert '"code": "line_broken"' in once.stderr.splitlines()[-1]
    assert 10 == len(house.rows())


# once


def test_once_with_nothing_to_do_is_0(house: House) -> None:
    """It leaves at once, says so on standard error, and shows no bar where there is no terminal."""
    once = house.command("once")

    assert (0, "", "0 photos registered") == (once.returncode, once.stdout, once.stderr.splitlines()[-1])
    assert "\x1b" not in once.stderr


def test_once_leaves_what_is_not_whole_and_says_so(house: House) -> None:
    """An upload that is not finished is left where it is; what can never be a photo is set aside: exit code 1."""
    (house.inbox / "half.jpg").write_bytes(jpeg(7)[:-50])
    (house.inbox / "whole.jpg").write_bytes(jpeg(8))
    (house.inbox / "text.jpg").write_text("hello", encoding="utf-8")
    (house.inbox / "again.jpg").write_bytes(jpeg(0))
    once = house.command("once")

    assert 1 == once.returncode
    assert "1 photo registered; 1 still in the inbox; 1 set aside in the quarantine" == once.stderr.splitlines()[-1]
    assert ["half.jpg"] == [path.name for path in house.inbox.iterdir()]
    assert {"duplicate": 1, "not_an_image": 1} == house.ask("status")["quarantined"]


def test_once_does_not_wait_for_a_receiver_that_is_away(house: House) -> None:
    """A delivery that has to wait is owed, counted, and no reason to stay."""
    with house.config.open("a", encoding="utf-8") as file:
        file.write('[[sinks]]\nname = "erp"\nurl = "http://127.0.0.1:9/"\nallow_private = true\n')
    (house.inbox / "new.jpg").write_bytes(jpeg(9))
    once = house.command("once")

    assert (1, "1 photo registered; 1 act owed") == (once.returncode, once.stderr.splitlines()[-1])
    assert {"notify/erp": 1} == house.ask("status")["owed"]


def test_once_shows_a_bar_on_a_terminal(tmp_path: Path) -> None:
    """Under somebody's eyes there is a bar, and the lines of the log stand above it, whole."""
    house = House(tmp_path)
    for number in range(30):
        (house.inbox / f"{number}.jpg").write_bytes(jpeg(number))
    with Terminal(house, "once") as terminal:
        code = terminal.wait()

    assert 0 == code, terminal.shown
    assert "/30" in terminal.shown
    lines = [line for line in terminal.shown.splitlines() if "register.appended" in line]
    assert 30 == len(lines)
    assert "30 photos registered" == terminal.shown.splitlines()[-1]


# run


def test_a_daemon_in_a_terminal_ends_when_the_terminal_goes_away(tmp_path: Path) -> None:
    """In a terminal the daemon says where photos go; when the terminal is closed it ends, in order."""
    house = House(tmp_path)
    with Terminal(house, "run") as terminal:
        assert eventually(lambda: "daemon.ready" in terminal.shown, 30), terminal.shown
        assert f"Drop photos into {house.inbox}/ and see them become rows in {house.data}/registros.csv." in (
            terminal.shown
        )
        terminal.hang_up()
        assert 0 == terminal.process.wait(15)
    assert not (house.data / "journal.sqlite3-wal").exists()


def test_control_c_ends_a_daemon_in_a_terminal(tmp_path: Path) -> None:
    """The interrupt key is an orderly end."""
    house = House(tmp_path)
    with Terminal(house, "run") as terminal:
        assert eventually(lambda: "daemon.ready" in terminal.shown, 30), terminal.shown
        terminal.type(b"\x03")
        assert 0 == terminal.wait()
    assert "daemon.stopped" in terminal.shown


# retry


@pytest.fixture
def patient(house: House) -> Iterator[tuple[House, Receiver]]:
    """Give a house whose receiver has once asked to be told an hour later, and then takes everything."""
    with Receiver(answers(503, Retry_After="3600"), answers()) as receiver:
        with house.config.open("a", encoding="utf-8") as file:
            file.write(f'[[sinks]]\nname = "erp"\nurl = "{receiver.url}"\nallow_private = true\n')
        yield house, receiver


def test_retry_is_noticed_by_the_running_daemon(patient: tuple[House, Receiver]) -> None:
    """What was put off for an hour is done within about a second of `retry`; an unknown name is refused."""
    house, receiver = patient
    with house.running():
        (house.inbox / "new.jpg").write_bytes(jpeg(9))
        assert eventually(lambda: house.said("worker.deferred"), 30)
        (waiting,) = [act for act in house.ask("explain", "new.jpg")["acts"] if act["act"] == "notify/erp"]
        unknown = house.command("retry", "nobody.jpg")
        retried = house.command("retry", "new.jpg")
        assert eventually(lambda: len(receiver.deliveries) == 2, 3.0)

    assert 3000 < waiting["due_in_seconds"] <= 3600
    assert (1, "") == (unknown.returncode, unknown.stdout)
    assert (0, "1 act will be tried again now.\n") == (retried.returncode, retried.stdout)
    assert receiver.deliveries[0].headers["webhook-id"] == receiver.deliveries[1].headers["webhook-id"]


# verify


def test_verify_names_every_difference(house: House) -> None:
    """A row gone, a row twice, a stranger's row, a broken line, a photo gone, a photo unknown: exit code 1."""
    gone = _without_row(house, 2)
    rows = house.rows()
    text = house.register.read_text(encoding="utf-8")
    house.register.write_text(
        text + text.splitlines(keepends=True)[-1] + '9,2026-03-04 15:30:45,X,,,,matricula_19990101_000000.jpg\nbad"\n',
        encoding="utf-8",
    )
    (house.uploads / rows[0]["imagen"]).rename(house.uploads / "stranger.jpg")
    found = house.ask_all("verify", code=1)

    assert [
        ("line_broken", "7"),
        ("photo_missing", rows[0]["imagen"]),
        ("photo_unknown", "stranger.jpg"),
        ("row_missing", gone),
        ("row_twice", rows[-1]["imagen"]),
        ("row_unknown", "matricula_19990101_000000.jpg"),
    ] == sorted((one["code"], one["what"]) for one in found)
    assert all(one["says"].endswith(".") for one in found)


def test_repair_writes_missing_rows_again_under_their_old_ids(house: House) -> None:
    """Without a daemon `verify --repair` does it itself; afterwards nothing differs."""
    before = house.rows()
    _without_row(house, 2)
    _without_row(house, 3)
    repaired = house.command("verify", "--repair")

    assert (0, "2 rows were written again; nothing differs any more.") == (
        repaired.returncode,
        repaired.stderr.splitlines()[-1],
    )
    assert before == sorted(house.rows(), key=lambda row: row["id"])
    assert ["1", "4", "2", "3"] == [row["id"] for row in house.rows()]
    assert [1, 2, 3, 4] == [record["id"] for record in house.ask_all("records")]


def test_repair_beside_a_daemon_has_the_daemon_do_it(patient: tuple[House, Receiver]) -> None:
    """The daemon writes the row with its old id, tells nobody again, and new rows do not get that id."""
    house, receiver = patient
    before = house.rows()
    with house.running():
        _without_row(house, 4)
        repaired = house.command("verify", "--repair")
        (house.inbox / "new.jpg").write_bytes(jpeg(9))
        house.wait_rows(5)
        assert eventually(lambda: receiver.deliveries, 30)

    assert (0, "1 row was written again; nothing differs any more.\n") == (repaired.returncode, repaired.stderr)
    assert before == house.rows()[:4]
    assert "5" == house.rows()[4]["id"]
    assert 5 == receiver.deliveries[0].said["data"]["record"]["id"]


def test_missing_rows_are_written_again_by_themselves_where_that_is_wanted(house: House) -> None:
    """With `repair_missing` the daemon restores what was removed while it was away, and what is removed under it."""
    before = house.rows()
    with house.config.open("a", encoding="utf-8") as file:
        file.write("[register]\nrepair_missing = true\n")
    _without_row(house, 1)
    with house.running():
        house.wait_rows(4)
        (house.inbox / "one.jpg").write_bytes(jpeg(10))
        house.wait_rows(5)
        _without_row(house, 3)
        _without_row(house, 5)
        (house.inbox / "two.jpg").write_bytes(jpeg(11))
        house.wait_rows(6)

    assert before == sorted(house.rows(), key=lambda row: row["id"])[:4]
    assert ["1", "2", "3", "4", "5", "6"] == sorted(row["id"] for row in house.rows())
    assert [1, 2] == [line["rows"] for line in house.said("register.repaired")]


# read


def test_read_prints_what_the_engines_say_and_records_nothing(house: House, tmp_path: Path) -> None:
    """Photos are answered in order with the keys that scripts rely on; what is no photo has its reason, exit code 1."""
    house.config.write_text(house.config.read_text(encoding="utf-8").replace("[]", '["tesseract"]'), encoding="utf-8")
    (tmp_path / "text.jpg").write_text("hello", encoding="utf-8")
    (tmp_path / "one.jpg").write_bytes(jpeg(3, (1, 1)))
    (tmp_path / "link.jpg").symlink_to("one.jpg")
    os.mkfifo(tmp_path / "fifo.jpg")
    before = _kept(house)
    names = ["missing.jpg", "one.jpg", ".", "text.jpg", "fifo.jpg", "link.jpg", "one.jpg"]
    said = house.ask_all("read", *names, code=1)
    lines = house.command("read", "one.jpg", "missing.jpg", "text.jpg").stdout.splitlines()

    assert names == [answer["file"] for answer in said]
    keys = {"file", "plate", "confidence", "engine", "candidates", "seconds"}
    assert all(keys <= answer.keys() for answer in said)
    assert ["unreadable", None, "not_a_file", "image_unreadable", "not_a_file", None, None] == [
        answer["code"] for answer in said
    ]
    assert [True, False, True, True, True, False, False] == ["error" in answer for answer in said]
    assert before == _kept(house)
    assert lines[0].startswith("one.jpg: no plate")
    assert (
        "missing.jpg: The photo cannot be read: No such file or directory. Check its name and folder.  unreadable"
        == lines[1]
    )
    assert lines[2].startswith("text.jpg: This is no JPEG or PNG that can be decoded. Open it in a viewer")


def test_read_draws_what_it_reads_in_a_new_file(house: House, tmp_path: Path) -> None:
    """Where the plate is and what it says can be looked at; nothing is overwritten, and no folder of ours is used."""
    house.config.write_text(house.config.read_text(encoding="utf-8").replace("[]", '["tesseract"]'), encoding="utf-8")
    draw(VEHICLES[0], tmp_path / "photo.jpg")
    (said,) = house.ask_all("read", "--annotate", "out.png", "photo.jpg")
    drawn = (tmp_path / "out.png").read_bytes()
    again = house.command("read", "--annotate", "out.png", "photo.jpg")
    inside = house.command("read", "--annotate", "inbox/out.png", "photo.jpg")

    assert (VEHICLES[0].plate, "out.png") == (said["plate"], said["drawing"])
    assert said["box"]
    with Image.open(tmp_path / "out.png") as picture:
        assert ("PNG", 1280) == (picture.format, picture.width)
    assert [(1, ""), (1, "")] == [(asked.returncode, asked.stdout) for asked in (again, inside)]
    assert "out.png is there already, and nothing is overwritten." in again.stderr
    assert "[folders] inbox" in inside.stderr
    assert drawn == (tmp_path / "out.png").read_bytes()
    assert [] == list(house.inbox.iterdir())


def test_read_needs_an_engine(house: House) -> None:
    """With no engine configured, nothing can be read, which is not the same as reading nothing."""
    (answer,) = house.ask_all("read", "uploads/" + house.rows()[0]["imagen"], code=1)

    assert ("engine_unavailable", None) == (answer["code"], answer["plate"])


# The rest


def test_version_is_that_of_the_project(house: House) -> None:
    """`--version` needs no configuration and says what was installed."""
    said = house.command("--version", config=False).stdout
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert f"matricula-watcher {project['version']}\n" == said


def test_help_names_every_command_and_exit_code(house: House) -> None:
    """The help of the program lists all commands, each with a sentence, and what the exit codes mean."""
    said = house.command("--help", config=False).stdout
    commands = ["run", "once", "read", "status", "records", "explain", "retry", "verify", "doctor", "demo"]

    assert all(any(line.split()[:1] == [command] for line in said.splitlines()) for command in commands)
    assert all(f" {code} " in said.replace("\n", " ") for code in (0, 1, 2, 70, 74, 75, 78))
