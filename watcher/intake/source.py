"""The file in the inbox that an image comes from: open it, recognise it again, remove it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import structlog

from watcher import durable
from watcher.durable.files import digest_of, identity_of
from watcher.errors import StorageUnavailable
from watcher.intake.leftovers import same_file
from watcher.model import Identity, Image, Sighting

log = structlog.get_logger()

Look = Callable[[bytes], Sighting | None]

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ANOTHER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What opening says where the file that was seen is gone, or something that is no file stands in its place."""


class Sources:
    """The files of the inbox at *root*, a real path; *look* is one more look at one of them."""

    def __init__(self, root: bytes, look: Look) -> None:
        self._root = root
        self._look = look

    def look(self, path: bytes) -> Sighting | None:
        """Return what one more look at *path* shows; none if it is gone or no plain file any more.

        Raises:
            StorageUnavailable: The inbox cannot be used at the moment.

        """
        with durable.storage("the inbox"):
            return self._look(path)

    @contextmanager
    def opened(self, seen: Sighting) -> Iterator[int | None]:
        """Open the file that was *seen*; none if another stands there by now, or none at all.

        Raises:
            StorageUnavailable: The inbox cannot be used at the moment.

        """
        folder, name = os.path.split(seen.path)
        descriptor = None
        try:
            with durable.storage("the inbox"), durable.opened_folder(self._root, folder) as parent:
                descriptor = os.open(name, _FLAGS, dir_fd=parent)
        except OSError as error:
            if error.errno not in _ANOTHER:
                raise
        try:
            same = descriptor is not None and same_file(identity_of(os.fstat(descriptor)), seen.identity)
            yield descriptor if same else None
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def is_unchanged(self, before: Sighting) -> bool:
        """Return whether a file still looks as *before*, with nobody writing to it."""
        try:
            after = self._look(before.path)
        except OSError as error:
            log.debug("intake.changed", path=before.path, reason=str(error))
            return False
        same = (
            after is not None
            and after.writer != "open"
            and (after.identity, after.ctime_ns) == (before.identity, before.ctime_ns)
        )
        if not same:
            log.debug("intake.changed", path=before.path)
        return same

    def release(self, image: Image, changed: set[bytes]) -> bool:
        """Remove the sidecar, then the source of *image*, and note the folders that *changed*.

        Each goes only if a look directly before shows the same file; return false if one has to stay, because somebody
        is writing to it or because we may not remove it.
        """
        try:
            for path, identity, digest in _belongings(image):
                seen = self._look(path)
                if seen is not None and not self._is_same(seen, identity, digest):
                    continue
                if seen is not None and seen.writer == "open":
                    return False
                changed |= remove_source(self._root, path, seen.identity if seen else identity)
        except (OSError, StorageUnavailable) as error:
            log.warning("inbox.unwritable", folder=os.path.dirname(image.source), reason=str(error))
            return False
        return True

    def sync(self, folders: Iterable[bytes]) -> None:
        """Make removals from *folders* durable; one that is gone by now has nothing to sync.

        Raises:
            StorageUnavailable: One cannot be synced.

        """
        for folder in folders:
            try:
                with durable.storage("the inbox"), durable.opened_folder(self._root, folder) as descriptor:
                    durable.sync_folder(descriptor)
            except (FileNotFoundError, NotADirectoryError) as error:
                log.debug("intake.changed", path=folder, reason=str(error))

    def _is_same(self, seen: Sighting, identity: Identity, digest: str) -> bool:
        """Return whether the file that was *seen* has this identity or, if that changed, the same *digest*."""
        if not digest:
            return same_file(seen.identity, identity)
        if seen.identity == identity or seen.identity.size != identity.size:
            return seen.identity == identity
        with self.opened(seen) as source:
            return source is not None and digest_of(source) == digest


def _belongings(image: Image) -> Iterator[tuple[bytes, Identity, str]]:
    """Yield path, identity and digest of what was taken in with *image*; of a sidecar the digest is not known."""
    sidecar = image.sidecar
    if sidecar is not None and sidecar.identity is not None and not sidecar.error:
        yield sidecar.path, sidecar.identity, ""
    yield image.source, image.identity, image.digest


def is_readable(source: int) -> bool:
    """Return whether the open file *source* can be read to its end; if not, it is to blame that it was not copied."""
    try:
        digest_of(source)
    except OSError:
        return False
    return True


def remove_source(root: bytes, path: bytes, identity: Identity) -> set[bytes]:
    """Remove the file at *path* below *root* if it is the one with this *identity*; return the folders to sync.

    Raises:
        OSError: Nothing may be removed from its folder.

    """
    folder, name = os.path.split(path)
    try:
        with durable.opened_folder(root, folder) as parent:
            there = identity_of(os.stat(name, dir_fd=parent, follow_symlinks=False))
            removed = same_file(there, identity) and durable.remove_if_same(parent, name, there)
    except (FileNotFoundError, NotADirectoryError):
        # With the folder went what was to be removed.
        return set()
    return {folder} if removed else set()
