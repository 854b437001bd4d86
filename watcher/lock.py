"""The lock of a data folder: one process works on it at a time, and others can ask which."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from watcher.errors import AlreadyRunning, DiskUnusable

NAME = "matricula-watcher.lock"

_TRIES = 8
_PAUSE = 0.05
_PID_BYTES = 32


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the lock of the folder *data*, with our process id in it.

    Raises:
        AlreadyRunning: Another process holds it.
        DiskUnusable: The file cannot be made.

    """
    try:
        descriptor = os.open(data / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    except OSError as error:
        raise DiskUnusable(
            f"The lock {data / NAME} cannot be opened: {error.strerror}.", hint="Look at its disk and its rights."
        ) from error
    try:
        if not _taken(descriptor):
            raise AlreadyRunning(
                f"Another matricula-watcher works on {data}.", hint="Stop it first, or use another data folder."
            )
        # On a full disk the lock holds all the same.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(data: Path) -> int | None:
    """Return the id of the process that works on *data*: none if there is none, 0 if it does not say."""
    try:
        descriptor = os.open(data / NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.pread(descriptor, _PID_BYTES, 0).strip()
        return int(said) if said.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def is_ours(data: Path) -> bool:
    """Return whether we have the rights of the process that works on *data*, or did last: those of the same user."""
    try:
        return (data / NAME).stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _taken(descriptor: int) -> bool:
    """Take the lock; not at the first try only, since whoever asks for its holder has it for a moment."""
    pause = threading.Event()
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pause.wait(_PAUSE)
        else:
            return True
    return False
