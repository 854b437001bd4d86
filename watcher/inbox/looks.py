"""One look at one file in the inbox, and all that a look can find out.

The inbox belongs to strangers: nothing is opened through a link, nothing that is not a regular file is read, and every
answer comes from the descriptor, never from the path a second time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import partial

from watcher import durable, images, sidecar
from watcher.model import Ending, Identity, Sighting, Writer

_NO_LEASE = frozenset({errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISLNK, "symlink"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "fifo"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


_Inside = Callable[[int, int], tuple[Ending, str]]


@dataclass(frozen=True, slots=True)
class Ignored:
    """Something that will never be a photo stands here: *what* it is, and its device and inode."""

    what: str
    device: int
    inode: int


def identity_of(status: os.stat_result) -> Identity:
    """Return the identity of the file that *status* describes."""
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def look_at_image(
    root: bytes, path: bytes, network: Container[int], last: Sighting | None = None, *, largest: int = 1 << 28
) -> Sighting | Ignored | None:
    """Look at the image at *path* below *root*; none if it is gone.

    What *last* saw inside the file is taken over if the file is unchanged. One of more than *largest* bytes is not
    looked into: a hole of terabytes costs a stranger nothing.

    Raises:
        OSError: The folder cannot be looked into at all.

    """
    return _look(root, path, network, last, partial(_inside_image, largest))


def look_at_sidecar(root: bytes, path: bytes, network: Container[int]) -> Sighting | Ignored | None:
    """Look at the sidecar at *path* below *root*; none if there is none.

    Raises:
        OSError: The folder cannot be looked into at all.

    """
    return _look(root, path, network, None, _inside_sidecar)


def read_sidecar(root: bytes, sighting: Sighting) -> bytes | None:
    """Return the bytes of the sidecar that was seen, one more than allowed at most; none if it is another by now."""
    folder, name = os.path.split(sighting.path)
    try:
        with durable.opened_folder(root, folder) as parent:
            descriptor = os.open(name, _FLAGS, dir_fd=parent)
    except OSError:
        return None
    try:
        if identity_of(os.fstat(descriptor)) != sighting.identity:
            return None
        return os.pread(descriptor, sidecar.LARGEST + 1, 0)
    finally:
        os.close(descriptor)


def _look(
    root: bytes, path: bytes, network: Container[int], last: Sighting | None, inside: _Inside
) -> Sighting | Ignored | None:
    folder, name = os.path.split(path)
    try:
        with durable.opened_folder(root, folder) as parent:
            try:
                descriptor = os.open(name, _FLAGS, dir_fd=parent)
            except OSError as error:
                return _unopened(parent, name, error)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return _opened(descriptor, path, network, last, inside)
    finally:
        os.close(descriptor)


def _unopened(parent: int, name: bytes, error: OSError) -> Ignored | None:
    """Say what stands at *name*, which *error* kept from being opened."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError as missing:
        # The name of a sidecar may be too long to exist although that of its image is not.
        if missing.errno in {errno.ENOENT, errno.ENAMETOOLONG}:
            return None
        raise
    what = next((word for test, word in _KINDS if test(status.st_mode)), "")
    if not what:
        if error.errno not in {errno.EACCES, errno.EPERM}:
            raise error
        what = "unreadable"
    return Ignored(what, status.st_dev, status.st_ino)


def _opened(
    descriptor: int, path: bytes, network: Container[int], last: Sighting | None, inside: _Inside
) -> Sighting | Ignored:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        what = next((word for test, word in _KINDS if test(status.st_mode)), "unknown")
        return Ignored(what, status.st_dev, status.st_ino)
    identity = identity_of(status)
    if last is not None and (last.identity, last.ctime_ns) == (identity, status.st_ctime_ns):
        ending, form = last.ending, last.form
    else:
        ending, form = inside(descriptor, status.st_size)
    remote = status.st_dev in network
    return Sighting(
        path=path,
        identity=identity,
        ctime_ns=status.st_ctime_ns,
        links=status.st_nlink,
        # There a lease knows nothing of other machines, and NFS and CIFS refuse one as if somebody were writing.
        writer="unknown" if remote else _writer(descriptor),
        ending=ending,
        form=form,
        network=remote,
    )


def _writer(descriptor: int) -> Writer:
    """Return whether somebody has the file open for writing: a read lease is granted only if nobody has."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return "open"
        if error.errno in _NO_LEASE:
            return "unknown"
        raise
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return "none"


def _inside_image(largest: int, descriptor: int, size: int) -> tuple[Ending, str]:
    return images.ending(descriptor, size) if size <= largest else ("cut", "")


def _inside_sidecar(descriptor: int, size: int) -> tuple[Ending, str]:
    del size
    return ("whole" if sidecar.whole(os.pread(descriptor, sidecar.LARGEST + 1, 0)) else "cut"), "json"
