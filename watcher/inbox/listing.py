"""Walk the inbox and tell photos, sidecars and everything else apart by their names alone."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from watcher import durable

What = Literal["image", "sidecar", "folder", "other", "unwritable", "unlistable"]
_IMAGE_ENDINGS = (b".jpg", b".jpeg", b".png")
_DEEPEST = 16
"""Levels of sub-folders; cameras make up to seven, and an attacker must not make us walk for ever."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry of the inbox, or a folder that was opened, the inbox itself included.

    *why* says what an entry of another kind is (`symlink`, `special`, `suffix`, …), and of a folder on a network mount
    that it is `network`.
    """

    path: bytes
    what: What
    why: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies in the inbox at this moment.

    Attributes:
        waiting: How many images.
        ignored: How many entries that will never be taken.
        oldest: When the oldest image landed, in seconds since the epoch; none if none waits.
        largest: Bytes of the largest image.
        alone: How many sidecars without an image beside them.
        unwritable: How many folders from which nothing is taken, since we may not list or change them.
        first_unwritable: The path of one of them.

    """

    waiting: int = 0
    ignored: int = 0
    oldest: float | None = None
    largest: int = 0
    alone: int = 0
    unwritable: int = 0
    first_unwritable: bytes = b""


class Ignore:
    """The names that are never looked at: hidden ones, and those matching one of the *patterns*."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)", re.IGNORECASE)

    def __call__(self, name: bytes) -> bool:
        """Return whether *name* is to be passed over without a word."""
        return name.startswith(b".") or self._patterns.match(os.fsdecode(name)) is not None


def image_names(sidecar: bytes) -> tuple[bytes, ...]:
    """Return the paths of the images that the sidecar at this path may belong to."""
    stem = sidecar[: -len(b".json")]
    if _looks_like_image(stem):
        return (stem,)
    return tuple(stem + ending for lower in _IMAGE_ENDINGS for ending in (lower, lower.upper()))


def walk(root: bytes, ignore: Ignore, network: Container[int] = frozenset()) -> Iterator[Found]:
    """Yield what lies below *root*, folder by folder; lazily, so that a backlog is never in memory.

    Photos and sidecars in a folder from which we may not remove anything are not yielded, only the folder itself, once
    more, as `unwritable`. *network* holds the devices of network mounts.

    Raises:
        OSError: The root itself cannot be listed.

    """
    folders: list[bytes] = [b""]
    while folders:
        folder = folders.pop()
        try:
            yield from _folder(root, folder, ignore, network, folders)
        except OSError as error:
            if not folder:
                raise
            # One that was removed meanwhile is no news.
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                yield Found(folder, "unlistable", os.strerror(error.errno or 0))


def _folder(
    root: bytes, folder: bytes, ignore: Ignore, network: Container[int], folders: list[bytes]
) -> Iterator[Found]:
    with durable.opened_folder(root, folder) as descriptor, os.scandir(descriptor) as entries:
        yield Found(folder, "folder", "network" if os.fstat(descriptor).st_dev in network else "")
        writable = os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor, effective_ids=True)
        if not writable:
            yield Found(folder, "unwritable")
        for entry in entries:
            name = os.fsencode(entry.name)
            if ignore(name):
                continue
            found = _found(os.path.join(folder, name), name, entry)
            if found.what == "folder":
                folders.append(found.path)
            elif writable or found.what == "other":
                yield found


def _found(path: bytes, name: bytes, entry: os.DirEntry[str]) -> Found:
    try:
        folder, file = entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)
    except OSError:
        # Some file systems do not list the kinds, and then have to be asked for each.
        return Found(path, "other", "unreadable")
    if folder:
        return _inner(path, name)
    if not file:
        return Found(path, "other", "symlink" if entry.is_symlink() else "special")
    if _looks_like_image(name):
        return Found(path, "image")
    if name.lower().endswith(b".json"):
        return Found(path, "sidecar")
    return Found(path, "other", "suffix")


def _inner(path: bytes, name: bytes) -> Found:
    if _looks_like_image(name):
        return Found(path, "other", "folder")
    if path.count(b"/") >= _DEEPEST:
        return Found(path, "other", "too_deep")
    return Found(path, "folder")


def _looks_like_image(name: bytes) -> bool:
    return name.lower().endswith(_IMAGE_ENDINGS)


def survey(root: bytes, ignore: Ignore) -> Survey:
    """Count what lies below *root*, changing nothing.

    Raises:
        OSError: The root itself cannot be listed.

    """
    seen = Survey()
    for found in walk(root, ignore):
        match found.what:
            case "image":
                seen = _with_image(seen, root, found.path)
            case "sidecar":
                seen = replace(seen, alone=seen.alone + _is_alone(root, found.path))
            case "unwritable" | "unlistable":
                first = seen.first_unwritable if seen.unwritable else found.path
                seen = replace(seen, unwritable=seen.unwritable + 1, first_unwritable=first)
            case "other":
                seen = replace(seen, ignored=seen.ignored + 1)
    return seen


def _with_image(seen: Survey, root: bytes, path: bytes) -> Survey:
    try:
        status = os.lstat(os.path.join(root, path))
    except OSError:
        return seen
    if not stat.S_ISREG(status.st_mode):
        return seen
    oldest = status.st_ctime if seen.oldest is None else min(seen.oldest, status.st_ctime)
    return replace(seen, waiting=seen.waiting + 1, oldest=oldest, largest=max(seen.largest, status.st_size))


def _is_alone(root: bytes, path: bytes) -> bool:
    return not any(os.path.lexists(os.path.join(root, name)) for name in image_names(path))
