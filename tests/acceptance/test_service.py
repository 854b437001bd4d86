"""The real program as a service manager sees it: what it says, how it stops, what it leaves behind."""

from __future__ import annotations

import re
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from tests.acceptance.house import PATIENCE, House
from tests.makers import eventually, jpeg
from tests.scripted_openai import KEY, Scripted, Step, says

WATCHDOG_SECONDS = 2.0


@dataclass(frozen=True)
class Said:
    """One datagram: when it came, by the monotonic clock, and what stood in the log by then."""

    at: float
    text: str
    log: str


class Manager:
    """The socket of a service manager at *address*; everything that it is told is kept."""

    def __init__(self, address: str, house: House) -> None:
        self.heard: list[Said] = []
        self._house = house
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def times(self, text: str) -> list[float]:
        """Return when *text* was said."""
        return [said.at for said in self.heard if said.text == text]

    def texts(self, *beside: str) -> list[str]:
        """Return what was said, without the pings and *beside*."""
        return [said.text for said in self.heard if not said.text.startswith(("WATCHDOG=1", *beside))]

    def _listen(self) -> None:
        while heard := self._socket.recv(4096):
            log = self._house.log.read_text(encoding="utf-8")
            self.heard.append(Said(time.monotonic(), heard.decode(), log))


Hire = Callable[[str, House], Manager]


@pytest.fixture
def hire() -> Iterator[Hire]:
    """Give a function that makes a service manager; all of them go at the end."""
    hired: list[Manager] = []

    def make(address: str, house: House) -> Manager:
        hired.append(Manager(address, house))
        return hired[-1]

    yield make
    for manager in hired:
        manager.close()


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house in which nothing is read."""
    return House(tmp_path)


def _asking(root: Path, server: Scripted) -> House:
    """Return a house with one reader that asks *server* and nobody else, and would wait for ten minutes."""
    return House(
        root,
        f'readers = 1\ndeadline_seconds = 600\n[engines.openai]\nbase_url = "{server.url}"\n[logs]\nlevel = "debug"\n',
        engines='["openai"]',
    )


def _hangs(house: House, server: Scripted) -> None:
    """Drop a photo and wait until the daemon asks about it, in vain."""
    (house.inbox / "photo.jpg").write_bytes(jpeg())
    assert eventually(lambda: server.asked, PATIENCE), house.events()


def _children(house: House) -> list[int]:
    return [line["pid"] for line in house.said("child.started")]


def _is_gone(pid: int) -> bool:
    """Say whether a process runs no more; one that nobody has collected yet does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_it_is_ready_once_the_inbox_is_watched(tmp_path: Path, house: House, hire: Hire, kind: str) -> None:
    """READY=1 comes once, after the watch stands, and STOPPING=1 last, to both kinds of address."""
    address = str(tmp_path / "notify") if kind == "path" else f"@matricula-watcher-{uuid4().hex}"
    manager = hire(address, house)
    with house.running(**manager.environment) as daemon:
        assert eventually(lambda: manager.times("READY=1"), PATIENCE)
        assert _watches(daemon.process.pid, house.inbox)
        assert eventually(lambda: manager.texts("READY=1"), PATIENCE)

    (ready,) = [said for said in manager.heard if said.text == "READY=1"]
    assert '"inbox.watching"' in ready.log
    assert ready.text == manager.heard[0].text
    assert ["READY=1", "STATUS=0 photos registered, 0 acts owed.", "STOPPING=1"] == manager.texts()


def _watches(pid: int, folder: Path) -> bool:
    """Say whether a process has an inotify watch on *folder*; proc_pid_fdinfo(5)."""
    wanted = f"inotify wd:1 ino:{folder.stat().st_ino:x} "
    infos = [info.read_text(encoding="ascii") for info in Path(f"/proc/{pid}/fdinfo").iterdir()]
    return any(wanted in info for info in infos)


def test_the_watchdog_is_fed_in_time_and_not_by_a_process_that_stands_still(
    tmp_path: Path, house: House, hire: Hire
) -> None:
    """Pings come at least every half of WATCHDOG_USEC, none while the process is stopped, and then they go on."""
    manager = hire(str(tmp_path / "notify"), house)
    with house.running(**manager.environment) as daemon:
        assert eventually(lambda: len(manager.times("WATCHDOG=1")) >= 6, PATIENCE)
        pings = manager.times("WATCHDOG=1")
        daemon.signal(signal.SIGSTOP)
        assert not eventually(lambda: manager.times("WATCHDOG=1")[-1] - pings[-1] > 1.5, 3.0)
        stopped = len(manager.times("WATCHDOG=1"))
        daemon.signal(signal.SIGCONT)
        assert eventually(lambda: len(manager.times("WATCHDOG=1")) > stopped, PATIENCE)

    gaps = [later - sooner for sooner, later in pairwise(pings)]
    assert statistics.median(gaps) <= WATCHDOG_SECONDS / 2
    assert max(gaps) < WATCHDOG_SECONDS


def test_a_reload_is_announced_and_ended(tmp_path: Path, house: House, hire: Hire) -> None:
    """SIGHUP gives RELOADING=1 with the time, then READY=1 again, also when the new settings are wrong."""
    manager = hire(str(tmp_path / "notify"), house)
    with house.running(**manager.environment) as daemon:
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.signal(signal.SIGHUP)
        assert eventually(lambda: len(manager.times("READY=1")) == 2, PATIENCE)
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        house.config.write_text("nonsense", encoding="utf-8")
        daemon.signal(signal.SIGHUP)
        assert eventually(lambda: len(manager.times("READY=1")) == 3, PATIENCE)

    said = manager.texts("STATUS=")
    reloading = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", said[1])
    assert reloading, said
    assert before <= int(reloading[1]) <= after
    assert ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"] == [
        text.partition("=")[0] for text in said
    ]


def test_told_to_stop_while_an_engine_hangs_it_gives_the_photo_back_in_time(tmp_path: Path, hire: Hire) -> None:
    """It pings while it waits, ends within 15 s with 0, and the next start reads the photo as if for the first time."""
    with Scripted(Step(way="hang"), says("9999 ZZZ")) as server:
        house = _asking(tmp_path, server)
        manager = hire(str(tmp_path / "notify"), house)
        with house.start(OPENAI_API_KEY=KEY, **manager.environment) as daemon:
            _hangs(house, server)
            pings = len(manager.times("WATCHDOG=1"))
            assert eventually(lambda: len(manager.times("WATCHDOG=1")) > pings + 1, PATIENCE)
            began = time.monotonic()
            assert 0 == daemon.stop()
            assert time.monotonic() - began < 15
            assert eventually(lambda: all(map(_is_gone, _children(house))), 2.0)
        assert [] == house.rows()
        with house.running(OPENAI_API_KEY=KEY):
            (row,) = house.wait_rows(1)

    assert "9999ZZZ" == row["matricula"]
    assert 2 == len(server.asked)
    assert [0, 0] == [line["adopted"] for line in house.said("journal.opened")]
    assert [] == house.said("worker.deferred") + house.said("worker.crashed")


def test_told_twice_it_leaves_at_once(tmp_path: Path) -> None:
    """The second SIGTERM is obeyed as if it were a power cut: the photo is adopted and read after the next start."""
    with Scripted(Step(way="hang"), says("9999 ZZZ")) as server:
        house = _asking(tmp_path, server)
        with house.start(OPENAI_API_KEY=KEY) as daemon:
            _hangs(house, server)
            daemon.signal(signal.SIGTERM)
            assert eventually(lambda: house.said("daemon.stopping"), PATIENCE)
            began = time.monotonic()
            assert 143 == daemon.stop()
            assert time.monotonic() - began < 3
            assert eventually(lambda: all(map(_is_gone, _children(house))), 2.0)
        with house.running(OPENAI_API_KEY=KEY):
            (row,) = house.wait_rows(1)

    assert "9999ZZZ" == row["matricula"]
    assert [0, 1] == [line["adopted"] for line in house.said("journal.opened")]


def test_its_children_do_not_outlive_it(tmp_path: Path) -> None:
    """When the daemon is killed, whoever decodes and whoever asks are gone within two seconds."""
    with Scripted(Step(way="hang")) as server:
        house = _asking(tmp_path, server)
        with house.start(OPENAI_API_KEY=KEY) as daemon:
            _hangs(house, server)
            children = _children(house)
            assert 2 == len(children)
            assert not any(map(_is_gone, children))
            assert {daemon.process.pid} == {_parent(pid) for pid in children}
            daemon.kill()
            assert eventually(lambda: all(map(_is_gone, children)), 2.0)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
