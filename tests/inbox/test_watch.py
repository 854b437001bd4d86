"""watchdog, as it is and not as it is remembered: what wakes us, and how it stops doing so without a word."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD
from watchdog.utils import BaseThread

from tests.inbox.doors import put
from tests.makers import eventually
from watcher.inbox.watch import Watch

LIMIT = Path("/proc/sys/user/max_inotify_watches")
LIMITED = """
import os, sys, threading
from pathlib import Path
from watcher.inbox.watch import Watch
root, limit = Path(sys.argv[1]), sys.argv[2]
Path("/proc/sys/user/max_inotify_" + sys.argv[3]).write_text(limit)
before = threading.active_count(), len(os.listdir("/proc/self/fd"))
for _ in range(3):
    watch = Watch(root, lambda: None)
    try:
        watch.start()
        print("count", watch.count(), repr(watch.ailment()))
    except OSError as error:
        print("error", error.errno)
    watch.stop()
print("left", before == (threading.active_count(), len(os.listdir("/proc/self/fd"))))
"""


class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        """Ring it."""
        self.rung += 1

    def rings(self, act: Callable[[], object]) -> bool:
        """Return whether *act* makes it ring."""
        before = self.rung
        act()
        return eventually(lambda: self.rung > before, 5.0)


@pytest.fixture
def bell() -> Bell:
    """Give a bell."""
    return Bell()


@pytest.fixture
def watch(root: bytes, bell: Bell) -> Iterator[Watch]:
    """Give a watch of the inbox that stands."""
    started = Watch(Path(os.fsdecode(root)), bell)
    started.start()
    yield started
    started.stop()


def rename(source: bytes, target: bytes) -> Callable[[], None]:
    """Return the act of renaming."""
    return lambda: os.rename(source, target)


def write(path: bytes) -> Callable[[], object]:
    """Return the act of writing to a file that is there."""

    def act() -> None:
        with open(path, "r+b") as file:
            file.write(b"y")

    return act


# What is heard


@pytest.mark.usefixtures("watch")
def test_what_cameras_do_is_heard(root: bytes, bell: Bell, tmp_path: Path) -> None:
    """New files, renames and links in, renames inside, writing to a file, new folders, and files in those."""
    outside = put(os.fsencode(tmp_path), b"outside.jpg", b"x")
    inside = os.path.join(root, b"a.jpg")

    assert bell.rings(lambda: put(root, b"gate/new.jpg", b"x"))
    assert bell.rings(rename(outside, inside))
    assert bell.rings(write(inside))
    assert bell.rings(rename(inside, os.path.join(root, b"gate/b.jpg")))
    assert bell.rings(lambda: os.link(os.path.join(root, b"gate/b.jpg"), os.path.join(root, b"c.jpg")))
    assert bell.rings(lambda: os.mkdir(os.path.join(root, b"gate/deep")))
    assert bell.rings(lambda: put(root, b"gate/deep/d.jpg", b"x"))


def test_a_tree_that_moves_in_is_heard_and_watched(root: bytes, watch: Watch, bell: Bell, tmp_path: Path) -> None:
    """A whole camera folder may be moved in, and is an ordinary folder from then on."""
    put(os.fsencode(tmp_path), b"camera/deep/a.jpg", b"x")

    assert bell.rings(rename(os.fsencode(tmp_path / "camera"), os.path.join(root, b"camera")))
    assert eventually(lambda: watch.count() == 3)
    assert bell.rings(lambda: put(root, b"camera/deep/b.jpg", b"x"))


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"line\nbreak.jpg", b"x" * 251 + b".jpg", b"-.jpg"])
@pytest.mark.usefixtures("watch")
def test_odd_names_are_heard(root: bytes, bell: Bell, name: bytes) -> None:
    """Nothing about a name ends a thread."""
    assert bell.rings(lambda: put(root, name, b"x"))
    assert bell.rings(lambda: put(root, b"sub-" + name[-20:] + b"/a.jpg", b"x"))
    assert bell.rings(lambda: put(root, b"after.jpg", b"x"))


def test_looking_is_not_heard(root: bytes, watch: Watch, bell: Bell) -> None:
    """Our own listings and looks must not wake us."""
    target = put(root, b"a.jpg", b"x")
    assert eventually(lambda: bell.rung > 0)
    marker = put(root, b"marker.jpg", b"x")
    assert eventually(lambda: bell.rung > 1)
    os.unlink(marker)
    put(root, b"last.jpg", b"x")
    assert eventually(lambda: bell.rung > 2)
    for _ in range(100):
        os.listdir(root)
        with open(target, "rb") as file:
            file.read()

    rung = bell.rung
    assert bell.rings(lambda: put(root, b"end.jpg", b"x"))
    assert bell.rung <= rung + 10
    assert "" == watch.ailment()


# What it costs


def test_each_folder_is_one_watch_of_one_instance(root: bytes, watch: Watch) -> None:
    """What is counted is ours alone, whatever else in this process uses inotify."""
    for number in range(20):
        put(root, b"%d/deep/a.jpg" % number, b"x")
    assert eventually(lambda: watch.count() == 41)

    other = Watch(Path(os.fsdecode(root)), lambda: None)
    other.start()
    assert (41, 41) == (watch.count(), other.count())
    other.stop()

    assert 41 == watch.count()
    assert 0 == other.count()


def test_a_folder_that_is_met_twice_ends_nothing(root: bytes, watch: Watch, bell: Bell) -> None:
    """A tree that grows while it is walked is met by the walk and by an event; watchdog warns, and here that kills."""
    reader = next(thread for thread in watch._threads if isinstance(thread, InotifyFD))
    os.mkdir(os.path.join(root, b"gate"))
    assert eventually(lambda: watch.count() == 2)

    met = InotifyEvent(1, InotifyConstants.IN_CREATE | InotifyConstants.IN_ISDIR, 0, b"gate")  # type: ignore[arg-type]
    assert bell.rings(lambda: reader.handle_event(met))

    assert 2 == watch.count()
    assert "" == watch.ailment()


def test_stopping_leaves_nothing(root: bytes, bell: Bell) -> None:
    """No thread, no descriptor, no ear in watchdog's log; stopping twice, or what never started, is fine."""
    logger = logging.getLogger("watchdog.observers.inotify_c")
    before = threading.active_count(), len(os.listdir("/proc/self/fd")), len(logger.handlers)
    watch = Watch(Path(os.fsdecode(root)), bell)
    watch.stop()
    for _ in range(3):
        watch.start()
        assert "" == watch.ailment()
        watch.stop()
        watch.stop()

    assert before == (threading.active_count(), len(os.listdir("/proc/self/fd")), len(logger.handlers))
    assert "thread_ended" == watch.ailment()


# How it fails


def test_a_root_that_is_gone_is_told(root: bytes, watch: Watch) -> None:
    """Watchdog's thread ends, its observer lives on."""
    os.rmdir(root)
    assert eventually(lambda: "thread_ended" == watch.ailment())

    os.mkdir(root)

    assert "thread_ended" == watch.ailment()


def test_a_root_that_was_renamed_away_is_told(root: bytes, watch: Watch) -> None:
    """Watchdog goes on watching the old folder under the new one's name."""
    os.rename(root, root + b".old")
    with pytest.raises(FileNotFoundError):
        watch.ailment()
    os.mkdir(root)

    assert "folder_replaced" == watch.ailment()


def test_a_mount_over_the_root_is_told(root: bytes, watch: Watch) -> None:
    """Events come from the folder below it."""
    command = ["mount", "-t", "tmpfs", "tmpfs", os.fsdecode(root)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert "folder_replaced" == watch.ailment()
    finally:
        subprocess.run(["umount", os.fsdecode(root)], check=True)
    assert "" == watch.ailment()


@pytest.mark.parametrize("which", ["InotifyFD", "InotifyEmitter", "InotifyObserver"])
def test_a_thread_that_ended_is_told(watch: Watch, which: str) -> None:
    """Whichever of watchdog's three it is: the others live on and nothing comes any more."""
    thread = next(thread for thread in watch._threads if type(thread).__name__ == which)
    assert 3 == len(watch._threads)

    BaseThread.stop(thread)
    if isinstance(thread, InotifyFD):
        thread.close()

    assert eventually(lambda: "thread_ended" == watch.ailment())


def test_lost_events_are_noticed(root: bytes, watch: Watch, bell: Bell) -> None:
    """The kernel's word that its queue overflowed wakes us like an event, and is told once."""
    reader = next(thread for thread in watch._threads if isinstance(thread, InotifyFD))
    lost = InotifyEvent(-1, InotifyConstants.IN_Q_OVERFLOW, 0, b"")  # type: ignore[arg-type]
    logger = logging.getLogger("watchdog.observers.inotify_c")
    assert not watch.overflowed()
    logger.warning("Something else.")
    assert not watch.overflowed()

    assert bell.rings(lambda: reader.handle_event(lost))

    assert watch.overflowed()
    assert not watch.overflowed()
    assert "" == watch.ailment()
    assert bell.rings(lambda: put(root, b"a.jpg", b"x"))


def limited(root: bytes, limit: int, what: str) -> list[str]:
    """Return what a watch says where the kernel grants so many *what*, `watches` or `instances`, and no more."""
    if not shutil.which("unshare") or not LIMIT.exists():
        pytest.skip("limits cannot be set here")
    command = ["unshare", "-Ur", sys.executable, "-c", LIMITED, os.fsdecode(root), str(limit), what]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if "unshare" in ran.stderr:
        pytest.skip("limits cannot be set here")
    assert 0 == ran.returncode, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize(
    ("limit", "what", "says"),
    [
        (1000, "watches", "count 41 ''"),
        (10, "watches", "count 10 ''"),
        (0, "watches", "error 28"),
        (0, "instances", "error 24"),
    ],
    ids=["enough", "too few", "none", "no instance"],
)
def test_the_limits_of_the_kernel_show(root: bytes, limit: int, what: str, says: str) -> None:
    """With too few watches watchdog begins all the same, and only the count tells; nothing is left of what failed."""
    for number in range(20):
        put(root, b"%d/deep/a.jpg" % number, b"x")

    said = limited(root, limit, what)

    assert [says] * 3 == said[:3]
    assert "left True" == said[3]
