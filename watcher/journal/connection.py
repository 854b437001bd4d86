"""The journal's file: its schema, and one connection that all threads use in turn.

WAL with `synchronous = FULL`: what a transaction returned from is on the disk. One connection, so that no two threads
ever wait for each other inside SQLite; any failure closes it, which undoes the transaction, and the next turn opens it
anew.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watcher.errors import JournalUnusable, StorageUnavailable

FILE = "journal.sqlite3"
APPLICATION = int.from_bytes(b"mtwj")
"""What tells our journal from another program's database, in the header of the file."""
SCHEMA_VERSION = 1

_BUSY_SECONDS = 2.0
_UNUSABLE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MAY_HEAL = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_SCHEMA,
    }
)
_NOTHING = "file::memory:"
"""Where listings look when there is no journal: an empty one."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    stamp TEXT,
    sequence INTEGER,
    reason TEXT NOT NULL,
    source BLOB NOT NULL,
    device TEXT NOT NULL,
    inode TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns TEXT NOT NULL,
    digest TEXT NOT NULL,
    temporary TEXT NOT NULL,
    camera TEXT NOT NULL,
    kind TEXT NOT NULL,
    sidecar TEXT,
    arrived_at TEXT NOT NULL,
    captured_at TEXT NOT NULL,
    time_source TEXT NOT NULL,
    duplicate_of TEXT NOT NULL,
    admitted_at REAL NOT NULL,
    reading TEXT,
    record_id INTEGER,
    recorded_at TEXT
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS image_stamps ON images (stamp, sequence) WHERE stamp IS NOT NULL;
CREATE INDEX IF NOT EXISTS image_digests ON images (digest, admitted_at) WHERE reason = '';
CREATE INDEX IF NOT EXISTS image_sources ON images (source, id);
CREATE INDEX IF NOT EXISTS image_reasons ON images (reason, id) WHERE reason <> '';
CREATE INDEX IF NOT EXISTS image_records ON images (record_id) WHERE record_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY,
    image INTEGER NOT NULL REFERENCES images (id),
    act TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('owed', 'done', 'parked')),
    claimed INTEGER NOT NULL DEFAULT 0,
    suspect INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    strikes INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    UNIQUE (image, act)
) STRICT;
CREATE INDEX IF NOT EXISTS task_queue ON tasks (act, suspect, due_at, id) WHERE status = 'owed' AND claimed = 0;
CREATE INDEX IF NOT EXISTS task_open ON tasks (status, act) WHERE status <> 'done';
"""


class Connection:
    """The one connection to the journal in *folder*; with *reading_only* it creates and changes nothing."""

    def __init__(self, folder: Path, *, reading_only: bool = False) -> None:
        self.path = folder / FILE
        self._reading_only = reading_only
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._opened_at = ""

    def close(self) -> None:
        """Close it; the next turn opens it again."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    @contextmanager
    def turn(self, *, writing: bool) -> Iterator[sqlite3.Connection]:
        """Give one thread the connection, inside a transaction: all or nothing. Nothing may be yielded from inside.

        Raises:
            StorageUnavailable: The disk is full or failing, or the file is locked or not ours to use; try again later.
            JournalUnusable: It is not a database, is corrupt, another program's or of an unknown schema.

        """
        with self._lock:
            try:
                db = self._ready()
                db.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
                yield db
                db.execute("COMMIT")
            except sqlite3.Error as error:
                self.close()
                trouble = meaning(error, self.path)
                if trouble is None:
                    raise
                raise trouble from error
            except BaseException:
                self.close()
                raise

    def changed(self) -> int:
        """Return a number that differs from the last one if another process has written to the journal."""
        with self.turn(writing=False) as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0])

    def _ready(self) -> sqlite3.Connection:
        if self._reading_only and self._db is not None and self._address() != self._opened_at:
            self.close()
        if self._db is None:
            self._db = self._opened()
        return self._db

    def _opened(self) -> sqlite3.Connection:
        self._opened_at = self._address()
        db = _connected(self._opened_at)
        try:
            empty = _is_empty(db, self.path)
            if empty and self._reading_only:
                db.close()
                db = _connected(_NOTHING)
                db.executescript(SCHEMA)
            elif not self._reading_only:
                _make_durable(db)
                if empty:
                    db.executescript(_CREATION)
        except BaseException:
            db.close()
            raise
        return db

    def _address(self) -> str:
        address = self.path.absolute().as_uri()
        if not self._reading_only:
            return address
        try:
            self.path.stat()
            quiet = not os.path.lexists(f"{self.path}-wal")
        except FileNotFoundError:
            return _NOTHING
        except OSError as error:
            raise StorageUnavailable(
                f"The journal {self.path} cannot be read by us ({error.strerror}).",
                hint="Run this as the user that the daemon runs as, or as root.",
            ) from error
        # Without a write-ahead log beside it nobody is writing, and `immutable` keeps SQLite from creating one.
        return address + ("?mode=ro&immutable=1" if quiet else "?mode=ro")


_CREATION = f"""BEGIN IMMEDIATE; {SCHEMA}
PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"""


def meaning(error: sqlite3.Error, path: Path) -> JournalUnusable | StorageUnavailable | None:
    """Return what *error* means for the journal at *path*; none if it is a fault of ours and not of the disk."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _UNUSABLE:
        return JournalUnusable(
            f"The journal {path} cannot be read ({error}).",
            hint=f"Move {path.name}* away and start again: photos and rows stay, only what was owed is forgotten.",
        )
    if code in _MAY_HEAL:
        return StorageUnavailable(
            f"The journal {path} cannot be used at the moment ({error}).",
            hint="Check the free space, the rights and the health of its disk.",
        )
    return None


def _connected(address: str) -> sqlite3.Connection:
    db = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    return db


def _is_empty(db: sqlite3.Connection, path: Path) -> bool:
    """Return whether nobody has written anything into it yet.

    Raises:
        JournalUnusable: Somebody else has, or another version of this program.

    """
    db.execute("BEGIN")
    version, application, tables = (
        int(db.execute(question).fetchone()[0])
        for question in ("PRAGMA user_version", "PRAGMA application_id", "SELECT count(*) FROM sqlite_master")
    )
    db.execute("COMMIT")
    if (version, application, tables) == (0, 0, 0):
        return True
    if application != APPLICATION:
        raise JournalUnusable(
            f"The file {path} is a database of another program.",
            hint=f"Move {path.name}* away, or use another data folder.",
        )
    if version != SCHEMA_VERSION:
        raise JournalUnusable(
            f"The journal {path} has schema {version}; this program knows {SCHEMA_VERSION}.",
            hint="Use the version of matricula-watcher that wrote it, or a newer one.",
        )
    return False


def _make_durable(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    # A log whose sync failed once may seem to be on the disk and not be there: write its content anew, elsewhere.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
