"""What the commands ask the journal: counts, records, and the story of one image."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from watcher.journal.columns import IMAGE, image_fact, printable, reading_fact
from watcher.journal.connection import Connection
from watcher.model import NO_PLATE, Image, Reading, Record

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of everything there is; acts and reasons by their names."""

    recorded: int
    owed: dict[str, int]
    parked: dict[str, int]
    quarantined: dict[str, int]
    suspended: dict[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One act of an image, as the journal knows it; *status* is `owed`, `claimed`, `done` or `parked`."""

    act: str
    status: str
    attempts: int
    due_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Story:
    """All that the journal knows of one image."""

    image: Image
    reason: str
    reading: Reading | None
    record_id: int | None
    recorded_at: datetime | None
    steps: tuple[Step, ...]


class Listing:
    """Read-only listings from the journal in *folder*, beside a running daemon; empty where there is no journal.

    Long ones are read page by page, so that they never hold up the daemon. All raise what `Connection.turn` raises.
    """

    def __init__(self, folder: Path) -> None:
        self._connection = Connection(folder, reading_only=True)

    def close(self) -> None:
        """Close the journal."""
        self._connection.close()

    def counts(self) -> Counts:
        """Return the counts; zeros where there is no journal."""
        with self._connection.turn(writing=False) as db:
            recorded = db.execute("SELECT count(*) FROM images WHERE record_id IS NOT NULL").fetchone()[0]
            open_acts = db.execute(
                "SELECT status, act, count(*) AS number, max(reason) AS reason FROM tasks WHERE status <> 'done'"
                " GROUP BY status, act ORDER BY act"
            ).fetchall()
            reasons = db.execute(
                "SELECT reason, count(*) AS number FROM images WHERE reason <> '' GROUP BY reason ORDER BY reason"
            ).fetchall()
        return Counts(
            recorded=recorded,
            owed={row["act"]: row["number"] for row in open_acts if row["status"] == "owed"},
            parked={row["act"]: row["number"] for row in open_acts if row["status"] == "parked"},
            quarantined={row["reason"]: row["number"] for row in reasons if row["reason"] != "gone"},
            suspended={row["act"]: row["reason"] for row in open_acts if row["reason"]},
        )

    def records(self, *, last: int | None = None, review: bool = False) -> Iterator[Record]:
        """Yield the records by id, at most the *last* ones, or only those marked for *review*."""
        after = (0, 0) if last is None else self._before(last, review=review)
        while page := self._page(after, review=review):
            yield from map(_record, page)
            after = (page[-1]["record_id"], page[-1]["id"])

    def names(self) -> Iterator[tuple[str, bool]]:
        """Yield the name of every image that has one for ever, and whether its row was written."""
        after = 0
        while rows := self._names(after):
            yield from ((row["name"], bool(row["recorded"])) for row in rows)
            after = rows[-1]["id"]

    def story(self, name: str) -> Story | None:
        """Return what is known of the image with this *name*, or else that came last from this path in the inbox."""
        called = printable(name)
        with self._connection.turn(writing=False) as db:
            row = db.execute(
                f"SELECT images.id, {IMAGE}, reason, reading, record_id, recorded_at FROM images"
                " WHERE name = ? OR source = ? ORDER BY name = ? DESC, images.id DESC LIMIT 1",
                (called, os.fsencode(name), called),
            ).fetchone()
            if row is None:
                return None
            steps = db.execute("SELECT * FROM tasks WHERE image = ? ORDER BY id", (row["id"],)).fetchall()
        return Story(
            image=image_fact(row),
            reason=row["reason"],
            reading=reading_fact(row["reading"]),
            record_id=row["record_id"],
            recorded_at=None if row["recorded_at"] is None else datetime.fromisoformat(row["recorded_at"]),
            steps=tuple(map(_step, steps)),
        )

    def _before(self, last: int, *, review: bool) -> tuple[int, int]:
        """Return the id of the row before the *last* ones, and that of its image."""
        with self._connection.turn(writing=False) as db:
            row = db.execute(
                f"SELECT record_id, id FROM images WHERE {_wanted(review=review)}"
                " ORDER BY record_id DESC, id DESC LIMIT 1 OFFSET ?",
                (last,),
            ).fetchone()
        return (0, 0) if row is None else (row["record_id"], row["id"])

    def _page(self, after: tuple[int, int], *, review: bool) -> list[sqlite3.Row]:
        with self._connection.turn(writing=False) as db:
            return db.execute(
                f"SELECT id, {IMAGE}, reading, record_id, recorded_at FROM images"
                f" WHERE {_wanted(review=review)} AND (record_id, id) > (?, ?) ORDER BY record_id, id LIMIT {_PAGE}",
                after,
            ).fetchall()

    def _names(self, after: int) -> list[sqlite3.Row]:
        with self._connection.turn(writing=False) as db:
            return db.execute(
                "SELECT id, name, record_id IS NOT NULL AS recorded FROM images WHERE id > ? AND reason = ''"
                f" ORDER BY id LIMIT {_PAGE}",
                (after,),
            ).fetchall()


def _wanted(*, review: bool) -> str:
    return "record_id IS NOT NULL" + (" AND json_extract(reading, '$.review')" if review else "")


def _record(row: sqlite3.Row) -> Record:
    reading = reading_fact(row["reading"]) or Reading(None)
    return Record(
        id=row["record_id"],
        plate=reading.text or NO_PLATE,
        image=image_fact(row),
        reading=reading,
        recorded_at=datetime.fromisoformat(row["recorded_at"]),
    )


def _step(row: sqlite3.Row) -> Step:
    return Step(
        act=row["act"],
        status="claimed" if row["claimed"] else row["status"],
        attempts=row["attempts"],
        due_at=row["due_at"],
        reason=row["reason"],
    )
