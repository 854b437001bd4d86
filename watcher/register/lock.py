"""The lock of the register, which every program takes that writes `registros.csv`."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from watcher.errors import StorageUnavailable

Wait = Callable[[float], object]

LOCK = "registros.csv.lock"

_PAUSE = 0.05


@contextmanager
def registros_lock(folder: Path | str, *, patience: float = 60.0, wait: Wait = time.sleep) -> Iterator[None]:
    """Hold the lock of the register in *folder*: for any program that writes `registros.csv`, or has to read all of it.

    It is flock(2) on `registros.csv.lock`, a file of its own, so that the register itself may be replaced. In a shell
    it is `flock data/registros.csv.lock COMMAND`. Hold it from before you read until after you wrote, and no longer:

        with registros_lock("data"):
            rows = read("data/registros.csv")
            write("data/registros.csv.new", changed(rows))
            os.replace("data/registros.csv.new", "data/registros.csv")

    Args:
        folder: Where `registros.csv` lies.
        patience: Seconds to wait while somebody else holds it.
        wait: Called with the seconds between two tries.

    Raises:
        OSError: The lock file cannot be opened.
        StorageUnavailable: Somebody else held it all the time (`register_locked`).

    """
    path = Path(folder) / LOCK
    waited = 0.0
    while not (lock := _attempt(path)):
        if waited >= patience:
            raise StorageUnavailable(
                f"Another program has held {path} for {patience:g} seconds.",
                hint="`fuser -v` on that file tells which. It is tried again by itself.",
                code="register_locked",
            )
        wait(_PAUSE)
        waited += _PAUSE
    try:
        yield
    finally:
        os.close(lock[0])


def _attempt(path: Path) -> tuple[int, ...]:
    """Return a descriptor that holds the lock, or nothing if somebody else does."""
    lock = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o660)
    held = False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # If the file was removed since it was opened, others lock a new one.
        held = os.fstat(lock).st_nlink > 0
    except BlockingIOError:
        return ()
    finally:
        if not held:
            os.close(lock)
    return (lock,) if held else ()
