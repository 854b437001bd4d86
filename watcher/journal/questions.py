"""What the running line asks the journal."""

from __future__ import annotations

from collections.abc import Sequence

from watcher.journal import LONGEST_PAUSE
from watcher.journal.columns import IMAGE, TASK, image_fact, task_fact
from watcher.journal.connection import Connection
from watcher.model import Image, Task


class Questions:
    """Questions that the stations and lanes ask. All raise what `Connection.turn` raises."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def unfinished(self, paths: Sequence[bytes]) -> list[Image]:
        """Return the images from *paths* in the inbox whose store, quarantine or release is still owed."""
        marks = ", ".join("?" * len(paths))
        with self._connection.turn(writing=False) as db:
            rows = db.execute(
                f"SELECT {IMAGE} FROM images WHERE source IN ({marks}) AND EXISTS (SELECT 1 FROM tasks"
                " WHERE tasks.image = images.id AND status <> 'done' AND act IN ('store', 'quarantine', 'release'))",
                list(paths),
            ).fetchall()
        return [image_fact(row) for row in rows]

    def latest_from(self, paths: Sequence[bytes]) -> Image | None:
        """Return the image admitted last from one of *paths*, if any."""
        marks = ", ".join("?" * len(paths))
        with self._connection.turn(writing=False) as db:
            row = db.execute(
                f"SELECT {IMAGE} FROM images WHERE source IN ({marks}) AND reason IN ('', 'duplicate')"
                " ORDER BY id DESC LIMIT 1",
                list(paths),
            ).fetchone()
        return None if row is None else image_fact(row)

    def temporaries(self) -> frozenset[str]:
        """Return the names of the hidden copies in `uploads/` that an owed `store` still needs."""
        with self._connection.turn(writing=False) as db:
            rows = db.execute(
                "SELECT temporary FROM images JOIN tasks ON tasks.image = images.id"
                " WHERE tasks.status <> 'done' AND tasks.act = 'store'"
            ).fetchall()
        return frozenset(row["temporary"] for row in rows)

    def owed(self, act: str) -> list[Task]:
        """Return every task of *act* that is owed, claimed or parked."""
        with self._connection.turn(writing=False) as db:
            rows = db.execute(
                f"SELECT {TASK} FROM tasks JOIN images ON images.id = tasks.image"
                " WHERE tasks.status <> 'done' AND tasks.act = ?",
                (act,),
            ).fetchall()
        return [task_fact(row, alone=False) for row in rows]

    def highest_id(self) -> int:
        """Return the highest id that a row was ever given, 0 if there is none."""
        with self._connection.turn(writing=False) as db:
            row = db.execute("SELECT ifnull(max(record_id), 0) FROM images WHERE record_id IS NOT NULL").fetchone()
        return int(row[0])

    def next_due(self, acts: Sequence[str]) -> float | None:
        """Return the wall-clock time at which the next of *acts* is due, none if none is owed."""
        with self._connection.turn(writing=False) as db:
            times = [
                db.execute(
                    "SELECT min(due_at) FROM tasks WHERE status = 'owed' AND claimed = 0 AND act = ? AND suspect = ?",
                    (act, suspect),
                ).fetchone()[0]
                for act in acts
                for suspect in (0, 1)
            ]
        return min((float(due) for due in times if due is not None), default=None)

    def busy(self, acts: Sequence[str], now: float) -> int:
        """Return how many of *acts* are claimed, or due at wall-clock time *now*."""
        marks = ", ".join("?" * len(acts))
        with self._connection.turn(writing=False) as db:
            row = db.execute(
                "SELECT count(*) FROM tasks WHERE status <> 'done' AND status = 'owed'"
                f" AND act IN ({marks}) AND (claimed <> 0 OR due_at <= ? OR due_at > ?)",
                (*acts, now, now + LONGEST_PAUSE),
            ).fetchone()
        return int(row[0])

    def totals(self) -> tuple[int, int]:
        """Return how many rows were registered, and how many acts are owed."""
        with self._connection.turn(writing=False) as db:
            row = db.execute(
                "SELECT (SELECT count(*) FROM images WHERE record_id IS NOT NULL),"
                " (SELECT count(*) FROM tasks WHERE status <> 'done' AND status = 'owed')"
            ).fetchone()
        return int(row[0]), int(row[1])
