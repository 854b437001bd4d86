"""Tests of watcher.bootstrap: settings in, a ready line out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.makers import Hands, jpeg
from tests.premises import drop
from watcher.bootstrap import Line, assemble, lone_chain, restart_for
from watcher.errors import RegisterForeign, SettingsInvalid
from watcher.model import NO_PLATE
from watcher.settings import Settings, load

Make = Callable[..., Settings]
Assemble = Callable[[Settings], Line]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Give a way to make settings for folders that exist, with no engine unless told otherwise."""
    for name in ("inbox", "uploads", "data"):
        (tmp_path / name).mkdir()
    least = {
        "WATCHER_HOME": str(tmp_path),
        "WATCHER_READING__ENGINES": "[]",
        "WATCHER_INBOX__WATCH": "poll",
    }
    return lambda **variables: load(config=None, environment=least | variables)


@pytest.fixture
def line_of(hands: Hands) -> Iterator[Assemble]:
    """Give a way to assemble lines; all are closed in the end."""
    lines: list[Line] = []

    def line_of(settings: Settings) -> Line:
        lines.append(assemble(settings, hands.clocks))
        return lines[-1]

    yield line_of
    for line in lines:
        line.close()


def work(line: Line, hands: Hands, turns: int = 8) -> None:
    """Let every lane do *turns* rounds, a second apart."""
    for _ in range(turns):
        hands.turn(1.0)
        for worker in line.workers:
            worker.round()


def rows(settings: Settings) -> list[str]:
    """Return the lines of the register below its header."""
    return (settings.folders.data / "registros.csv").read_text().splitlines()[1:]


def test_nothing_is_written(make: Make, line_of: Assemble, tmp_path: Path) -> None:
    """Assembling leaves the disk alone, so that other commands may do it."""
    line_of(make())
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [] == os.listdir(tmp_path / "data")


def test_lanes(make: Make, line_of: Assemble) -> None:
    """The keeper comes first, and there are as many readers, each with its chain, as the settings say."""
    line = line_of(make(WATCHER_READING__READERS="3"))

    expected = ["keeper", "reader-1", "reader-2", "reader-3", "registrar", "courier"]
    assert expected == [worker.lane.name for worker in line.workers]
    assert (3, 0.0) == (len(set(map(id, line.chains))), line.slowest)


def test_a_photo(make: Make, line_of: Assemble, hands: Hands) -> None:
    """A photo goes all the way to the register, as one on which nobody was to read anything."""
    settings = make()
    line = line_of(settings)
    line.prepare()
    drop(settings.folders.inbox, "gate/a.jpg", jpeg())
    work(line, hands)

    (row,) = rows(settings)
    (photo,) = settings.folders.uploads.iterdir()
    assert NO_PLATE in row
    assert row.endswith(photo.name)
    assert jpeg() == photo.read_bytes()


def test_prepare(make: Make, line_of: Assemble, hands: Hands) -> None:
    """What the last run had begun is taken over, and said."""
    settings = make()
    before = line_of(settings)
    before.prepare()
    drop(settings.folders.inbox, "a.jpg", jpeg())
    for _ in range(4):
        hands.turn(1.0)
        before.workers[0].round()
    assert 1 == len(before.journal.claim(["read"], now=hands.wall, limit=1))
    before.close()

    with capture_logs() as logs:
        line = line_of(settings)
        line.prepare()
    work(line, hands)
    assert [{"event": "journal.opened", "log_level": "info", "adopted": 1, "swept": 0}] == logs
    assert 1 == len(rows(settings))


def test_foreign_register(make: Make, line_of: Assemble) -> None:
    """With another's register in the data folder nothing starts, and the quarantine is not even made."""
    settings = make()
    (settings.folders.data / "registros.csv").write_text("name,price\n")

    with pytest.raises(RegisterForeign) as caught:
        line_of(settings).prepare()
    assert (74, True) == (caught.value.exit_code, "verify --repair" in caught.value.hint)
    assert not (settings.folders.data / "quarantine").exists()


def test_ring(make: Make, line_of: Assemble) -> None:
    """Ringing wakes every lane."""
    line = line_of(make())
    for worker in line.workers:
        worker.lane.bell.clear()
    line.ring()
    assert all(worker.lane.bell.is_set() for worker in line.workers)


def test_engine_without_a_key(make: Make, line_of: Assemble) -> None:
    """An engine that has no key is left out, which is said with the remedy."""
    line = line_of(make(WATCHER_READING__ENGINES='["openai", "tesseract"]'))
    with capture_logs() as logs:
        line.prepare()

    reason = "It has no key. Set OPENAI_API_KEY to use it."
    assert ["openai"] == [one.name for one in line.left_out]
    assert {"event": "reading.engine_skipped", "log_level": "warning", "engine": "openai", "reason": reason} in logs
    assert all(chain.waits for chain in line.chains)


def test_lean_installation(make: Make, line_of: Assemble, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local reader that is not installed is left out of the engines as shipped, with one warning, and no error."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    line = line_of(make(WATCHER_READING__ENGINES="openai,rapidocr,tesseract", OPENAI_API_KEY="sk-test"))
    with capture_logs() as logs:
        line.prepare()

    warned = [(log["event"], log["engine"]) for log in logs if log["log_level"] != "info"]
    assert [("reading.engine_skipped", "rapidocr")] == warned
    assert all(chain.waits for chain in line.chains)


def test_unknown_engine(make: Make, hands: Hands) -> None:
    """No line and no chain is made of an engine that does not exist."""
    settings = make(WATCHER_READING__ENGINES='["abacus"]')
    for build in (assemble, lone_chain):
        with pytest.raises(SettingsInvalid) as caught:
            build(settings, hands.clocks)
        assert ("There is no engine 'abacus'.", 78) == (caught.value.reason, caught.value.exit_code)


def test_adopt(make: Make, line_of: Assemble) -> None:
    """New settings reach the parts of a line that runs."""
    line = line_of(make())
    line.adopt(
        make(
            WATCHER_READING__ENGINES='["tesseract"]',
            WATCHER_INBOX__MAX_MEGABYTES="1",
            WATCHER_REGISTER__REPAIR_MISSING="true",
        )
    )

    assert 3 * (30.0 + 30.0) == line.slowest
    assert 1 << 20 == line.inbox._arrivals.patience.largest
    assert line.mender._wanted


def test_adopt_nothing(make: Make, line_of: Assemble) -> None:
    """Of settings with an error in one part, no part is taken."""
    line = line_of(make())
    largest = line.inbox._arrivals.patience.largest
    wrong = make(WATCHER_READING__ENGINES='["abacus"]', WATCHER_INBOX__MAX_MEGABYTES="1")

    with pytest.raises(SettingsInvalid):
        line.adopt(wrong)
    assert largest == line.inbox._arrivals.patience.largest


def test_separators(make: Make, hands: Hands) -> None:
    """A chain without a line knows whether hyphens are kept."""
    chains = [lone_chain(make(WATCHER_PLATES__SEPARATORS=kept), hands.clocks) for kept in ("true", "false")]
    for chain in chains:
        chain.close()

    assert [True, False] == [chain._links.separators for chain in chains]


def test_restart(make: Make, tmp_path: Path) -> None:
    """Only folders, the way of watching and the number of readers need a restart."""
    old = make()
    other = make(
        WATCHER_FOLDERS__DATA=str(tmp_path / "other"), WATCHER_INBOX__WATCH="native", WATCHER_READING__READERS="5"
    )

    assert [] == restart_for(old, make(WATCHER_INBOX__MAX_MEGABYTES="1", WATCHER_LOGS__LEVEL="error"))
    assert ["[folders]", "[inbox] watch", "[reading] readers"] == restart_for(old, other)
