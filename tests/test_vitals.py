"""Tests of watcher.vitals: how a line is, as the service manager and the lanes hear it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.makers import Hands, jpeg
from tests.premises import drop
from watcher.bootstrap import Line, assemble
from watcher.chain import forged
from watcher.errors import EngineUnavailable
from watcher.journal import Journal
from watcher.journal.connection import Connection
from watcher.model import Reading
from watcher.reader import ReaderOptions
from watcher.service import Supervisor
from watcher.settings import load
from watcher.vitals import Vitals

WATCHDOG = {"WATCHDOG_USEC": "40000000"}


@pytest.fixture
def line(tmp_path: Path, hands: Hands) -> Iterator[Line]:
    """Give a line that is ready to be started, without an engine."""
    for name in ("inbox", "uploads", "data"):
        (tmp_path / name).mkdir()
    environment = {
        "WATCHER_HOME": str(tmp_path),
        "WATCHER_READING__ENGINES": "[]",
        "WATCHER_INBOX__WATCH": "poll",
    }
    line = assemble(load(config=None, environment=environment), hands.clocks)
    line.prepare()
    yield line
    line.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Give a socket on which the service manager listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(0.0)
        yield channel


@pytest.fixture
def vitals(line: Line, hands: Hands, manager: socket.socket) -> Vitals:
    """Give the vitals of the line, with a watchdog of 40 seconds."""
    return Vitals(line, Supervisor({"NOTIFY_SOCKET": manager.getsockname()} | WATCHDOG), hands.clocks)


def heard(manager: socket.socket) -> list[str]:
    """Return what the manager was told since it was last asked."""
    told = []
    while True:
        try:
            told.append(manager.recv(1000).decode())
        except BlockingIOError:
            return told


def work(line: Line, hands: Hands, turns: int = 8) -> None:
    """Let every lane do *turns* rounds, a second apart."""
    for _ in range(turns):
        hands.turn(1.0)
        for worker in line.workers:
            worker.round()


def test_ready(vitals: Vitals, line: Line, manager: socket.socket) -> None:
    """It is ready once the keeper has looked, and says so once."""
    vitals.beat()
    assert (False, False) == (vitals.ready, "READY=1" in heard(manager))

    line.workers[0].round()
    vitals.beat()
    vitals.beat()
    assert (True, ["READY=1"]) == (vitals.ready, heard(manager))


def test_watchdog(vitals: Vitals, manager: socket.socket, hands: Hands) -> None:
    """The watchdog is fed four times in its interval, and not at every beat."""
    pings = 0
    for _ in range(40):
        vitals.beat()
        pings += heard(manager).count("WATCHDOG=1")
        hands.turn(1.0)

    assert 4 == pings


def test_stuck(vitals: Vitals, line: Line, manager: socket.socket, hands: Hands) -> None:
    """A lane without progress for three minutes stops the feeding, until it goes on."""
    line.workers[-1].busy_since = hands.monotonic
    hands.turn(180.0)
    vitals.beat()
    assert "WATCHDOG=1" in heard(manager)

    hands.turn(11.0)
    vitals.beat()
    assert "WATCHDOG=1" not in heard(manager)

    line.workers[-1].busy_since = None
    vitals.beat()
    assert "WATCHDOG=1" in heard(manager)


def test_hanging(vitals: Vitals, line: Line, manager: socket.socket, hands: Hands) -> None:
    """A look that hangs is the share's fault: it is said once, and we are ready and well all the same."""
    keeper, folder = line.workers[0], str(line.inbox.sentry.root)
    keeper.busy_since, keeper.looking = hands.monotonic, True
    hands.turn(30.0)
    with capture_logs() as logs:
        vitals.beat()
        assert not vitals.unreachable
        for _ in range(2):
            hands.turn(200.0)
            vitals.beat()
    told = heard(manager)

    lost = {"event": "inbox.unreachable", "log_level": "error", "folder": folder, "reason": "does not answer"}
    assert [lost, {"event": "daemon.ready", "log_level": "info"}] == logs
    assert (3, f"STATUS=The inbox {folder} cannot be reached.") == (told.count("WATCHDOG=1"), told[-1])
    assert (True, False) == (vitals.unreachable, vitals.idle())


def test_hanging_ends(vitals: Vitals, line: Line, hands: Hands) -> None:
    """When the look comes back, that is said once too."""
    keeper = line.workers[0]
    keeper.busy_since, keeper.looking = hands.monotonic, True
    hands.turn(31.0)
    vitals.beat()
    keeper.busy_since, keeper.looking = None, False
    with capture_logs() as logs:
        vitals.beat()
        vitals.beat()

    assert [{"event": "inbox.reachable", "log_level": "info", "folder": str(line.inbox.sentry.root)}] == logs
    assert not vitals.unreachable


def test_hanging_ends_badly(vitals: Vitals, line: Line, hands: Hands) -> None:
    """When the look comes back with an error, nobody says that the inbox can be reached."""
    keeper = line.workers[0]
    keeper.busy_since, keeper.looking = hands.monotonic, True
    hands.turn(31.0)
    vitals.beat()
    line.inbox.sentry.root.rmdir()
    keeper.busy_since, keeper.looking = None, False
    work(line, hands, turns=3)
    with capture_logs() as logs:
        vitals.beat()

    assert "inbox.reachable" not in [log["event"] for log in logs]
    assert vitals.unreachable


def test_only_the_keeper_may_hang(vitals: Vitals, line: Line, manager: socket.socket, hands: Hands) -> None:
    """The registrar looks at the register, on a disk of ours: a look of its own that hangs is no excuse."""
    registrar = next(worker for worker in line.workers if worker.lane.name == "registrar")
    registrar.busy_since, registrar.looking = hands.monotonic, True
    hands.turn(181.0)
    vitals.beat()

    assert "WATCHDOG=1" not in heard(manager)


def test_a_slow_engine(line: Line, vitals: Vitals, manager: socket.socket, hands: Hands, tmp_path: Path) -> None:
    """A reader has all the time that the operator gives its engines, also if that is more than three minutes."""
    environment = {"WATCHER_HOME": str(tmp_path), "WATCHER_READING__ENGINES": "tesseract"}
    line.adopt(load(config=None, environment=environment | {"WATCHER_READING__DEADLINE_SECONDS": "300"}))
    line.workers[1].busy_since = hands.monotonic
    hands.turn(600.0)
    vitals.beat()
    assert "WATCHDOG=1" in heard(manager)

    hands.turn(600.0)
    vitals.beat()
    assert "WATCHDOG=1" not in heard(manager)


def test_working_is_not_hanging(vitals: Vitals, line: Line, hands: Hands) -> None:
    """A keeper that is long at its acts does not make the inbox unreachable."""
    line.workers[0].busy_since = hands.monotonic
    hands.turn(60.0)
    vitals.beat()
    assert (False, False) == (vitals.unreachable, vitals.ready)


def test_status(vitals: Vitals, line: Line, manager: socket.socket, hands: Hands) -> None:
    """The sentence for the status counts photos and acts, every ten seconds."""
    vitals.beat()
    drop(line.inbox.sentry.root, "a.jpg", jpeg())
    work(line, hands, turns=9)
    vitals.beat()
    hands.turn(1.0)
    vitals.beat()

    told = [state for state in heard(manager) if state.startswith("STATUS=")]
    assert ["STATUS=0 photos registered, 0 acts owed.", "STATUS=1 photo registered, 0 acts owed."] == told


def test_without_journal(vitals: Vitals, line: Line, hands: Hands, tmp_path: Path) -> None:
    """A journal that cannot be asked is what the status says; when it is back, changes are noticed as before."""
    vitals.beat()
    line.connection.close()
    (tmp_path / "data").rename(tmp_path / "moved")
    hands.turn(1.0)
    vitals.beat()
    assert f"The journal {tmp_path}/data/journal.sqlite3 cannot be used" in vitals.sentence()

    (tmp_path / "moved").rename(tmp_path / "data")
    hands.turn(1.0)
    vitals.beat()
    line.workers[1].lane.bell.clear()
    other = Connection(tmp_path / "data")
    with other.turn(writing=True) as db:
        db.execute("PRAGMA user_version = 1")
    other.close()
    hands.turn(1.0)
    vitals.beat()
    assert line.workers[1].lane.bell.is_set()


def test_nobody_listens(line: Line, hands: Hands) -> None:
    """Without a service manager it beats all the same."""
    vitals = Vitals(line, Supervisor({}), hands.clocks)
    work(line, hands, turns=1)
    vitals.beat()
    assert vitals.ready


def test_idle(vitals: Vitals, line: Line, hands: Hands) -> None:
    """It is idle when it has looked and nothing stirs, is due or in work."""
    vitals.beat()
    assert not vitals.idle()

    work(line, hands)
    vitals.beat()
    assert vitals.idle()
    line.inbox.stir()
    assert not vitals.idle()
    work(line, hands)
    line.workers[1].busy_since = hands.monotonic
    assert not vitals.idle()


def test_not_idle(vitals: Vitals, line: Line, hands: Hands) -> None:
    """A photo that is stored and owes its row keeps it from being idle."""
    drop(line.inbox.sentry.root, "a.jpg", jpeg())
    for _ in range(8):
        hands.turn(1.0)
        line.workers[0].round()
    vitals.beat()
    assert line.inbox.idle()
    assert not vitals.idle()

    work(line, hands)
    assert vitals.idle()


def test_idle_without_room(vitals: Vitals, line: Line, hands: Hands, tmp_path: Path) -> None:
    """A photo that cannot be taken in is waited for a while, and left when that failed three times in a row."""
    drop(tmp_path / "inbox", "one.jpg", jpeg())
    (tmp_path / "uploads").rename(tmp_path / "moved")
    seen = []
    for _ in range(12):
        work(line, hands, 1)
        vitals.beat()
        seen.append(vitals.idle())

    assert [False, False] == seen[:2]
    assert seen[-1]
    (tmp_path / "moved").rename(tmp_path / "uploads")
    work(line, hands, 40)
    assert [] == list((tmp_path / "inbox").iterdir())


def test_idle_without_journal(vitals: Vitals, line: Line, hands: Hands, tmp_path: Path) -> None:
    """When the journal stays away and every lane has tried in vain, there is nothing to wait for."""
    work(line, hands)
    vitals.beat()
    line.connection.close()
    (tmp_path / "data").rename(tmp_path / "moved")
    assert not vitals.idle()

    work(line, hands, 12)
    assert vitals.idle()


def test_retry(vitals: Vitals, line: Line, hands: Hands, tmp_path: Path) -> None:
    """A write of another process, as `retry` makes, ends the pause of an engine that is left alone; our own do not."""
    links = forged(ReaderOptions(("away",)), 0.5, lambda: 0.0)
    breaker = links.breakers["away"]
    for chain in line.chains:
        chain.adopt(links)
    with pytest.raises(EngineUnavailable):
        breaker.call(_away)
    drop(line.inbox.sentry.root, "a.jpg", jpeg())
    vitals.beat()
    line.workers[0].round()
    hands.turn(1.0)
    vitals.beat()
    before = breaker.state.state
    other = Connection(tmp_path / "data")
    Journal(other).register_again(["a.jpg"])
    with other.turn(writing=True) as db:
        db.execute("PRAGMA user_version = 1")
    other.close()
    hands.turn(1.0)
    vitals.beat()

    assert ("open", "closed") == (before, breaker.state.state)


def _away() -> Reading:
    raise EngineUnavailable("Later.", retry_after=600.0)


def test_changes(vitals: Vitals, line: Line, hands: Hands, tmp_path: Path) -> None:
    """What another process writes to the journal rings every lane, within half a second and once."""
    drop(line.inbox.sentry.root, "a.jpg", jpeg())
    work(line, hands)
    vitals.beat()
    for worker in line.workers:
        worker.lane.bell.clear()
    (name,) = (path.name for path in (tmp_path / "uploads").iterdir())
    other = Connection(tmp_path / "data")
    assert 1 == Journal(other).register_again([name])
    other.close()
    rung = []
    for seconds in (0.25, 0.25, 0.5):
        hands.turn(seconds)
        vitals.beat()
        rung.append([worker.lane.bell.is_set() for worker in line.workers])
        for worker in line.workers:
            worker.lane.bell.clear()

    every = len(line.workers)
    assert [[False] * every, [True] * every, [False] * every] == rung
