"""Give files their names for ever: without replacing anything, and never to a half-written one."""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from watcher.durable.files import (
    CHUNK,
    LIBC,
    Name,
    created,
    digest,
    digest_of,
    identity_of,
    opened,
    remove,
    remove_if_same,
    sync_file,
    write,
)
from watcher.durable.folders import sync_folder

TEMPORARY = b".tmp-"
"""How the names of the hidden files begin that `write_new` and `move` make; only a kill leaves one behind."""

_LONGEST_NAME = 255
_RENAME_NOREPLACE = 1  # linux/fs.h


def give_name(folder: int, temporary: Name, name: Name, *, target_folder: int | None = None) -> None:
    """Rename without ever replacing; nothing is synced.

    Where the file system cannot do that in one act, a second name is given and the first one taken away; a crash in
    between leaves both, which a repeat recognises.

    Raises:
        FileExistsError: *name* is taken by another file.
        FileNotFoundError: There is no *temporary*.

    """
    target = folder if target_folder is None else target_folder
    refused = LIBC.renameat2(folder, os.fsencode(temporary), target, os.fsencode(name), _RENAME_NOREPLACE)
    number = ctypes.get_errno() if refused else 0
    if number in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
        _link(folder, temporary, target, name)
    elif number:
        raise OSError(number, os.strerror(number), os.fsdecode(name))


def move(source_folder: int, source_name: Name, target_folder: int, target_name: Name) -> None:
    """Sync a file and rename it without replacing, or carry it to another file system; the caller syncs the folders.

    If it has to be carried, the source is removed only if it is still the same, and a crash after the copy has its name
    leaves both, which a repeat recognises. Holes stay holes: a huge sparse file must not fill the other disk.

    Raises:
        FileExistsError: *target_name* is taken by another file.
        FileNotFoundError: There is no such source.
        OSError: EBUSY, it was written to while it was carried; it stays where it is.

    """
    sync_file(source_folder, source_name)
    try:
        give_name(source_folder, source_name, target_name, target_folder=target_folder)
    except OSError as fault:
        # Two bind mounts count as two file systems, even where the device is the same.
        if fault.errno != errno.EXDEV:
            raise
        _carry(source_folder, source_name, target_folder, target_name)


def write_new(folder: int, name: Name, data: bytes) -> None:
    """Write a new file that is there with all its bytes or not at all, and is durable when this returns.

    Raises:
        FileExistsError: *name* is taken.

    """
    temporary = _temporary(folder, name)
    with created(folder, temporary) as file:
        write(file, data)
        os.fsync(file)
        give_name(folder, temporary, name)
    sync_folder(folder)


def _temporary(folder: int, name: Name) -> bytes:
    """Return the hidden name under which *name* is written, free of what a killed attempt left there."""
    temporary = (TEMPORARY + os.fsencode(name))[:_LONGEST_NAME]
    remove(folder, temporary)
    return temporary


def _link(folder: int, temporary: Name, target_folder: int, name: Name) -> None:
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=target_folder, follow_symlinks=False)
    except FileExistsError:
        ours = os.stat(temporary, dir_fd=folder, follow_symlinks=False)
        if not os.path.samestat(ours, os.stat(name, dir_fd=target_folder, follow_symlinks=False)):
            raise
    os.unlink(temporary, dir_fd=folder)


def _carry(source_folder: int, source_name: Name, target_folder: int, target_name: Name) -> None:
    with opened(source_folder, source_name) as source:
        identity = identity_of(os.fstat(source))
        if not _is_there(source, target_folder, target_name):
            _copy_named(source, target_folder, target_name)
    sync_folder(target_folder)
    remove_if_same(source_folder, source_name, identity)


def _is_there(source: int, folder: int, name: Name) -> bool:
    """Return whether an earlier attempt has copied the open file *source* to *name* already."""
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(there.st_mode) or digest(folder, name) != digest_of(source):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(name))
    return True


def _copy_named(source: int, folder: int, name: Name) -> None:
    """Copy the open file *source* durably to *name*, with its times."""
    before = os.fstat(source)
    temporary = _temporary(folder, name)
    with created(folder, temporary) as target:
        _transfer(source, target, before.st_size)
        os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.fsync(target)
        if identity_of(os.fstat(source)) != identity_of(before):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), os.fsdecode(name))
        give_name(folder, temporary, name)


def _transfer(source: int, target: int, size: int) -> None:
    os.ftruncate(target, size)
    place = _next_data(source, 0, size)
    while chunk := os.pread(source, min(CHUNK, size - place), place):
        os.lseek(target, place, os.SEEK_SET)
        write(target, chunk)
        place = _next_data(source, place + len(chunk), size)


def _next_data(source: int, place: int, size: int) -> int:
    """Return where the next bytes are that are not in a hole, at or after *place*; *size* if there are none."""
    try:
        return os.lseek(source, place, os.SEEK_DATA)
    except OSError as fault:
        if fault.errno == errno.ENXIO:
            return size
        if fault.errno in {errno.EINVAL, errno.EOPNOTSUPP}:
            return place
        raise
