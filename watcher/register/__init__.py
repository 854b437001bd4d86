"""`registros.csv`: one row per image, exactly once.

The name of the image in the last cell is unique, so the row itself says that it was written. Other programs may change
the file whenever they hold `registros_lock`; those that do not take it are noticed, not stopped.
A link in place of the file is refused, since replacing, locking and syncing would each happen in the wrong folder; who
wants the register elsewhere sets `[folders] data`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from watcher import durable
from watcher.cells import HEADER, LONGEST_ID, Line, NotOurs, layout, line_of, row
from watcher.errors import RegisterForeign, RegisterSuspended, StorageUnavailable
from watcher.model import Row
from watcher.register import file as csv_file
from watcher.register.lock import Wait, registros_lock

__all__ = ["HEADER", "Line", "Register", "Row", "registros_lock", "row"]

log = structlog.get_logger()

_IDS = re.compile(rb'\n"?([0-9]{1,%d})"?,' % LONGEST_ID)
_LAST = 256
_HINT = (
    f"Save it as CSV in UTF-8 with commas and the columns {','.join(HEADER)}; or move it elsewhere: a new one is begun,"
    " and `matricula-watcher verify --repair` brings the rows back."
)


@dataclass(frozen=True, slots=True)
class _State:
    """The file as we know it: device and inode, size in bytes, mtime, last bytes, highest id, number of rows."""

    file: tuple[int, int]
    size: int
    mtime_ns: int
    last: bytes
    highest: int
    rows: int


class Register:
    """The register in *folder*, for one thread; *patience* is how many seconds it waits for the lock.

    Attributes:
        path: Of the file.
        rewritten: How many times another program was seen to have rewritten it.

    """

    def __init__(self, folder: Path, *, patience: float = 5.0, wait: Wait = time.sleep) -> None:
        self.path = folder / csv_file.NAME
        self.rewritten = 0
        self._folder = folder
        self._patience = patience
        self._wait = wait
        self._left: _State | None = None
        self._anchored: tuple[int, int] | None = None

    def check(self) -> None:
        """Look whether the register can be used, and change nothing; it is fine if there is none yet.

        Raises:
            RegisterForeign: It is not ours.
            StorageUnavailable: It cannot be read.

        """
        with self._judged(RegisterForeign), durable.opened_folder(os.fsencode(self._folder)) as folder:
            if _stands_in(folder):
                with csv_file.opened_register(folder, writing=False) as file:
                    layout(os.pread(file, csv_file.HEAD, 0))

    def append(self, rows: Sequence[Row], *, highest_id: int, owed: Callable[[], Iterable[Row]]) -> list[int]:
        """Append all of *rows*, or none, and return the id of each; it is durable when this returns.

        A row that is *repeated* and stands there already is not written again, and keeps its id. One that had an id
        before gets it again, unless another row has it by now.

        Args:
            rows: At most one for each image.
            highest_id: The highest that the journal remembers, so that the ids of deleted rows do not come back.
            owed: Asked for every row that is owed, should the file end in the middle of a line.

        Raises:
            RegisterSuspended: It is not ours at the moment.
            StorageUnavailable: Another program holds the lock, or the disk is full or failing.

        """
        with (
            self._judged(RegisterSuspended),
            durable.opened_folder(os.fsencode(self._folder)) as folder,
            self._locked(),
            csv_file.opened_register(folder, writing=True) as file,
        ):
            self._anchor(folder, file)
            shape = layout(os.pread(file, csv_file.HEAD, 0))
            end, opening = csv_file.mend(folder, file, shape, owed)
            before = self._survey(file, end)
            found = csv_file.find(file, {item.imagen for item in rows if item.repeated}, end)
            taken = _in_use(file, end, {item.id for item in rows if item.id is not None})
            ids, lines = _numbered(rows, found, taken, max(highest_id, before.highest), shape.ending)
            csv_file.put(file, opening + b"".join(lines))
            self._left = _after(file, before, len(opening) + sum(map(len, lines)), len(lines), ids)
        return ids

    def lines(self) -> Iterator[Line]:
        """Yield the lines below the header as they stand now, without blank ones; the lock is let go before the first.

        Raises:
            RegisterSuspended: It is not ours.
            StorageUnavailable: Another program holds the lock, or it cannot be read.

        """
        with self._judged(RegisterSuspended), ExitStack() as opened:
            folder = opened.enter_context(durable.opened_folder(os.fsencode(self._folder)))
            if not _stands_in(folder):
                return
            with self._locked():
                file = opened.enter_context(csv_file.opened_register(folder, writing=False))
                size = os.fstat(file).st_size
            layout(os.pread(file, csv_file.HEAD, 0))
            yield from csv_file.lines(file, size)

    def _locked(self) -> AbstractContextManager[None]:
        return registros_lock(self._folder, patience=self._patience, wait=self._wait)

    @contextmanager
    def _judged(self, foreign: type[RegisterForeign | RegisterSuspended]) -> Iterator[None]:
        """Say in errors of our own what is wrong with the file, *foreign* if it is another's."""
        try:
            with durable.storage("the register"):
                yield
        except NotOurs as what:
            raise foreign(f"{self.path} is not our register. {what}", hint=_HINT) from what
        except FileNotFoundError as fault:
            raise StorageUnavailable(
                f"{os.fsdecode(fault.filename)} is not there.", hint="Mount it, or put it back.", code="unreachable"
            ) from fault

    def _anchor(self, folder: int, file: int) -> None:
        """Sync the name of a file that is new to us: just made, or put there by a program that does not sync."""
        status = os.fstat(file)
        if self._anchored != (status.st_dev, status.st_ino):
            durable.sync_folder(folder)
            self._anchored = status.st_dev, status.st_ino

    def _survey(self, file: int, end: int) -> _State:
        """Return what the file holds before *end*, reading only what was added since we left it."""
        left = self._left
        if left is None:
            return _state(file, end, *_count(file, 0, end))
        continued = _continues(file, end, left)
        if continued and (end > left.size or os.fstat(file).st_mtime_ns == left.mtime_ns):
            highest, rows = _count(file, left.size, end)
            return _state(file, end, max(left.highest, highest), left.rows + rows)
        highest, rows = _count(file, 0, end)
        if not continued or rows < left.rows:
            self.rewritten += 1
            log.warning(
                "register.rewritten",
                rows_before=left.rows,
                rows_after=rows,
                missing=max(0, left.rows - rows),
                hint="`matricula-watcher verify --repair` brings missing rows back.",
            )
        return _state(file, end, highest, rows)


def _stands_in(folder: int) -> bool:
    try:
        os.stat(csv_file.NAME, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _state(file: int, size: int, highest: int, rows: int) -> _State:
    status = os.fstat(file)
    return _State((status.st_dev, status.st_ino), size, status.st_mtime_ns, _last(file, size), highest, rows)


def _last(file: int, end: int) -> bytes:
    start = max(0, end - _LAST)
    return os.pread(file, end - start, start)


def _continues(file: int, end: int, left: _State) -> bool:
    """Return whether the file is the one that we left, with nothing changed but what follows."""
    status = os.fstat(file)
    same = (status.st_dev, status.st_ino) == left.file and end >= left.size
    return same and _last(file, left.size) == left.last


def _count(file: int, start: int, end: int) -> tuple[int, int]:
    """Return the highest id and the number of rows between two beginnings of lines."""
    highest = rows = 0
    for block in csv_file.blocks(file, start, end):
        ids = _IDS.findall(b"\n" + block)
        highest = max(highest, max(map(int, ids), default=0))
        rows += len(ids)
    return highest, rows


def _in_use(file: int, end: int, wanted: set[int]) -> set[int]:
    """Return those of the ids *wanted* that a row before *end* has; nothing is read if none is."""
    blocks = csv_file.blocks(file, 0, end) if wanted else ()
    return {number for block in blocks for number in wanted & set(map(int, _IDS.findall(b"\n" + block)))}


def _numbered(
    rows: Sequence[Row], found: Mapping[str, int | None], taken: set[int], highest: int, ending: bytes
) -> tuple[list[int], list[bytes]]:
    """Return the id of each row, and the lines of those that were not found.

    A row that was found without an id, since somebody damaged its line, gets one all the same; its line stands.
    """
    ids: list[int] = []
    lines: list[bytes] = []
    for item in rows:
        number = found.get(item.imagen)
        if number is None and item.id not in taken:
            number = item.id
        if number is None:
            number = highest = highest + 1
        if item.imagen not in found:
            lines.append(line_of(item, number, ending))
        ids.append(number)
    return ids, lines


def _after(file: int, before: _State, written: int, rows: int, ids: Sequence[int]) -> _State:
    """Return how we leave the file after *written* bytes with *rows* rows."""
    if not written:
        return before
    size = before.size + written
    if os.lseek(file, 0, os.SEEK_CUR) != size:
        # Somebody appended without the lock just before us; it is read the next time.
        return before
    return _state(file, size, max(before.highest, *ids) if ids else before.highest, before.rows + rows)
