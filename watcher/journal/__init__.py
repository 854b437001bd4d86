"""Remember images and the acts owed to them; hand out, finish, defer and park acts."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from watcher.errors import StorageUnavailable
from watcher.journal.admission import Admission, admit, judged, owe
from watcher.journal.columns import TASK, printable, reading_text, task_fact, utc
from watcher.journal.connection import Connection
from watcher.model import Image, Reading, Task

__all__ = ["LONGEST_PAUSE", "Admission", "Done", "Journal"]

LONGEST_PAUSE = 3600.0
"""Seconds; an act whose due time lies further ahead than this is due (the clock jumped)."""


@dataclass(frozen=True, slots=True)
class Done:
    """A finished task, the acts it leads to and what it found; *gone* if its file was withdrawn before we had it."""

    task: Task
    owes: tuple[str, ...] = ()
    reading: Reading | None = None
    record_id: int | None = None
    recorded_at: datetime | None = None
    gone: bool = False


class Journal:
    """The verbs. Each is one transaction, and durable when it returns.

    All raise `StorageUnavailable` (try again later) and `JournalUnusable` (never).
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._marks = count(1)
        self._unsure: set[int] = set()
        self._turns: Counter[tuple[str, ...]] = Counter()

    def admit(
        self, items: Sequence[Admission], *, now: float, window_seconds: float, taken: Callable[[str], bool]
    ) -> list[Image]:
        """Name *items*, remember them and owe each its first act; return them as they are now known.

        One whose bytes were admitted less than *window_seconds* ago becomes a quarantined duplicate. *taken* says
        whether a name is in use on the disk although the journal does not know it.
        """
        with self._connection.turn(writing=True) as db:
            return [admit(db, judged(db, item, now, window_seconds), now, taken) for item in items]

    def claim(self, acts: Sequence[str], *, now: float, limit: int) -> list[Task]:
        """Take up to *limit* of the oldest due *acts*, count the attempt and mark them claimed.

        The acts take turns at being first, so that none holds up the others. An act that is suspect, because its last
        attempt ended without an explanation, is claimed alone.
        """
        mark, unsure = next(self._marks), frozenset(self._unsure)
        try:
            with self._connection.turn(writing=True) as db:
                _take_back(db, unsure)
                ids = self._choose(db, acts, now, limit)
                rows = _claim(db, ids, mark) if ids else []
        except StorageUnavailable:
            # What could not be synced may stand in the log all the same, and come back with it.
            self._unsure.add(mark)
            raise
        self._unsure -= unsure
        return [task_fact(row, alone=len(ids) == 1) for row in rows]

    def finish(self, items: Sequence[Done]) -> None:
        """Record what *items* found, mark them done and owe the acts they lead to: all or nothing."""
        with self._connection.turn(writing=True) as db:
            for item in items:
                _finish(db, item)

    def defer(self, task: Task, *, until: float, reason: str, explained: bool) -> None:
        """Give *task* back until the wall clock shows *until*; without an explanation it is suspect from now on."""
        strikes, suspect = (0, 0) if explained else (task.strikes, 1)
        with self._connection.turn(writing=True) as db:
            db.execute(
                "UPDATE tasks SET claimed = 0, due_at = ?, reason = ?, strikes = ?, suspect = ? WHERE id = ?",
                (until, reason, strikes, suspect, task.id),
            )

    def give_back(self, tasks: Sequence[Task]) -> None:
        """Give *tasks* back as if they had never been claimed."""
        with self._connection.turn(writing=True) as db:
            db.executemany(
                "UPDATE tasks SET claimed = 0, attempts = attempts - 1, strikes = strikes - ? WHERE id = ?",
                [(int(task.alone), task.id) for task in tasks],
            )

    def park(self, task: Task, *, reason: str) -> None:
        """Set *task* aside for a person."""
        with self._connection.turn(writing=True) as db:
            db.execute(
                "UPDATE tasks SET claimed = 0, status = 'parked', reason = ? WHERE id = ? AND status = 'owed'",
                (reason, task.id),
            )

    def release(self, name: str | None) -> int:
        """Owe parked and deferred acts of image *name* (of all, if none) at once, attempts kept; return how many."""
        which = None if name is None else printable(name)
        with self._connection.turn(writing=True) as db:
            return db.execute(
                "UPDATE tasks SET status = 'owed', strikes = 0, suspect = suspect OR status = 'parked', due_at = 0"
                " WHERE status <> 'done' AND claimed = 0 AND (status = 'parked' OR due_at > 0)"
                " AND (? IS NULL OR image = (SELECT id FROM images WHERE name = ?))",
                (which, which),
            ).rowcount

    def register_again(self, names: Sequence[str]) -> int:
        """Owe the rows of these images once more, since somebody removed them; return how many."""
        with self._connection.turn(writing=True) as db:
            return db.executemany(
                "UPDATE tasks SET status = 'owed', suspect = 1, due_at = 0 WHERE act = 'register' AND status = 'done'"
                " AND image = (SELECT id FROM images WHERE name = ?)",
                [(name,) for name in names],
            ).rowcount

    def adopt(self) -> int:
        """Release the claims of the previous run and return how many; only the holder of the lock may do it."""
        with self._connection.turn(writing=True) as db:
            return db.execute(
                "UPDATE tasks SET claimed = 0, suspect = 1 WHERE status <> 'done' AND claimed <> 0"
            ).rowcount

    def _choose(self, db: sqlite3.Connection, acts: Sequence[str], now: float, limit: int) -> list[int]:
        first = self._turns[tuple(acts)] % max(1, len(acts))
        self._turns[tuple(acts)] += 1
        turned = (*acts[first:], *acts[:first])
        return _due(db, turned, now, 1, suspect=1) or _due(db, turned, now, limit, suspect=0)


def _due(db: sqlite3.Connection, acts: Sequence[str], now: float, limit: int, *, suspect: int) -> list[int]:
    """Return the due acts: first those whose pause is over, then those never tried, then those a clock misplaced."""
    ids: list[int] = []
    for act in acts:
        for after, until in ((0.0, now), (-1.0, 0.0), (now + LONGEST_PAUSE, float("inf"))):
            rows = db.execute(
                "SELECT id FROM tasks WHERE status = 'owed' AND claimed = 0 AND act = ? AND suspect = ?"
                " AND due_at > ? AND due_at <= ? ORDER BY due_at, id LIMIT ?",
                (act, suspect, after, until, limit - len(ids)),
            )
            ids += [row["id"] for row in rows]
    return ids


def _claim(db: sqlite3.Connection, ids: Sequence[int], mark: int) -> list[sqlite3.Row]:
    marks = ", ".join("?" * len(ids))
    db.execute(
        f"UPDATE tasks SET claimed = ?, attempts = attempts + 1, strikes = strikes + ? WHERE id IN ({marks})",
        (mark, int(len(ids) == 1), *ids),
    )
    return db.execute(
        f"SELECT {TASK} FROM tasks JOIN images ON images.id = tasks.image WHERE tasks.id IN ({marks})"
        " ORDER BY tasks.id",
        ids,
    ).fetchall()


def _take_back(db: sqlite3.Connection, marks: frozenset[int]) -> None:
    """Release claims that came back with the log although they had failed."""
    db.executemany(
        "UPDATE tasks SET claimed = 0, attempts = attempts - 1, strikes = max(0, strikes - 1)"
        " WHERE status <> 'done' AND claimed = ?",
        [(mark,) for mark in marks],
    )


def _finish(db: sqlite3.Connection, item: Done) -> None:
    row = db.execute(
        "UPDATE tasks SET status = 'done', claimed = 0, suspect = 0, reason = '' WHERE id = ? RETURNING image",
        (item.task.id,),
    ).fetchone()
    image = row["image"]
    if item.reading is not None:
        db.execute("UPDATE images SET reading = ? WHERE id = ?", (reading_text(item.reading), image))
    if item.record_id is not None and item.recorded_at is not None:
        db.execute(
            "UPDATE images SET record_id = ?, recorded_at = ? WHERE id = ?",
            (item.record_id, utc(item.recorded_at), image),
        )
    if item.gone:
        # The name is free again, the facts stay.
        db.execute(
            "UPDATE images SET name = 'gone/' || id || '/' || name, stamp = NULL, reason = 'gone'"
            " WHERE id = ? AND reason <> 'gone'",
            (image,),
        )
    for act in item.owes:
        owe(db, image, act)
