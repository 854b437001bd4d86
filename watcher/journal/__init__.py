"""Remember images and the acts owed to them; hand out, finish, defer and park acts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from watcher.journal.columns import TASK, image_columns, reading_text, task_fact, utc
from watcher.journal.connection import Connection
from watcher.model import Image, Reading, Task

LONGEST_PAUSE = 3600.0
"""Seconds; an act whose due time lies further ahead than this is due (the clock jumped)."""


@dataclass(frozen=True, slots=True)
class Admission:
    """An image about to be named: *form* is `jpg` or `png`; a *reason* sends it to that folder of the quarantine.

    A quarantined item keeps *stem*, the escaped beginning of its old name, in its new one.
    """

    image: Image
    form: str
    reason: str = ""
    stem: str = ""


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

    def admit(
        self, items: Sequence[Admission], *, now: float, window_seconds: float, taken: Callable[[str], bool]
    ) -> list[Image]:
        """Name *items*, remember them and owe each its first act; return them as they are now known.

        One whose bytes were admitted less than *window_seconds* ago becomes a quarantined duplicate. *taken* says
        whether a name is in use on the disk although the journal does not know it.
        """
        with self._connection.turn(writing=True) as db:
            return [_admit(db, _judged(db, item, now - window_seconds), now, taken) for item in items]

    def claim(self, acts: Sequence[str], *, now: float, limit: int) -> list[Task]:
        """Take up to *limit* of the oldest due *acts*, count the attempt and mark them claimed.

        An act that is suspect, because its last attempt ended without an explanation, is claimed alone.
        """
        with self._connection.turn(writing=True) as db:
            ids = _due(db, acts, now, 1, suspect=1) or _due(db, acts, now, limit, suspect=0)
            if not ids:
                return []
            marks = ", ".join("?" * len(ids))
            db.execute(
                f"UPDATE tasks SET claimed = 1, attempts = attempts + 1, strikes = strikes + ? WHERE id IN ({marks})",
                (int(len(ids) == 1), *ids),
            )
            rows = db.execute(
                f"SELECT {TASK} FROM tasks JOIN images ON images.id = tasks.image"
                f" WHERE tasks.id IN ({marks}) ORDER BY tasks.id",
                ids,
            ).fetchall()
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
            db.execute("UPDATE tasks SET claimed = 0, status = 'parked', reason = ? WHERE id = ?", (reason, task.id))

    def release(self, name: str | None) -> int:
        """Owe the parked acts of image *name* (of all, if none) again, at once; return how many. Attempts are kept."""
        with self._connection.turn(writing=True) as db:
            return db.execute(
                "UPDATE tasks SET status = 'owed', strikes = 0, suspect = 1, due_at = 0 WHERE status <> 'done'"
                " AND claimed = 0 AND (status = 'parked' OR due_at > 0)"
                " AND (? IS NULL OR image = (SELECT id FROM images WHERE name = ?))",
                (name, name),
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
            return db.execute("UPDATE tasks SET claimed = 0, suspect = 1 WHERE claimed = 1").rowcount


def _judged(db: sqlite3.Connection, item: Admission, since: float) -> Admission:
    """Return *item*, as a duplicate if the same bytes were admitted after *since*."""
    if item.reason:
        return item
    first = db.execute(
        "SELECT name FROM images WHERE digest = ? AND reason = '' AND admitted_at > ? ORDER BY id LIMIT 1",
        (item.image.digest, since),
    ).fetchone()
    if first is None:
        return item
    return replace(item, image=replace(item.image, duplicate_of=first["name"]), reason="duplicate")


def _admit(db: sqlite3.Connection, item: Admission, now: float, taken: Callable[[str], bool]) -> Image:
    moment = item.image.arrived_at if item.reason else item.image.captured_at
    second = moment.astimezone().strftime("%Y%m%d_%H%M%S")
    stamp = f"quarantine {second}" if item.reason else second
    last = db.execute("SELECT max(sequence) FROM images WHERE stamp = ?", (stamp,)).fetchone()[0]
    sequence = (last or 0) + 1
    while taken(name := _name(item, second, sequence)):
        sequence += 1
    image = replace(item.image, name=name)
    columns = image_columns(image) | {
        "stamp": stamp,
        "sequence": sequence,
        "reason": item.reason,
        "admitted_at": now,
    }
    marks = ", ".join(f":{column}" for column in columns)
    row = db.execute(f"INSERT INTO images ({', '.join(columns)}) VALUES ({marks}) RETURNING id", columns).fetchone()
    _owe(db, row["id"], "quarantine" if item.reason else "store")
    return image


def _name(item: Admission, second: str, sequence: int) -> str:
    if item.reason:
        return f"{item.reason}/{second}_{sequence}_{item.stem}"
    return f"matricula_{second}{'' if sequence == 1 else f'_{sequence}'}.{item.form}"


def _owe(db: sqlite3.Connection, image: int, act: str) -> None:
    db.execute(
        "INSERT INTO tasks (image, act, status) VALUES (?, ?, 'owed') ON CONFLICT (image, act) DO NOTHING",
        (image, act),
    )


def _due(db: sqlite3.Connection, acts: Sequence[str], now: float, limit: int, *, suspect: int) -> list[int]:
    ids: list[int] = []
    for act in acts:
        for low, high in ((-1.0, now), (now + LONGEST_PAUSE, float("inf"))):
            rows = db.execute(
                "SELECT id FROM tasks WHERE status = 'owed' AND claimed = 0 AND act = ? AND suspect = ?"
                " AND due_at > ? AND due_at <= ? ORDER BY due_at, id LIMIT ?",
                (act, suspect, low, high, limit - len(ids)),
            )
            ids += [row["id"] for row in rows]
    return ids


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
            "UPDATE images SET name = 'gone/' || id || '/' || name, stamp = NULL, reason = 'gone' WHERE id = ?",
            (image,),
        )
    for act in item.owes:
        _owe(db, image, act)
