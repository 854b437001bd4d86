"""The journal's file: its schema, and one connection that all threads use in turn.

WAL with `synchronous = FULL`: what a transaction returned from is on the disk. One connection, so that no two threads
ever wait for each other inside SQLite; a failed disk closes it and the next turn opens it anew.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watcher.errors import JournalUnusable, StorageUnavailable

FILE = "journal.sqlite3"
_BUSY_MILLISECONDS = 10_000
_UNUSABLE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    stamp TEXT,
    sequence INTEGER,
    reason TEXT NOT NULL,
    source BLOB NOT NULL,
    device TEXT NOT NULL,
    inode TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
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
    record_id INTEGER UNIQUE,
    recorded_at TEXT
) STRICT;
CREATE UNIQUE INDEX image_stamps ON images (stamp, sequence) WHERE stamp IS NOT NULL;
CREATE INDEX image_digests ON images (digest, admitted_at) WHERE reason = '';
CREATE INDEX image_sources ON images (source, id);
CREATE INDEX image_reasons ON images (reason, id) WHERE reason <> '';
CREATE TABLE tasks (
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
CREATE INDEX task_queue ON tasks (act, suspect, due_at, id) WHERE status = 'owed' AND claimed = 0;
CREATE INDEX task_open ON tasks (status, act) WHERE status <> 'done';
"""


def meaning(error: sqlite3.Error, path: Path) -> JournalUnusable | StorageUnavailable:
    """Return what *error* means for the journal at *path*: unusable for good, or only at the moment."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNUSABLE:
        return JournalUnusable(
            f"The journal {path} cannot be read ({error}).",
            hint=f"Move {path.name}* away and start again: photos and rows stay, only what was owed is forgotten.",
        )
    return StorageUnavailable(
        f"The journal {path} cannot be used at the moment ({error}).",
        hint="Check the free space, the rights and the health of its disk.",
    )


class Connection:
    """The one connection to the journal in *folder*; with *reading_only* it creates and changes nothing."""

    def __init__(self, folder: Path, *, reading_only: bool = False) -> None:
        self.path = folder / FILE
        self._reading_only = reading_only
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close it; the next turn opens it again."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    @contextmanager
    def turn(self, *, writing: bool) -> Iterator[sqlite3.Connection]:
        """Give one thread the connection, inside a transaction: all or nothing.

        Raises:
            StorageUnavailable: The disk is full or failing, or the file is locked; try again later.
            JournalUnusable: It is not a database, is corrupt or has an unknown schema.

        """
        with self._lock:
            try:
                db = self._db = self._db or self._opened()
                db.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
                yield db
                db.execute("COMMIT")
            except sqlite3.Error as error:
                self.close()
                raise meaning(error, self.path) from error
            except BaseException:
                if self._db is not None and self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def changed(self) -> int:
        """Return a number that differs from the last one if another process has written to the journal."""
        with self.turn(writing=False) as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0])

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._address(), uri=True, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _address(self) -> str:
        address = self.path.absolute().as_uri()
        if not self._reading_only:
            return address
        # Without a write-ahead log beside it nobody is writing, and `immutable` keeps SQLite from creating one.
        quiet = not self.path.with_name(FILE + "-wal").exists()
        return address + ("?mode=ro&immutable=1" if quiet else "?mode=ro")

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.row_factory = sqlite3.Row
        db.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        db.execute("PRAGMA foreign_keys = ON")
        if not self._reading_only:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not self._reading_only:
            db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise JournalUnusable(
                f"The journal {self.path} has schema {version}; this program knows {SCHEMA_VERSION}.",
                hint="Use the version of matricula-watcher that wrote it, or a newer one.",
            )
