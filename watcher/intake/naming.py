"""Give the hidden copy of an image its name for ever; see that it has it, or copy again what a power cut took."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, suppress

from watcher import durable
from watcher.errors import ImageRejected, StorageUnavailable
from watcher.intake.source import Sources
from watcher.model import Image

_AGAIN = ".again"


def named(uploads: int, image: Image, sources: Sources) -> bool:
    """Return whether *image* has its name in the open folder *uploads* now; false if it was withdrawn first.

    Raises:
        StorageUnavailable: Another file stands at its name, or the inbox cannot be used.
        OSError: The disk is full or failing.

    """
    try:
        durable.give_name(uploads, image.temporary, image.name)
    except FileNotFoundError:
        there = _status(uploads, image.name)
        if there is None:
            return _copied_again(uploads, image, sources)
        if not _holds(uploads, image, there):
            raise _name_taken(image) from None
    except FileExistsError:
        if not _is_one_file(uploads, image.temporary, image.name):
            raise _name_taken(image) from None
        durable.remove(uploads, image.temporary)
    return True


def _copied_again(uploads: int, image: Image, sources: Sources) -> bool:
    """Copy the source of *image* once more; false if it is not there any more, or not the same.

    The copy has a name that the journal does not know until it is whole and on the disk: half of one is never taken for
    the photo, whatever interrupts us.
    """
    seen = sources.look(image.source)
    if seen is None or seen.identity.size != image.identity.size:
        return False
    with sources.opened(seen) as source, ExitStack() as undo:
        if source is None:
            return False
        durable.remove(uploads, image.temporary + _AGAIN)
        undo.callback(_abandon, uploads, image.temporary + _AGAIN)
        try:
            digest, _ = durable.copy(source, uploads, image.temporary + _AGAIN, limit=image.identity.size)
        except ImageRejected:
            return False
        if digest != image.digest:
            return False
        durable.sync_file(uploads, image.temporary + _AGAIN)
        durable.give_name(uploads, image.temporary + _AGAIN, image.name)
        undo.pop_all()
    return True


def _abandon(uploads: int, name: str) -> None:
    # What cannot be removed now is swept at the next start; what went wrong before is the thing to tell.
    with suppress(OSError):
        durable.remove(uploads, name)


def _holds(uploads: int, image: Image, there: os.stat_result) -> bool:
    """Return whether the bytes of *image* stand at its name."""
    same_size = stat.S_ISREG(there.st_mode) and there.st_size == image.identity.size
    return same_size and durable.digest(uploads, image.name) == image.digest


def _status(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_one_file(folder: int, one: str, other: str) -> bool:
    first, second = (os.stat(name, dir_fd=folder, follow_symlinks=False) for name in (one, other))
    return os.path.samestat(first, second)


def _name_taken(image: Image) -> StorageUnavailable:
    return StorageUnavailable(
        f"A file that is not ours stands at uploads/{image.name}.",
        hint="Move it elsewhere; the photo waits until then.",
        code="name_taken",
    )
