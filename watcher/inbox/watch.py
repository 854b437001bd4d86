"""Turn watchdog's events into one: something stirred. And know whether they still come.

Events are hints; the scan decides. watchdog can stop telling without a word (FACTS: a root that is replaced, an emitter
that died, a queue that overflowed, a sub-folder it may not watch), so its health is asked for, never assumed.
"""

from __future__ import annotations

import logging
import os
import threading
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
        self._watched: tuple[int, int] | None = None

    def start(self) -> None:
        """Begin to watch.

        Raises:
            OSError: The kernel grants no more watches, or the folder is not there.

        """
        status = self._root.stat()
        observer = Observer()
        observer.schedule(_Stir(self._stir), str(self._root), recursive=True, event_filter=_EVENTS)
        observer.daemon = True
        observer.start()
        logging.getLogger(_OVERFLOW_LOGGER).addHandler(self._overflow)
        self._observer, self._watched = observer, (status.st_dev, status.st_ino)

    def stop(self) -> None:
        """End it; a thread that does not end in time is left behind, it holds nothing."""
        logging.getLogger(_OVERFLOW_LOGGER).removeHandler(self._overflow)
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(_STOP_SECONDS)
        self._observer = self._watched = None

    def overflowed(self) -> bool:
        """Return whether events were lost since the last time this was asked."""
        noticed = self._overflow.noticed.is_set()
        self._overflow.noticed.clear()
        return noticed

    def ailment(self) -> str:
        """Return why events can no longer be trusted to come, or nothing if they can."""
        if self._observer is None:
            return "not_watching"
        if not self._observer.is_alive():
            return "observer_ended"
        emitters = self._observer.emitters
        if not emitters or not all(emitter.is_alive() for emitter in emitters):
            return "emitter_ended"
        status = self._root.stat()
        return "" if (status.st_dev, status.st_ino) == self._watched else "folder_replaced"


def count_watches() -> int:
    """Return how many inotify watches this process holds, as the kernel counts them in /proc/self/fdinfo."""
    total = 0
    for entry in os.scandir("/proc/self/fdinfo"):
        try:
            text = Path(entry.path).read_text(encoding="ascii")
        except OSError:
            # A descriptor that another thread has closed meanwhile.
            continue
        total += sum(line.startswith("inotify ") for line in text.splitlines())
    return total
