"""What disks, mounts and missing rights can do, in the words of an operator."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from watcher.errors import StorageUnavailable


@dataclass(frozen=True, slots=True)
class Trouble:
    """Its code, the error numbers that mean it, a reason that names *what* it happened to, and the remedy."""

    code: str
    numbers: frozenset[int]
    reason: str
    hint: str


_AGAIN = "It is tried again by itself."
_TROUBLES = (
    Trouble(
        "disk_full",
        frozenset({errno.ENOSPC, errno.EDQUOT}),
        "there is no room left for {what}",
        "Free some space, or enlarge the disk or the quota. " + _AGAIN,
    ),
    Trouble(
        "file_limit",
        frozenset({errno.EFBIG}),
        "no file may grow that large for {what}",
        "Raise LimitFSIZE= of the service, or use a file system that allows larger files.",
    ),
    Trouble(
        "read_only",
        frozenset({errno.EROFS}),
        "the file system of {what} is read-only",
        "Mount it for writing; if the kernel made it so, `dmesg` tells why. " + _AGAIN,
    ),
    Trouble(
        "no_rights",
        frozenset({errno.EACCES, errno.EPERM}),
        "the service has no rights for {what}",
        "Check the owner, the mode and ReadWritePaths= of the service; `matricula-watcher doctor` tells more.",
    ),
    Trouble(
        "out_of_files",
        frozenset({errno.EMFILE, errno.ENFILE}),
        "no more files can be opened for {what}",
        "Raise LimitNOFILE= of the service.",
    ),
    Trouble(
        "out_of_memory",
        frozenset({errno.ENOMEM, errno.ENOBUFS}),
        "there is no memory left for {what}",
        "Free some, or raise MemoryMax= of the service.",
    ),
    Trouble(
        "io_error",
        # Beside EIO, what block devices (ENODATA, EREMOTEIO, ENOLINK) and corrupt file systems (the others) answer.
        frozenset({errno.EIO, errno.ENODATA, errno.EREMOTEIO, errno.ENOLINK, errno.EUCLEAN, errno.EBADMSG}),
        "the disk failed on {what}",
        "See `dmesg`, and check the disk. " + _AGAIN,
    ),
    Trouble(
        "unreachable",
        frozenset(
            {
                errno.ESTALE,
                errno.ETIMEDOUT,
                errno.ENODEV,
                errno.ENXIO,
                errno.ENOTCONN,
                errno.EHOSTDOWN,
                errno.EHOSTUNREACH,
                errno.ENETDOWN,
                errno.ENETUNREACH,
                errno.ENETRESET,
                errno.ECONNABORTED,
                errno.ECONNREFUSED,
                errno.ECONNRESET,
                errno.ESHUTDOWN,
            }
        ),
        "{what} is out of reach",
        "Check the mount and the network. " + _AGAIN,
    ),
    Trouble(
        "busy",
        frozenset({errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ETXTBSY, errno.ENOLCK, errno.EDEADLK}),
        "{what} is busy",
        _AGAIN,
    ),
)


@contextmanager
def storage(what: str) -> Iterator[None]:
    """Turn what a disk, a mount or missing rights can do to *what*, as an operator calls it, into an error that heals.

    Everything else passes, above all FileExistsError, FileNotFoundError and NotADirectoryError.

    Raises:
        StorageUnavailable: With the code `disk_full`, `file_limit`, `read_only`, `no_rights`, `out_of_files`,
            `out_of_memory`, `io_error`, `unreachable` or `busy`.

    """
    try:
        yield
    except OSError as fault:
        trouble = next((trouble for trouble in _TROUBLES if fault.errno in trouble.numbers), None)
        if trouble is None or fault.errno is None:
            raise
        sentence = f"{trouble.reason.format(what=what)} ({os.strerror(fault.errno)})."
        raise StorageUnavailable(sentence[0].upper() + sentence[1:], hint=trouble.hint, code=trouble.code) from fault
