"""Copy, sync, recognise and remove single files."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

from watcher.errors import ImageRejected
from watcher.model import Identity

Name = str | bytes

CHUNK = 1 << 18
_TOGETHER = 4

_MODE = 0o640
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h
LIBC = ctypes.CDLL(None, use_errno=True)
"""For what Python has no names for."""


def copy(source: int, folder: int, name: Name, *, limit: int) -> tuple[str, int]:
    """Copy the open file *source* from its beginning into a new file; return its SHA-256 in hexadecimal, and its size.

    It is not synced yet, but its bytes are on their way to the disk. The offset of *source* is not moved. Whatever goes
    wrong, no copy is left behind.

    Raises:
        FileExistsError: *name* is taken.
        ImageRejected: There are more than *limit* bytes (`too_large`).

    """
    with created(folder, name) as target:
        seen, size = hashlib.sha256(), 0
        while chunk := os.pread(source, CHUNK, size):
            size += len(chunk)
            if size > limit:
                raise ImageRejected(
                    f"The file is larger than {limit} bytes.", hint="Raise [inbox] max_megabytes.", code="too_large"
                )
            seen.update(chunk)
            write(target, chunk)
        # A head start for syncing, which has the last word: so the answer does not matter.
        LIBC.sync_file_range(target, ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE))
    return seen.hexdigest(), size


def digest(folder: int, name: Name) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with opened(folder, name) as file:
        return digest_of(file)


def sync_file(folder: int, name: Name) -> None:
    """Return when the bytes of a file are on the disk.

    Residual risk: an error that the kernel met while it wrote them by itself is told to us only if the inode has not
    left memory since the copy, which takes more files than we ever have waiting.
    """
    with opened(folder, name) as file:
        os.fsync(file)


def sync_files(folder: int, names: Sequence[Name]) -> None:
    """Return when the bytes of all these files are on the disk; the fault of the first that is not is raised.

    Several are asked for at the same time, since a disk then empties its cache once for all of them: on a busy one, 64
    files of 240 kB took 6 ms and not 32.
    """
    if len(names) < 2:  # noqa: PLR2004 - nothing to do together
        for name in names:
            sync_file(folder, name)
        return
    with ThreadPoolExecutor(max_workers=_TOGETHER) as threads:
        for done in [threads.submit(sync_file, folder, name) for name in names]:
            done.result()


def remove(folder: int, name: Name) -> None:
    """Remove a file; it is fine if it is gone."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def remove_if_same(folder: int, name: Name, identity: Identity) -> bool:
    """Remove a file if a look directly before shows this *identity*; return whether it did.

    Residual risk: nothing can be removed by its identity, so what is swapped in between the two calls goes instead.
    """
    try:
        if identity_of(os.stat(name, dir_fd=folder, follow_symlinks=False)) != identity:
            return False
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def identity_of(status: os.stat_result) -> Identity:
    """Return the identity of the file that *status* describes."""
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def digest_of(file: int) -> str:
    """Return the SHA-256 of an open file in hexadecimal."""
    with open(file, "rb", buffering=0, closefd=False) as stream:
        stream.seek(0)
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def opened(folder: int, name: Name, flags: int = _READ) -> Iterator[int]:
    """Give a descriptor of a file, for reading unless *flags* say otherwise; a link is not followed."""
    file = os.open(name, flags, _MODE, dir_fd=folder)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def created(folder: int, name: Name) -> Iterator[int]:
    """Give a descriptor of a new file (mode 0640), which goes again if the block fails."""
    with ExitStack() as undo:
        with opened(folder, name, _CREATE) as file:
            undo.callback(_discard, folder, name)
            yield file
        undo.pop_all()


def write(file: int, data: bytes) -> None:
    """Write all of *data*, however often the kernel takes only a part."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _discard(folder: int, name: Name) -> None:
    # The first fault is the one to tell; what stays behind is hidden and is swept later.
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)
