"""The demonstration, as a process of its own."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.scripted_openai import Scripted
from watcher.demo import VEHICLES, show

SECONDS = 45.0


class Shown(NamedTuple):
    """What a demonstration left: exit code, both outputs, seconds, its temporary folder, questions to the API."""

    code: int
    out: str
    err: str
    seconds: float
    temporary: Path
    questions: int


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """Show it once, in an environment that would break it or make it pay if it were listened to."""
    temporary = tmp_path_factory.mktemp("temporary")
    with Scripted() as server:
        hostile = {
            "TMPDIR": str(temporary),
            "OPENAI_API_KEY": "sk-test-0123456789",
            "WATCHER_ENGINES__OPENAI__BASE_URL": server.url,
            "WATCHER_CONFIG": "/nowhere/at/all.toml",
            "WATCHER_FOLDERS__INBOX": "/nowhere/at/all",
            "WATCHER_READING__READERS": "none",
            "WATCHER_NO__SUCH_SETTING": "1",
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "watcher.demo"],
            env=dict(os.environ) | hostile,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=2 * SECONDS,
            check=False,
        )
        seconds = time.monotonic() - began
        return Shown(done.returncode, done.stdout, done.stderr, seconds, temporary, len(server.asked))


def test_it_ends_well_and_soon(shown: Shown) -> None:
    """It says itself that all is right, within the time that somebody who tries it is willing to wait."""
    assert 0 == shown.code, shown.err
    assert SECONDS > shown.seconds
    assert "Rows right: all three." in shown.out


def test_the_three_rows_are_right(shown: Shown) -> None:
    """Each vehicle has one row with its own facts, and the three ids follow each other."""
    rows = [row for row in csv.reader(shown.out.splitlines()) if len(row) == 7]

    assert ["1", "2", "3"] == [row[0] for row in rows]
    assert sorted(tuple(vehicle.sidecar.values()) for vehicle in VEHICLES) == sorted(tuple(row[3:6]) for row in rows)
    plates = {vehicle.plate for vehicle in VEHICLES} | {"NO_DETECTADA"}
    assert [] == [row for row in rows if row[2] not in plates]


def test_the_three_photos_are_named(shown: Shown) -> None:
    """The new names of the photos are printed: different ones, those of the rows, each with its true ending."""
    (line,) = re.findall(r"^Photos: (.*)$", shown.out, re.MULTILINE)
    names = line.split(", ")

    assert ["jpg", "jpg", "png"] == sorted(name.rpartition(".")[2] for name in names)
    assert [] == [name for name in names if not re.fullmatch(r"matricula_\d{8}_\d{6}(_\d+)?\.(jpg|png)", name)]
    assert sorted(names) == sorted(row[6] for row in csv.reader(shown.out.splitlines()) if len(row) == 7)


def test_it_asks_nobody_and_leaves_nothing(shown: Shown) -> None:
    """A key that lies in the environment is not used, and the temporary folder is as empty as before."""
    assert 0 == shown.questions
    assert [] == list(shown.temporary.iterdir())


def test_it_names_no_file_that_is_gone(shown: Shown) -> None:
    """What it prints at the end does not send anybody to a register that was removed with its folder."""
    after = shown.out.partition("\n\n")[2]

    assert str(shown.temporary) not in after
    assert "data/registros.csv" in after


def test_a_daemon_that_ends_at_once_is_not_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    """It is told below the last words of the daemon, with the exit code, long before the time is up."""
    began = time.monotonic()
    code = show([sys.executable, "-c", "raise SystemExit('The disk is on fire.')"], seconds=10 * SECONDS)
    out, err = capfd.readouterr()

    assert (1, True) == (code, time.monotonic() - began < SECONDS)
    assert "Rows right: NO." in out
    assert err.startswith("The disk is on fire.\n")
    assert "The daemon ended by itself, with exit code 1;" in err


def test_a_daemon_that_writes_nothing_is_ended(capfd: pytest.CaptureFixture[str]) -> None:
    """When the time is up that is said, and the daemon is gone."""
    waits = (
        "import signal, sys; signal.signal(15, lambda *_: sys.exit('Enough.')); print(1, flush=True); signal.pause()"
    )
    code = show([sys.executable, "-c", waits], seconds=2.0)
    err = capfd.readouterr().err

    assert 1 == code
    assert "Rows are still missing after 2 s;" in err
    assert err.endswith("Enough.\n")
