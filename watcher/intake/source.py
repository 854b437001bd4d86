"""The file in the inbox that an image comes from: open it, recognise it again, remove it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from watcher import durable
from watcher.model import Arrival, Identity, Image, Sighting

log = structlog.get_logger()

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def is_leftover(unfinished: Iterable[Image], path: bytes, identity: Identity, digest: str = "") -> bool:
    """Return whether the file at *path* is what is left of an image that is not done with its source yet.

    It is if device, inode, size and mtime are the same, or path, size and digest: inodes are reused at once and network
    shares change their device number, so neither alone proves anything.
    """
    return any(
        image.identity == identity or (digest and (image.identity.size, image.digest) == (identity.size, digest))
        for image in unfinished
        if image.source == path
    )


def fresh(arrival: Arrival, unfinished: Sequence[Image]) -> Iterable[Arrival]:
    """Yield *arrival* unless it is a leftover; without its sidecar if that belongs to an image still being stored."""
    if is_leftover(unfinished, arrival.image.path, arrival.image.identity):
        return
    sidecar = arrival.sidecar
    if sidecar is not None and sidecar.identity is not None:
        used = [image.sidecar.identity for image in unfinished if image.sidecar]
        if sidecar.identity in used or is_leftover(unfinished, sidecar.path, sidecar.identity):
            arrival = replace(arrival, sidecar=None)
    yield arrival


@contextmanager
def opened_source(root: bytes, seen: Sighting) -> Iterator[int | None]:
    """Open the file that was seen below *root*; none if another stands there by now, or none at all."""
    folder, name = os.path.split(seen.path)
    try:
        with durable.opened_folder(root, folder) as parent:
            descriptor = os.open(name, _FLAGS, dir_fd=parent)
    except OSError as error:
        log.debug("intake.changed", path=seen.path, reason=str(error))
        yield None
        return
    try:
        status = os.fstat(descriptor)
        same = (status.st_dev, status.st_ino) == (seen.identity.device, seen.identity.inode)
        yield descriptor if same else None
    finally:
        os.close(descriptor)


def remove_source(root: bytes, path: bytes, identity: Identity) -> set[bytes]:
    """Remove the file at *path* below *root* if it is the one with this *identity*; return the folders to sync.

    Raises:
        OSError: The folder cannot be opened, or nothing may be removed from it.

    """
    folder, name = os.path.split(path)
    with durable.opened_folder(root, folder) as parent:
        return {folder} if durable.remove_if_same(parent, name, identity) else set()


def sync_folders(root: bytes, folders: Iterable[bytes]) -> None:
    """Make removals from *folders* below *root* durable."""
    for folder in folders:
        with durable.storage("the inbox"), durable.opened_folder(root, folder) as descriptor:
            durable.sync_folder(descriptor)


def camera_of(path: bytes) -> str:
    """Return the first-level sub-folder of *path*, printable, or nothing: cameras have a folder each."""
    first, slash, _ = path.partition(b"/")
    return first.decode("utf-8", "backslashreplace") if slash else ""


def stem_of(path: bytes, longest: int = 100) -> str:
    """Return the last part of *path* as harmless text with its ending, the stem in at most *longest* bytes."""
    text = os.path.basename(path).decode("utf-8", "backslashreplace")
    safe = "".join(character if character.isalnum() or character in "-_. " else "_" for character in text)
    stem, ending = os.path.splitext(safe)
    return stem.encode()[:longest].decode("utf-8", "ignore").strip() + ending.lower()[:8]
