"""The life of the process: how it begins, takes new settings, and ends."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.makers import eventually, jpeg
from tests.refusals import refused
from watcher.bootstrap import Line, assemble
from watcher.clocks import real_clocks
from watcher.daemon import Daemon, exit_code
from watcher.errors import (
    AlreadyRunning,
    DiskUnusable,
    Fatal,
    LineBroken,
    RegisterForeign,
    SettingsInvalid,
    StorageUnavailable,
    WatcherError,
)
from watcher.lock import holder, locked
from watcher.settings import Settings, load

_PR_SET_DUMPABLE = 4
SINK = """
import threading

class Sink:
    def __init__(self, name, url):
        self.name, self.url = name, url

    def send(self, record, key):
        if "hang" in self.url:
            threading.Event().wait()
        raise SystemExit("a bug that nobody foresaw")

def create(*, name, options, now):
    return Sink(name, options["url"])
"""


@pytest.fixture(autouse=True)
def _seen() -> Iterator[None]:
    """Let the process be seen by its neighbours again, which the daemon forbids them."""
    yield
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Mapping[str, Any]]:
    """Give the settings of a sink that ends its thread, or hangs."""
    metadata = tmp_path / "lib" / "badsink-1.dist-info"
    metadata.mkdir(parents=True)
    (tmp_path / "lib" / "badsink.py").write_text(SINK)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: badsink\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[matricula_watcher.sinks]\nbadsink = badsink:create\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.delitem(sys.modules, "badsink", raising=False)
    return lambda way: {"sinks": [{"name": "bad", "kind": "badsink", "url": f"https://{way}.test/"}]}


def configured(root: Path, **more: Any) -> Settings:
    """Return settings for folders below *root*, without engines."""
    folders = {name: str(root / name) for name in ("inbox", "uploads", "data")}
    return load(
        config=None, environment={}, overrides={"folders": folders, "reading": {"engines": []}} | more, places=()
    )


def daemon(settings: Settings, **more: Any) -> Daemon:
    """Return a daemon that ends by itself unless told otherwise."""
    given: dict[str, Any] = {"again": lambda: settings, "until_idle": True} | more
    return Daemon(settings, clocks=real_clocks(), environment={}, **given)


def drop(root: Path, number: int = 0) -> None:
    """Drop a photo."""
    (root / "inbox").mkdir(exist_ok=True)
    (root / "inbox" / f"{number}.jpg").write_bytes(jpeg(number))


def ended(act: Callable[[], object]) -> int:
    """Run *act* in a process of its own and return its exit code; 99 if it came to its end."""
    child = os.fork()
    if not child:
        try:
            act()
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


Step = Callable[[Line], object]


class Script:
    """What is done at one beat after the other, once the daemon is ready; a step that returns false is done again."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)

    def __call__(self, line: Line) -> None:
        """Do the next step, if there is one left."""
        if self._steps and line.workers[0].rounds and self._steps[0](line) is not False:
            self._steps.pop(0)


def send(number: signal.Signals) -> Step:
    """Return what sends this process a signal."""
    return lambda _: os.kill(os.getpid(), number)


def telling(line: Line) -> bool:
    """Return whether a sink has been told something for a while."""
    since = line.workers[-1].busy_since
    return since is not None and line.clocks.monotonic() - since > 0.2


# Beginning


def test_it_does_what_is_there_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Photos have their rows, the lock is free, and neither a thread nor a descriptor is left."""
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    drop(tmp_path, 1)
    drop(tmp_path, 2)
    with capture_logs() as lines:
        daemon(configured(tmp_path)).run()

    assert 3 == len((tmp_path / "data" / "registros.csv").read_text().splitlines())
    assert holder(tmp_path / "data") is None
    # Threads of tests before this one may end meanwhile.
    assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= descriptors and threading.active_count() <= threads)
    events = [line["event"] for line in lines if line["event"].startswith("daemon.")]
    assert ["daemon.started", "daemon.ready", "daemon.stopping", "daemon.stopped"] == events
    assert not (tmp_path / "data" / "journal.sqlite3-wal").exists()


def test_a_second_one_changes_nothing(tmp_path: Path) -> None:
    """It is refused before it has looked at anything."""
    drop(tmp_path)
    (tmp_path / "data").mkdir()
    with locked(tmp_path / "data"), pytest.raises(AlreadyRunning):
        daemon(configured(tmp_path)).run()

    assert ["0.jpg"] == os.listdir(tmp_path / "inbox")
    assert ["matricula-watcher.lock"] == os.listdir(tmp_path / "data")


def test_a_foreign_register_ends_it(tmp_path: Path) -> None:
    """What `prepare` finds ends the process, everything let go."""
    drop(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "registros.csv").write_text("a;b\n")

    with pytest.raises(RegisterForeign):
        daemon(configured(tmp_path)).run()
    assert holder(tmp_path / "data") is None
    assert ["0.jpg"] == os.listdir(tmp_path / "inbox")


def test_what_stands_in_the_way_of_the_start_is_told(tmp_path: Path) -> None:
    """A file in the place of a folder ends it with a sentence and a remedy."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "quarantine").write_text("in the way")

    with pytest.raises(DiskUnusable) as caught:
        daemon(configured(tmp_path)).run()
    assert (74, f"{tmp_path}/data/quarantine stands where a folder belongs. Move it away.") == (
        caught.value.exit_code,
        str(caught.value),
    )


def test_a_disk_that_cannot_be_used_yet_is_worth_another_start(tmp_path: Path) -> None:
    """What could heal at any time is told with 74, which lets the service manager try again."""
    daemon(configured(tmp_path)).run()
    (tmp_path / "data" / "quarantine" / "empty").rmdir()

    def start() -> int:
        with pytest.raises(DiskUnusable) as caught:
            refused("fsync", errno.EIO, partial(daemon(configured(tmp_path))._work, line))
        return caught.value.exit_code

    with closing(assemble(configured(tmp_path), real_clocks())) as line:
        assert 74 == start()


# Signals


@pytest.mark.parametrize(
    ("number", "terminal"), [(signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGHUP, True)]
)
def test_it_ends_in_order_when_told(tmp_path: Path, number: signal.Signals, *, terminal: bool) -> None:
    """Also by a hang-up if there is a terminal; the log says what told it."""
    with capture_logs() as lines:
        daemon(configured(tmp_path), until_idle=False, terminal=terminal, watch=Script(send(number))).run()

    assert [number.name] == [line["signal"] for line in lines if line["event"] == "daemon.stopping"]
    assert "daemon.stopped" == lines[-1]["event"]


def test_new_settings_are_taken_or_refused_as_a_whole(tmp_path: Path) -> None:
    """A file that is wrong changes nothing and is said; a good one holds, and names what needs a restart."""
    old = configured(tmp_path, inbox={"duplicate_window_hours": 24})
    new = configured(tmp_path, inbox={"duplicate_window_hours": 0}, reading={"engines": [], "readers": 5})
    given: list[Settings | SettingsInvalid] = [SettingsInvalid("It is wrong.", hint="Mend it."), new, old]
    taken: list[Settings] = []

    def again() -> Settings:
        said = given.pop(0)
        if isinstance(said, SettingsInvalid):
            raise said
        return said

    hang_up, stop = send(signal.SIGHUP), send(signal.SIGTERM)
    with capture_logs() as lines:
        daemon(
            old,
            again=again,
            adopted=taken.append,
            until_idle=False,
            watch=Script(hang_up, hang_up, lambda _: len(taken) > 0, hang_up, lambda _: len(taken) > 1, stop),
        ).run()

    told = {line["event"]: line for line in reversed(lines)}
    assert ("It is wrong.", "Mend it.") == (
        told["daemon.reload_refused"]["reason"],
        told["daemon.reload_refused"]["hint"],
    )
    assert "Only a restart changes [reading] readers." == told["settings.warned"]["reason"]
    assert [new, old] == taken
    assert [2, 1] == [sum(line["event"] == event for line in lines) for event in ("daemon.reloaded", "settings.warned")]


def test_told_twice_it_leaves_at_once(tmp_path: Path, sink: Callable[[str], Mapping[str, Any]]) -> None:
    """While a lane hangs, the second signal is obeyed as if it were a power cut."""
    settings = configured(tmp_path, **sink("hang"))
    drop(tmp_path)

    def send_both(_: Line) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    hung = Script(telling, send_both)

    assert 143 == ended(daemon(settings, until_idle=False, watch=hung).run)


def test_even_the_main_thread_may_hang(tmp_path: Path) -> None:
    """Told to stop while the main thread is stuck somewhere, the process still ends in time."""

    def stick(_: Line) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait()

    began = real_clocks().monotonic()

    assert 0 == ended(daemon(configured(tmp_path), until_idle=False, watch=Script(stick)).run)
    assert 10 < real_clocks().monotonic() - began < 20


# Faults


def test_a_thread_that_ends_by_an_unknown_error_ends_the_process(
    tmp_path: Path, sink: Callable[[str], Mapping[str, Any]]
) -> None:
    """Its trace is in the log, and the exit code is that of a broken line."""
    drop(tmp_path)
    with capture_logs() as lines, pytest.raises(Fatal) as caught:
        daemon(configured(tmp_path, **sink("end"))).run()

    (crashed,) = [line for line in lines if line["event"] == "worker.crashed"]
    assert ("critical", "courier", SystemExit) == (
        crashed["log_level"],
        crashed["lane"],
        type(crashed["exc_info"]),
    )
    assert (70, True) == (caught.value.exit_code, "courier" in caught.value.reason)
    assert "daemon.stopped" == lines[-1]["event"]


def test_a_thread_that_just_ends_ends_the_process(tmp_path: Path) -> None:
    """A lane that nobody works any more would go unnoticed otherwise."""

    def stop_one(line: Line) -> None:
        line.workers[-1].stop()

    with pytest.raises(Fatal, match="without a word"):
        daemon(configured(tmp_path), until_idle=False, watch=stop_one).run()


def test_a_journal_that_breaks_ends_the_process(tmp_path: Path) -> None:
    """Whoever finds it first, every thread ends and the error reaches the main thread."""

    def spoil(line: Line) -> None:
        if line.workers[0].rounds:
            with line.connection._lock:
                line.connection.close()
                (tmp_path / "data" / "journal.sqlite3").write_bytes(b"no database " * 1000)

    with pytest.raises(Fatal) as caught:
        daemon(configured(tmp_path), until_idle=False, watch=spoil).run()
    assert 74 == caught.value.exit_code


def test_an_inbox_that_went_away_ends_only_what_would_wait_for_it(tmp_path: Path) -> None:
    """`once` says so and leaves with 1; a daemon waits for its return."""

    def remove(line: Line) -> None:
        if line.workers[0].rounds and (tmp_path / "inbox").exists():
            (tmp_path / "inbox").rmdir()
            line.inbox.stir()

    with pytest.raises(StorageUnavailable) as caught:
        daemon(configured(tmp_path), watch=remove).run()
    assert (1, True) == (exit_code(caught.value), "cannot be reached" in caught.value.reason)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (None, 0),
        (SettingsInvalid("x"), 78),
        (AlreadyRunning("x"), 75),
        (DiskUnusable("x"), 74),
        (LineBroken("x"), 70),
        (StorageUnavailable("x"), 1),
    ],
)
def test_exit_codes(fault: WatcherError | None, code: int) -> None:
    """What ends the process says with which code; what was to be expected is 1."""
    assert code == exit_code(fault)
