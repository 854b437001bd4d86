"""Keeping the inbox watched, and saying when that is not possible."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.inbox.doors import put
from tests.makers import eventually
from tests.refusals import refused, unprivileged
from watcher.inbox.sentry import Mode, Sentry

SCAN, POLL = 10.0, 2.0


class Post:
    """A sentry of the inbox, and what it said."""

    def __init__(self, root: Path, mode: Mode) -> None:
        self.stirred = 0
        self.network: frozenset[int] = frozenset()
        self.sentry = Sentry(root, mode, self._stir, lambda: self.network)

    def _stir(self) -> None:
        self.stirred += 1

    def check(self) -> tuple[bool, list[tuple[str, str]]]:
        """Check once; return whether the inbox can be listed, and each line with its reason."""
        with capture_logs() as logs:
            well = self.sentry.check()
        return well, _said(logs)

    def surveyed(self, folders: int, *, network: bool = False) -> list[tuple[str, str]]:
        """Tell of a listing and return what is said."""
        with capture_logs() as logs:
            self.sentry.surveyed(folders, network=network)
        return _said(logs)


def _said(logs: list[Any]) -> list[tuple[str, str]]:
    return [(line["event"], line.get("reason", "")) for line in logs]


@pytest.fixture
def posts(root: bytes) -> Iterator[dict[Mode, Post]]:
    """Give a sentry in each mode."""
    made: dict[Mode, Post] = {mode: Post(Path(os.fsdecode(root)), mode) for mode in ("auto", "native", "poll")}
    yield made
    for post in made.values():
        post.sentry.stop()


@pytest.fixture
def post(posts: dict[Mode, Post]) -> Post:
    """Give a sentry that chooses by itself."""
    return posts["auto"]


# Events and polling


def test_events_are_heard_where_they_can_be(root: bytes, post: Post) -> None:
    """It is said once, and the inbox is listed every ten seconds all the same."""
    assert (True, [("inbox.watching", "")]) == post.check()
    assert (True, []) == post.check()
    assert [] == post.surveyed(1)
    assert SCAN == post.sentry.interval

    put(root, b"a.jpg", b"x")

    assert eventually(lambda: post.stirred > 0)


def test_polling_can_be_chosen(root: bytes, posts: dict[Mode, Post]) -> None:
    """Then nothing is watched, which is said once."""
    post = posts["poll"]

    assert (True, [("inbox.polling", "chosen")]) == post.check()
    assert (True, []) == post.check()
    assert POLL == post.sentry.interval
    put(root, b"a.jpg", b"x")
    assert not eventually(lambda: post.stirred > 0, 0.2)


def test_a_network_mount_is_polled(root: bytes, posts: dict[Mode, Post]) -> None:
    """Unless events were chosen; a mount that comes later is noticed, and so is one that leaves."""
    device = frozenset({os.stat(root).st_dev})
    posts["auto"].network = posts["native"].network = device

    assert (True, [("inbox.polling", "network_mount")]) == posts["auto"].check()
    assert POLL == posts["auto"].sentry.interval
    assert device == posts["auto"].sentry.network
    assert (True, [("inbox.watching", "")]) == posts["native"].check()
    assert SCAN == posts["native"].sentry.interval


def test_a_mount_that_comes_after_us_is_polled_from_then_on(root: bytes, post: Post) -> None:
    """The watch on the empty folder below it is let go of."""
    post.check()
    post.network = frozenset({os.stat(root).st_dev})

    assert (True, [("inbox.polling", "network_mount")]) == post.check()
    put(root, b"a.jpg", b"x")
    assert not eventually(lambda: post.stirred > 0, 0.2)


def test_a_share_that_is_suddenly_not_mounted_is_unreachable_and_not_empty(root: bytes, post: Post) -> None:
    """An error once; when it is back, that is said once too."""
    device = frozenset({os.stat(root).st_dev})
    post.network = device
    post.check()
    post.network = frozenset()

    assert (False, [("inbox.unreachable", "not_mounted")]) == post.check()
    assert (False, []) == post.check()
    assert not post.sentry.reachable
    post.network = device
    assert (True, [("inbox.reachable", "")]) == post.check()
    assert post.sentry.reachable


def test_a_share_inside_the_inbox_is_polled_beside_the_events(post: Post, posts: dict[Mode, Post]) -> None:
    """One camera's folder may be a mount; the others are heard as before."""
    post.check()

    assert [("inbox.polling", "network_mount")] == post.surveyed(1, network=True)
    assert POLL == post.sentry.interval
    assert (True, []) == post.check()
    assert [] == post.surveyed(1, network=True)
    assert [] == post.surveyed(1)
    assert SCAN == post.sentry.interval
    posts["native"].check()
    assert [] == posts["native"].surveyed(1, network=True)
    assert SCAN == posts["native"].sentry.interval


# Reaching it


def test_a_root_that_left_is_said_once_and_watched_again(root: bytes, post: Post) -> None:
    """Deleted and made again: what is in the new one is heard."""
    post.check()
    os.rmdir(root)

    assert (False, [("inbox.unreachable", os.strerror(errno.ENOENT))]) == post.check()
    assert (False, []) == post.check()
    os.mkdir(root)
    assert (True, [("inbox.reachable", ""), ("inbox.watching", "")]) == post.check()
    stirred = post.stirred
    put(root, b"a.jpg", b"x")
    assert eventually(lambda: post.stirred > stirred)


def test_a_root_that_may_not_be_listed_is_unreachable(commons: Path) -> None:
    """Watchdog would begin without a word and hear nothing."""
    (commons / "inbox").mkdir(mode=0o711)
    post = Post(commons / "inbox", "auto")

    def look() -> None:
        assert (False, [("inbox.unreachable", "no_rights")]) == post.check()

    assert unprivileged(look)


def test_a_list_of_mounts_that_cannot_be_read_is_trouble_too(root: bytes) -> None:
    """Nobody can say then what leases are worth."""

    def fail() -> frozenset[int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    sentry = Sentry(Path(os.fsdecode(root)), "auto", lambda: None, fail)
    with capture_logs() as logs:
        assert not sentry.check()

    assert [("inbox.unreachable", os.strerror(errno.EMFILE))] == _said(logs)


def test_a_root_that_cannot_be_listed_is_said_until_it_can(root: bytes, post: Post) -> None:
    """It may look well and not be: only a complete listing proves that it can be reached."""
    post.check()
    with capture_logs() as logs:
        post.sentry.failed(OSError(errno.EIO, "x"))
        post.sentry.failed(OSError("made up"))
    assert [("inbox.unreachable", os.strerror(errno.EIO))] == _said(logs)
    assert not post.sentry.reachable

    assert (True, []) == post.check()
    assert [("inbox.reachable", "")] == post.surveyed(1)
    os.rename(root, root + b".away")
    assert not post.check()[0]
    os.rename(root + b".away", root)
    assert ("inbox.reachable", "") in post.check()[1]


# Healing


def test_a_replaced_root_is_watched_anew(root: bytes, post: Post) -> None:
    """Renamed away and made again: one warning, and a listing at once, since what came meanwhile was not heard."""
    post.check()
    os.rename(root, root + b".old")
    os.mkdir(root)

    assert (True, [("inbox.rebuilt", "folder_replaced")]) == post.check()
    assert (True, []) == post.check()
    stirred = post.stirred
    put(root + b".old", b"a.jpg", b"x")
    assert not eventually(lambda: post.stirred > stirred, 0.2)
    put(root, b"a.jpg", b"x")
    assert eventually(lambda: post.stirred > stirred)


def test_a_watch_that_died_is_built_anew(root: bytes, post: Post) -> None:
    """Whatever ended its threads."""
    post.check()
    watch = post.sentry._watch
    assert watch is not None
    for thread in watch._threads:
        if type(thread).__name__ == "InotifyEmitter":
            thread.stop()
            assert eventually(lambda: not thread.is_alive())  # noqa: B023 (it is asked at once)

    assert (True, [("inbox.rebuilt", "thread_ended")]) == post.check()
    stirred = post.stirred
    put(root, b"a.jpg", b"x")
    assert eventually(lambda: post.stirred > stirred)


@pytest.mark.parametrize(("call", "number"), [("inotify_init", errno.EMFILE), ("inotify_add_watch", errno.ENOSPC)])
def test_a_watch_that_cannot_be_had_is_polled_for_and_tried_again(
    root: bytes, post: Post, call: str, number: int
) -> None:
    """No instance or no watch left: it is said once, nothing is left behind, and events are back when they can be."""
    held = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with capture_logs() as logs:
        for _ in range(3):
            assert refused(call, number, post.sentry.check)

    assert [("inbox.polling", os.strerror(number))] == _said(logs)
    assert POLL == post.sentry.interval
    assert held == (threading.active_count(), len(os.listdir("/proc/self/fd")))
    assert (True, [("inbox.watching", "")]) == post.check()
    assert SCAN == post.sentry.interval
    put(root, b"a.jpg", b"x")
    assert eventually(lambda: post.stirred > 0)


def test_lost_events_are_said_once(post: Post) -> None:
    """The listing that they bring about makes up for them."""
    post.check()
    watch = post.sentry._watch
    assert watch is not None
    watch._overflow.noticed.set()

    assert (True, [("inbox.overflowed", "")]) == post.check()
    assert (True, []) == post.check()


def test_folders_that_are_not_watched_are_polled_for(root: bytes, post: Post) -> None:
    """First everything is listed once more, then the watch is built anew, then its folders are listed more often."""
    put(root, b"a/b.jpg", b"x")
    post.check()
    beyond, first = 5, post.stirred

    said = []
    for _ in range(4):
        said.append((post.surveyed(beyond), post.sentry.interval, post.stirred))
        said.append((post.check()[1], post.sentry.interval, post.stirred))

    assert [
        ([], SCAN, first + 1),
        ([], SCAN, first + 1),
        ([], SCAN, first + 2),
        ([("inbox.rebuilt", "folder_unwatched")], SCAN, first + 2),
        ([("inbox.polling", "too_few_watches")], POLL, first + 2),
        ([], POLL, first + 2),
        ([], POLL, first + 2),
        ([], POLL, first + 2),
    ] == said
    assert [] == post.surveyed(2)
    assert SCAN == post.sentry.interval


def test_a_folder_that_is_counted_and_gone_is_no_lack(post: Post) -> None:
    """One listing more shows it; nothing is said and nothing built anew."""
    post.check()

    for _ in range(3):
        assert [] == post.surveyed(2)
        assert (True, []) == post.check()
        assert [] == post.surveyed(1)
        assert (True, []) == post.check()
    assert SCAN == post.sentry.interval


def test_while_it_is_polled_the_watch_is_built_anew_now_and_then(post: Post) -> None:
    """The operator may raise the limit, or the rights of a folder, at any time."""
    post.check()
    rebuilt = 0

    for _ in range(70):
        post.surveyed(5)
        rebuilt += post.check()[1].count(("inbox.rebuilt", "folder_unwatched"))

    assert 3 == rebuilt


def test_a_folder_whose_rights_come_later_is_heard_in_the_end(commons: Path) -> None:
    """Watchdog passes over what it may not read, without a word; the count tells, and the new watch hears it."""
    (commons / "inbox/late").mkdir(parents=True)
    (commons / "inbox").chmod(0o755)
    (commons / "inbox/late").chmod(0o700)
    read, write = os.pipe()

    def look() -> None:
        post = Post(commons / "inbox", "auto")
        post.check()
        post.surveyed(1)
        os.read(read, 1)
        for _ in range(2):
            post.surveyed(2)
            post.check()
        assert [] == post.surveyed(2)
        post.sentry.stop()

    pid = os.fork()
    if not pid:
        os._exit(0 if unprivileged(look) else 1)
    (commons / "inbox/late").chmod(0o755)
    os.write(write, b"x")
    assert 0 == os.waitpid(pid, 0)[1]
    os.close(read)
    os.close(write)


def test_a_real_mount_over_the_root_is_found(root: bytes, post: Post) -> None:
    """A disk that is mounted late hides the folder that we watch."""
    post.check()
    command = ["mount", "-t", "tmpfs", "tmpfs", os.fsdecode(root)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert (True, [("inbox.rebuilt", "folder_replaced")]) == post.check()
        stirred = post.stirred
        put(root, b"a.jpg", b"x")
        assert eventually(lambda: post.stirred > stirred)
    finally:
        post.sentry.stop()
        subprocess.run(["umount", os.fsdecode(root)], check=True)
