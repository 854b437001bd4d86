"""The file of the register: open it, end it properly, search it, append to it."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import structlog

from watcher import durable
from watcher.cells import HEADER_LINE, Layout, Line, NotOurs, is_torn, parse
from watcher.durable.files import opened, write
from watcher.model import Row

log = structlog.get_logger()

NAME = "registros.csv"
TORN = "registros.csv.torn"
"""Where half-written lines are kept that were cut off."""

HEAD = 1024

_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK = 1 << 20
_LONGEST_TAIL = 1 << 16  # bytes; a line of ours has 25,000 at most
_IMPOSTORS = {
    errno.ELOOP: "It is a link; to have the register elsewhere, set [folders] data.",
    errno.EISDIR: "It is a folder.",
    errno.ENXIO: "It is a socket.",
}


@contextmanager
def opened_register(folder: int, *, writing: bool) -> Iterator[int]:
    """Give a descriptor of the register, which is made if it is missing and *writing* is meant.

    Raises:
        FileNotFoundError: There is none, and it is only to be read.
        NotOurs: What stands there is no regular file.

    """
    flags = _OPEN | (os.O_RDWR | os.O_APPEND | os.O_CREAT if writing else os.O_RDONLY)
    try:
        file = os.open(NAME, flags, 0o640, dir_fd=folder)
    except OSError as fault:
        if fault.errno not in _IMPOSTORS:
            raise
        raise NotOurs(_IMPOSTORS[fault.errno]) from fault
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            raise NotOurs(_IMPOSTORS[errno.EISDIR] if stat.S_ISDIR(mode) else "It is no regular file.")
        yield file
    finally:
        os.close(file)


def mend(folder: int, file: int, shape: Layout, owed: Callable[[], Iterable[Row]]) -> tuple[int, bytes]:
    """Return where the file ends once a half line of ours is cut off, and what to write before the next line.

    What is cut off is kept beside it. Anybody else's line without an end is not cut, but ended.
    """
    size = os.fstat(file).st_size
    if not shape.begun:
        _cut(folder, file, size, os.pread(file, HEAD, shape.start))
        return shape.start, HEADER_LINE
    tail = _tail(file, size)
    if not tail:
        return size, b""
    if len(tail) < _LONGEST_TAIL and is_torn(tail, owed(), shape.ending):
        _cut(folder, file, size, tail)
        return size - len(tail), b""
    log.info("register.ended", bytes=len(tail))
    return size, b"\n" if tail.endswith(b"\r") else shape.ending


def blocks(file: int, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from *start*, where a line begins, to *end* in blocks of whole lines, the last block first.

    Blocks have about 1 MiB. Of a line that is longer, which is none of ours, parts may be left out.
    """
    rest = b""
    while start < end:
        place = max(start, end - _BLOCK)
        block = os.pread(file, end - place, place) + rest
        cut = block.find(b"\n") + 1 if place > start else 0
        rest = block[:cut] if cut <= _BLOCK else b""
        yield block[cut:]
        end = place


def find(file: int, names: Collection[str], end: int) -> dict[str, int | None]:
    """Return those of the images *names* that have a line before *end*, each with the id on its last line, if any.

    The names are sought as bytes, and only lines that hold one are parsed: a million lines take less than a second.
    """
    found: dict[str, int | None] = {}
    if not names:
        return found
    sought = re.compile(b"|".join(re.escape(name.encode()) for name in names))
    for block in blocks(file, 0, end):
        lines = (parse(_line_around(block, match), 0) for match in sought.finditer(block))
        found = {line.image: line.id for line in lines if line.image in names} | found
        if len(found) == len(names):
            break
    return found


def put(file: int, data: bytes) -> None:
    """Append *data* in one write and sync, or leave the file as it was and raise OSError.

    After a failed sync the lines have to go as well: the kernel takes them for written, so finding them later would be
    no proof.
    """
    written = os.write(file, data) if data else 0
    with ExitStack() as undo:
        undo.callback(_take_back, file, written)
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
        undo.pop_all()


def lines(file: int, size: int) -> Iterator[Line]:
    """Yield the lines below the header within the first *size* bytes, without the blank ones."""
    number, place, ended = 0, 0, True
    with open(file, "rb", closefd=False) as stream:
        while raw := stream.readline(min(_BLOCK, size - place)):
            place += len(raw)
            number += ended
            ended = raw.endswith(b"\n")
            if number > 1 and raw.strip():
                yield parse(raw, number)


def _tail(file: int, size: int) -> bytes:
    """Return what follows the last line ending, of a long one only the last 64 KiB."""
    if not size or os.pread(file, 1, size - 1) == b"\n":
        return b""
    start = max(0, size - _LONGEST_TAIL)
    return os.pread(file, size - start, start).rpartition(b"\n")[2]


def _cut(folder: int, file: int, size: int, tail: bytes) -> None:
    if not tail:
        return
    with opened(folder, TORN, _OPEN | os.O_WRONLY | os.O_APPEND | os.O_CREAT) as torn:
        write(torn, tail + b"\n")
        os.fsync(torn)
    durable.sync_folder(folder)
    os.ftruncate(file, size - len(tail))
    os.fsync(file)
    log.warning("register.mended", bytes=len(tail), kept=TORN)


def _line_around(block: bytes, match: re.Match[bytes]) -> bytes:
    end = block.find(b"\n", match.end())
    return block[block.rfind(b"\n", 0, match.start()) + 1 : end if end >= 0 else None]


def _take_back(file: int, written: int) -> None:
    # The first fault is the one to tell.
    with suppress(OSError):
        end = os.lseek(file, 0, os.SEEK_CUR)
        # What somebody appended without the lock meanwhile is not ours to cut.
        if written and os.fstat(file).st_size == end:
            os.ftruncate(file, end - written)
