"""Who works on a data folder: one process, which others can name."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from watcher.errors import AlreadyRunning, DiskUnusable
from watcher.lock import NAME, holder, is_ours, locked

HOLD = """
import sys
from pathlib import Path
from watcher.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_holder_is_named_while_it_holds_the_lock(tmp_path: Path) -> None:
    """Whoever asks learns our process id, and that nobody is there before and after."""
    assert holder(tmp_path) is None
    with locked(tmp_path):
        assert os.getpid() == holder(tmp_path)
    assert holder(tmp_path) is None


def test_a_second_one_is_turned_away(tmp_path: Path) -> None:
    """It ends with 75 and a remedy, and leaves the first one's lock and id alone."""
    with locked(tmp_path):
        with pytest.raises(AlreadyRunning) as caught, locked(tmp_path):
            pass
        assert os.getpid() == holder(tmp_path)

    assert (75, True) == (caught.value.exit_code, str(tmp_path) in caught.value.reason)
    assert "Stop it first, or use another data folder." == caught.value.hint


def test_the_lock_is_let_go_when_the_work_fails(tmp_path: Path) -> None:
    """An error passes through, and the next one may work."""
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError

    with locked(tmp_path):
        assert os.getpid() == holder(tmp_path)


def test_a_killed_holder_leaves_no_lock_behind(tmp_path: Path) -> None:
    """After a kill -9 the file still tells a process id, but nobody believes it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert "held\n" == child.stdout.readline()
        assert child.pid == holder(tmp_path)
        child.kill()

    assert f"{child.pid}\n" == (tmp_path / NAME).read_text()
    assert holder(tmp_path) is None


def test_nothing_is_left_of_a_longer_id(tmp_path: Path) -> None:
    """What a former holder wrote does not show behind our own id."""
    (tmp_path / NAME).write_text("99999999999999\n")

    with locked(tmp_path):
        assert f"{os.getpid()}\n" == (tmp_path / NAME).read_text()


def test_a_holder_that_does_not_say_who_it_is_is_nought(tmp_path: Path) -> None:
    """On a full disk the lock is held without an id, and that is not the same as nobody."""
    with (tmp_path / NAME).open("w") as silent:
        fcntl.flock(silent, fcntl.LOCK_EX)

        assert 0 == holder(tmp_path)


def test_somebody_who_only_asks_does_not_turn_us_away(tmp_path: Path) -> None:
    """Asking for the holder takes the lock for a moment, which is waited out."""
    asking = (tmp_path / NAME).open("w")
    fcntl.flock(asking, fcntl.LOCK_SH)
    leaving = threading.Timer(0.1, asking.close)
    leaving.start()

    with locked(tmp_path):
        assert os.getpid() == holder(tmp_path)
    leaving.join()


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """Nobody can make us empty a file elsewhere: the start ends with 74 and a remedy."""
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / NAME).symlink_to(precious)

    with pytest.raises(DiskUnusable) as caught, locked(tmp_path):
        pass

    assert (74, "Look at its disk and its rights.") == (caught.value.exit_code, caught.value.hint)
    assert "kept" == precious.read_text()
    assert holder(tmp_path) is None


def test_without_the_folder_there_is_no_lock(tmp_path: Path) -> None:
    """A folder that is missing is said to be, and nobody works on it."""
    with pytest.raises(DiskUnusable, match="No such file or directory"), locked(tmp_path / "missing"):
        pass

    assert holder(tmp_path / "missing") is None


def test_whose_lock_it_is(tmp_path: Path) -> None:
    """Where nobody has worked yet, the next one may be us; where root has, nobody else judges rights for it."""
    assert is_ours(tmp_path)
    with locked(tmp_path):
        assert is_ours(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).symlink_to(NAME)
    assert not is_ours(tmp_path)
