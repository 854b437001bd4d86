"""An inbox that stops answering, and one that is taken away and put back: the rest of the program goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.house import PATIENCE, House
from tests.makers import eventually, jpeg
from tests.scripted_openai import KEY, Scripted, says

BINDFS = shutil.which("bindfs")
SCAN = 10.0
"""Seconds between two listings of an inbox in which nothing stirs."""
BUSY = 4.0
"""Seconds that a busy machine may take beside that."""
SETTLED = "[inbox]\nsettle_seconds = 0.2\n"

needs_share = pytest.mark.skipif(
    BINDFS is None or not Path("/dev/fuse").exists() or os.geteuid() != 0,
    reason="bindfs or /dev/fuse is not there, or we are not root, so no share can be made to hang",
)


class Share:
    """A folder that is reached through another process, as a network share is: *far* is the disk behind *near*."""

    def __init__(self, root: Path) -> None:
        assert BINDFS is not None
        self.far, self.near = root / "far", root / "near"
        for folder in (self.far, self.near):
            folder.mkdir()
        self._server = subprocess.Popen([BINDFS, "-f", str(self.far), str(self.near)], stdin=subprocess.DEVNULL)
        assert eventually(self.near.is_mount, PATIENCE)

    def hang(self) -> None:
        """Answer nothing any more."""
        self._server.send_signal(signal.SIGSTOP)

    def answer(self) -> None:
        """Answer again, what was asked meanwhile included."""
        self._server.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Take it away."""
        self.answer()
        subprocess.run(["umount", "--lazy", str(self.near)], check=False, timeout=PATIENCE)
        self._server.terminate()
        self._server.wait(PATIENCE)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """Give a share that is taken away in the end."""
    share = Share(tmp_path)
    try:
        yield share
    finally:
        share.close()


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """The block takes less than so many seconds."""
    began = time.monotonic()
    yield
    assert seconds > time.monotonic() - began


def _drop(folder: Path, number: int) -> None:
    aside = folder / f".{number}"
    aside.write_bytes(jpeg(number))
    aside.rename(folder / f"{number}.jpg")


@needs_share
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_inbox_that_hangs_holds_up_nothing_else(tmp_path: Path, share: Share) -> None:
    """Photos stored before get their rows, the trouble is said once, and what came meanwhile is taken later."""
    with Scripted(replace(says("1234 BCD"), delay=4.0)) as server:
        openai = f'[engines.openai]\napi_key = "{KEY}"\nbase_url = "{server.url}"\n'
        house = House(tmp_path, SETTLED + openai, engines='["openai"]', inbox=share.near)
        with house.running():
            for number in range(3):
                _drop(share.near, number)
            assert eventually(lambda: len(house.said("intake.stored")) == 3, PATIENCE), house.events()
            share.hang()
            assert len(house.rows()) < 3
            rows = house.wait_rows(3)
            assert ["1234BCD"] * 3 == [row["matricula"] for row in rows]

            assert eventually(lambda: house.said("inbox.unreachable"), 2 * PATIENCE), house.events()
            with _within(10.0):
                status = house.command("status")
            assert 1 == status.returncode
            assert f"{share.near}  CANNOT BE REACHED" in status.stdout
            assert "registered   3" in status.stdout
            with _within(10.0):
                assert not house.ask("status", code=1)["reachable"]

            _drop(share.far, 3)
            share.answer()
            house.wait_rows(4)
            assert eventually(lambda: house.said("inbox.reachable"), PATIENCE)
    (lost,) = house.said("inbox.unreachable")
    assert (str(share.near), "does not answer", "error") == (lost["folder"], lost["reason"], lost["level"])
    assert 1 == len(house.said("inbox.reachable"))
    assert [] == house.said("worker.crashed")


@needs_share
def test_it_ends_in_time_while_the_inbox_hangs(tmp_path: Path, share: Share) -> None:
    """SIGTERM ends the process within fifteen seconds, and names the thread that it leaves behind."""
    house = House(tmp_path, SETTLED, inbox=share.near)
    with house.start() as daemon:
        _drop(share.near, 0)
        house.wait_rows(1)
        share.hang()
        # The next look, two seconds later, hangs.
        assert not eventually(lambda: daemon.process.poll() is not None, 3.0)
        with _within(15.0):
            assert 0 == daemon.stop()

    assert ["keeper"] == house.events()[-1]["hanging"]
    share.answer()
    _drop(share.near, 1)
    with house.running():
        house.wait_rows(2)
    assert 0 == house.command("verify").returncode


def _remove(inbox: Path) -> None:
    inbox.rmdir()
    inbox.mkdir()


def _rename(inbox: Path) -> None:
    inbox.rename(inbox.with_name("old"))
    inbox.mkdir()


def _leave_away(inbox: Path) -> None:
    """Take it away for as long as it takes to notice."""
    inbox.rmdir()
    eventually(lambda: False, 1.5)
    inbox.mkdir()


def _replace(inbox: Path) -> None:
    """Put another folder in its place, which has a photo in it already."""
    other = inbox.with_name("other")
    other.mkdir()
    _drop(other, 7)
    inbox.rename(inbox.with_name("old"))
    other.rename(inbox)


@pytest.mark.parametrize("change", [_remove, _rename, _leave_away, _replace])
def test_an_inbox_that_is_made_anew_is_watched_again(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Photos in the new folder are taken before a scan interval is over, and its events are heard."""
    house = House(tmp_path)
    with house.running():
        _drop(house.inbox, 0)
        house.wait_rows(1)
        change(house.inbox)
        already = len(list(house.inbox.glob("*.jpg")))
        for number in range(1, 4):
            _drop(house.inbox, number)
            with _within(SCAN + BUSY):
                house.wait_rows(1 + already + number)
        assert eventually(house.is_empty)

    assert 2 <= len(house.said("inbox.watching") + house.said("inbox.rebuilt"))
    assert len(house.rows()) == len({row["imagen"] for row in house.rows()})
    assert [] == house.said("worker.crashed")
    assert 0 == house.command("verify").returncode
