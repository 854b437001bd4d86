"""The private folder of a child, its TMPDIR: made, removed with all that is in it, and swept if nobody was left to.

It is locked while its maker lives, so that a later one can tell the folders of those who were killed (flock(2): the
kernel lets go for them).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = "matricula-watcher-"
_YOUNG = 60.0  # seconds; in its first ones a folder may not be locked yet


class Scratch:
    """A folder of our own, until `remove`."""

    def __init__(self) -> None:
        """Make it, and remove those of others who were killed; raise OSError if it cannot be made."""
        self.path = tempfile.mkdtemp(prefix=_PREFIX)
        try:
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            os.rmdir(self.path)
            raise
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        made = os.fstat(self._lock).st_mtime
        for other in Path(self.path).parent.glob(_PREFIX + "*"):
            _sweep(other, made - _YOUNG)

    def remove(self) -> None:
        """Remove it with everything in it, as far as that can be done."""
        _remove(self.path)
        os.close(self._lock)


def _sweep(folder: Path, before: float) -> None:
    """Remove *folder* if it is ours, older than *before*, and of somebody who is dead."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        status = os.fstat(descriptor)
        if status.st_uid == os.geteuid() and status.st_mtime < before:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(str(folder))
    except BlockingIOError:  # its maker lives
        return
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    with suppress(RecursionError):  # folders nested without end, on purpose
        shutil.rmtree(path, ignore_errors=True)
