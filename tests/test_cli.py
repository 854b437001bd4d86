"""Tests of watcher.cli: the words of the commands. As processes they are tried in tests/acceptance/test_commands.py."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from tests.makers import eventually, jpeg
from watcher import cli
from watcher.errors import WatcherError
from watcher.session import Session

COMMANDS = ("run", "once", "read", "status", "records", "explain", "retry", "verify", "doctor", "demo")
_PR_SET_DUMPABLE = 4


@pytest.fixture(autouse=True)
def _unchanged() -> Iterator[None]:
    """Leave logging, the mask of new files and the view of our neighbours as they were."""
    root, ours = logging.getLogger(), logging.getLogger("watcher")
    before = (root.handlers[:], root.level, ours.level)
    mask = os.umask(0o022)
    os.umask(mask)
    yield
    os.umask(mask)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    structlog.reset_defaults()


def variables(root: Path) -> dict[str, str]:
    """Return the environment of a house at *root* without engines."""
    return {"WATCHER_HOME": str(root), "WATCHER_READING__ENGINES": "[]"}


def call(root: Path, *arguments: str, code: int = 0, **more: str) -> Result:
    """Run a command for the house at *root*, which ends with *code*."""
    told = CliRunner().invoke(cli.app, arguments, obj=Session(variables(root) | more))
    assert code == told.exit_code, told.output
    return told


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a house in which three photos were registered; not to be changed."""
    root = tmp_path_factory.mktemp("finished")
    for name in ("inbox", "uploads", "data"):
        (root / name).mkdir()
    for number in range(3):
        (root / "inbox" / f"{number}.jpg").write_bytes(jpeg(number))
    call(root, "once")
    return root


@pytest.fixture
def house(finished: Path, tmp_path: Path) -> Path:
    """Give a copy of that house."""
    shutil.copytree(finished, tmp_path / "house")
    return tmp_path / "house"


def test_every_command_is_listed_with_a_sentence() -> None:
    """An operator who types --help sees what there is."""
    told = CliRunner().invoke(cli.app, ["--help"]).output

    assert [] == [command for command in COMMANDS if f"\n  {command} " not in told]
    assert "..." not in told.split("Commands:")[1].split("Exit codes")[0], "a sentence is cut off"


def test_the_version_is_told_without_a_command(tmp_path: Path) -> None:
    """`--version` alone is enough."""
    assert call(tmp_path, "--version").output.startswith("matricula-watcher ")


def test_wrong_usage_is_two(tmp_path: Path) -> None:
    """An option that does not exist is the caller's mistake."""
    call(tmp_path, "status", "--nonsense", code=2)


def test_a_status_is_for_programs_or_people(house: Path) -> None:
    """With --json it is one object, without, a line for each fact."""
    told = json.loads(call(house, "status", "--json").output)
    lines = call(house, "status").output.splitlines()

    assert (0, 3) == (told["waiting"], told["recorded"])
    assert "registered   3" in lines
    assert "daemon       not running" in lines


def test_records_are_listed_by_id(house: Path) -> None:
    """Each is a line; only the last ones, or only doubtful ones, on demand."""
    assert ["1", "2", "3"] == [line.split()[0] for line in call(house, "records").output.splitlines()]
    assert [3] == [
        json.loads(line)["id"] for line in call(house, "records", "--last", "1", "--json").output.splitlines()
    ]
    assert "" == call(house, "records", "--review").output


def test_a_photo_has_its_story(house: Path) -> None:
    """Its acts are listed below what is known of it."""
    lines = call(house, "explain", "inbox/1.jpg").output.splitlines()

    assert "source         1.jpg" in lines
    assert ["store", "read", "register"] == [line.split()[0] for line in lines if line.startswith("  ")]


def test_there_is_nothing_to_retry(house: Path) -> None:
    """Of all photos or of one."""
    name = json.loads(call(house, "records", "--last", "1", "--json").output)["image"]

    assert "Nothing waits or is set aside.\n" == call(house, "retry").output
    assert "Nothing waits or is set aside.\n" == call(house, "retry", name).output


def test_once_says_what_it_did(house: Path) -> None:
    """What is left makes it fail."""
    (house / "inbox" / "new.jpg").write_bytes(jpeg(7))
    (house / "inbox" / "half.jpg").write_bytes(jpeg(8)[:-30])

    told = call(house, "once", code=1)
    assert told.output.endswith("1 photo registered; 1 still in the inbox\n")


def test_differences_are_named_and_mended(house: Path) -> None:
    """Agreement is said; a missing row is a difference until --repair has written it again."""
    agreed = call(house, "verify").output
    register = house / "data" / "registros.csv"
    register.write_text("".join(register.read_text().splitlines(keepends=True)[:-1]))
    found = json.loads(call(house, "verify", "--json", code=1).output)
    repaired = call(house, "verify", "--repair").output

    assert "Journal, register and photos agree.\n" == agreed
    assert "row_missing" == found["code"]
    assert "1 row was written again; nothing differs any more.\n" in repaired
    assert repaired.endswith(agreed)


def test_what_cannot_be_repaired_stays_a_difference(house: Path) -> None:
    """A photo that is gone is for a person: --repair says that it is left."""
    next((house / "uploads").iterdir()).unlink()

    assert "0 rows were written again; 1 difference is left for a person." in (
        call(house, "verify", "--repair", code=1).output
    )


def test_the_doctor_finds_no_fault(house: Path) -> None:
    """Findings are lines, or objects; only an error makes it fail."""
    assert call(house, "doctor").output.startswith("ok ")
    (house / "inbox").rmdir()
    levels = [json.loads(line)["level"] for line in call(house, "doctor", "--json", code=1).output.splitlines()]

    assert "error" in levels


def test_reading_without_engines_fails(house: Path) -> None:
    """Each photo has its own answer."""
    (photo, *_) = (house / "uploads").iterdir()
    lines = call(house, "read", str(photo), "nothing.jpg", code=1).output.splitlines()

    assert [f"{photo}: No engine can be asked; see [reading] engines.  engine_unavailable", True] == [
        lines[0],
        lines[1].startswith("nothing.jpg: The photo cannot be read"),
    ]


def test_only_one_photo_can_be_drawn(house: Path) -> None:
    """Several photos and one name for a drawing are the caller's mistake; a name that is taken is told."""
    photos = [str(path) for path in (house / "uploads").iterdir()]
    (house / "out.png").write_bytes(b"mine")

    assert "one photo at a time" in call(house, "read", "--annotate", str(house / "a.png"), *photos, code=2).output
    told = CliRunner().invoke(
        cli.app, ["read", "--annotate", str(house / "out.png"), photos[0]], obj=Session(variables(house))
    )
    assert isinstance(told.exception, WatcherError)
    assert "nothing is overwritten" in told.exception.reason


def test_the_daemon_runs_until_it_is_told_to_stop(house: Path) -> None:
    """`run` goes on when there is nothing to do, and ends with 0."""
    (house / "data" / "journal.sqlite3").unlink()

    def stop() -> None:
        assert eventually((house / "data" / "journal.sqlite3").exists, 30)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    told = call(house, "run")
    thread.join()

    assert "daemon.stopped" in told.output
    assert "Drop photos into" not in told.output


def run_main(monkeypatch: pytest.MonkeyPatch, root: Path, *arguments: str, **more: str) -> int:
    """Run the whole program in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["matricula-watcher", *arguments])
    for name, value in (variables(root) | more).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_a_command_that_answers_tells_its_trouble_in_a_sentence(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, whatever the name that is in it, and with the exit code of the trouble."""
    fine = run_main(monkeypatch, house, "status")
    unknown = run_main(monkeypatch, house, "explain", "\x1b[2Jx\n.jpg")
    wrong = run_main(monkeypatch, house, "status", WATCHER_LOGS__LEVEL="loud")
    said = capsys.readouterr().err.splitlines()

    assert (0, 1, 78) == (fine, unknown, wrong)
    assert said[0].startswith(r"The journal knows no photo \x1b[2Jx")
    assert "\x1b" not in "".join(said)
    assert "WATCHER_LOGS__LEVEL must be" in said[-1]


def test_a_command_that_works_tells_its_trouble_in_the_log(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the log is what people watch, and machines read, the trouble is one more line of it."""
    (house / "data" / "registros.csv").write_text("a;b\n")
    code = run_main(monkeypatch, house, "once")
    last = json.loads(capsys.readouterr().err.splitlines()[-1])

    assert (74, "daemon.failed", "register_foreign") == (code, last["event"], last["code"])
    assert last["hint"]


def test_what_is_written_is_not_for_everybody(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plates are personal data: new files cannot be read by others."""
    shutil.rmtree(house / "data")
    (house / "data").mkdir()
    (house / "inbox" / "new.jpg").write_bytes(jpeg(9))
    run_main(monkeypatch, house, "once")

    modes = {path.name: path.stat().st_mode & 0o007 for path in (house / "data").iterdir()}
    assert {"registros.csv", "journal.sqlite3"} <= modes.keys()
    assert {0} == set(modes.values())
