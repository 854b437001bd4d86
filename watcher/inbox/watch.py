"""Turn watchdog's events into one: something stirred. And know whether they still come.

Events are hints; the scan decides. watchdog can stop telling without a word (FACTS: a root that is replaced, an emitter
that died, a queue that overflowed, a sub-folder it may not watch), so its health is asked for, never assumed.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import structlog
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.utils import BaseThread

log = structlog.get_logger()

_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]
_OVERFLOW_LOGGER = "watchdog.observers.inotify_c"
_STOP_SECONDS = 2.0


class _Stir(FileSystemEventHandler):
    """Call one function and do nothing else: work in here would starve watchdog's reader."""

    def __init__(self, stir: Callable[[], None]) -> None:
        self._stir = stir

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note that something happened."""
        del event
        self._stir()


class _Overflow(logging.Handler):
    """Notice the only sign of lost events that watchdog gives: a line in its log."""

    def __init__(self, stir: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._stir = stir
        self.noticed = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Note the overflow and wake the scan."""
        if "overflow" in record.getMessage():
            self.noticed.set()
            self._stir()


class Watch:
    """A watchdog observer on *root*, which must be a real path; it calls *stir* and is rebuilt when it fails."""

    def __init__(self, root: Path, stir: Callable[[], None]) -> None:
        self._root = root
        self._stir = stir
        self._overflow = _Overflow(stir)
        self._observer: BaseObserver | None = None
        self._threads: frozenset[BaseThread] = frozenset()
        self._descriptors: frozenset[str] = frozenset()
        self._watched: tuple[int, int] | None = None

    def start(self) -> None:
        """Begin to watch; `stop` must be called even if this fails.

        Raises:
            OSError: The kernel grants no more watches, or the folder is not there.

        """
        # watchdog meets a folder twice, without harm, and says so on standard error; or dies of it under -W error.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        status = self._root.stat()
        threads, descriptors = _threads(), _descriptors()
        self._observer = observer = Observer()
        observer.schedule(_Stir(self._stir), str(self._root), recursive=True, event_filter=_EVENTS)
        observer.start()
        logging.getLogger(_OVERFLOW_LOGGER).addHandler(self._overflow)
        self._threads, self._descriptors = _threads() - threads, _descriptors() - descriptors
        self._watched = (status.st_dev, status.st_ino)

    def stop(self) -> None:
        """End it; a thread that does not end in time is left behind, it holds nothing."""
        logging.getLogger(_OVERFLOW_LOGGER).removeHandler(self._overflow)
        if self._observer is not None:
            self._observer.stop()
            if self._observer.is_alive():
                self._observer.join(_STOP_SECONDS)
        self._observer = self._watched = None

    def overflowed(self) -> bool:
        """Return whether events were lost since the last time this was asked."""
        noticed = self._overflow.noticed.is_set()
        self._overflow.noticed.clear()
        return noticed

    def ailment(self) -> str:
        """Return why events can no longer be trusted to come, or nothing if they can.

        Raises:
            OSError: The folder is not there.

        """
        if not all(thread.is_alive() for thread in self._threads):
            return "thread_ended"
        status = self._root.stat()
        return "" if (status.st_dev, status.st_ino) == self._watched else "folder_replaced"

    def count(self) -> int:
        """Return how many folders the kernel watches for us, as it says in /proc/self/fdinfo."""
        return sum(map(_watches, self._descriptors))


def _threads() -> frozenset[BaseThread]:
    """Return watchdog's threads: one that reads from the kernel, one per watch, one that calls us."""
    return frozenset(thread for thread in threading.enumerate() if isinstance(thread, BaseThread))


def _descriptors() -> frozenset[str]:
    """Return the numbers of the descriptors of this process that are inotify instances."""
    return frozenset(number for number in os.listdir("/proc/self/fd") if _is_inotify(number))


def _is_inotify(number: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{number}") == "anon_inode:inotify"
    except FileNotFoundError:
        # Another thread has closed it meanwhile.
        return False


def _watches(number: str) -> int:
    try:
        text = Path(f"/proc/self/fdinfo/{number}").read_text(encoding="ascii")
    except FileNotFoundError:
        return 0
    return sum(line.startswith("inotify ") for line in text.splitlines())
