"""Open a folder without being led elsewhere, make one, and sync one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def opened_folder(root: str | bytes, relative: bytes = b"") -> Iterator[int]:
    """Give a descriptor of the folder at *relative* below *root*; links may lead to *root*, but not further.

    Raises:
        FileNotFoundError: There is no such folder.
        NotADirectoryError: A part of *relative* is a link, or no folder.
        ValueError: *relative* is absolute or leads upwards.

    """
    parts = [part for part in relative.split(b"/") if part]
    if relative.startswith(b"/") or b".." in parts:
        raise ValueError(f"{relative!r} does not stay below its folder")
    folder = os.open(root, _FOLDER)
    try:
        for part in parts:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def make_folder(path: Path) -> None:
    """Make the folder at *path* (mode 0750) and those above it, durably; one that is there is left as it is.

    Raises:
        FileExistsError: Something that is no folder stands there.

    """
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o750, exist_ok=True)
    with opened_folder(os.fsencode(path.parent)) as parent:
        sync_folder(parent)


def sync_folder(folder: int) -> None:
    """Return when the names in *folder* are on the disk; file systems that cannot sync a folder are forgiven."""
    try:
        os.fsync(folder)
    except OSError as fault:
        if fault.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
            raise
