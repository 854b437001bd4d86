"""What the commands ask the journal: counts, records, and the story of one image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from watcher.journal.columns import IMAGE, image_fact, reading_fact
from watcher.journal.connection import FILE, Connection
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
    """Read-only listings from the journal in *folder*, beside a running daemon; empty where there is no journal."""

    def __init__(self, folder: Path) -> None:
        self._there = (folder / FILE).exists()
        self._connection = Connection(folder, reading_only=True)

    def close(self) -> None:
        """Close the journal."""
        self._connection.close()

    def counts(self) -> Counts:
        """Return the counts; zeros where there is no journal."""
        if not self._there:
            return Counts(0, {}, {}, {}, {})
        with self._connection.turn(writing=False) as db:
            recorded = db.execute("SELECT count(record_id) FROM images").fetchone()[0]
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
        start = 0
        if last is not None:
            start = self._start_of(last, review=review)
        while page := self._page(start, review=review):
            yield from page
            start = page[-1].id

    def names(self) -> Iterator[tuple[str, bool]]:
        """Yield the name of every image that has one for ever, and whether its row was written."""
        if not self._there:
            return
        with self._connection.turn(writing=False) as db:
            rows = db.execute(
                "SELECT name, record_id IS NOT NULL AS recorded FROM images WHERE reason = '' ORDER BY id"
            )
            yield from ((row["name"], bool(row["recorded"])) for row in rows)

    def story(self, name: str) -> Story | None:
        """Return what is known of the image with this *name* (or that came from this path in the inbox)."""
        if not self._there:
            return None
        with self._connection.turn(writing=False) as db:
            row = db.execute(
                f"SELECT images.id, {IMAGE}, reason, reading, record_id, recorded_at FROM images"
                " WHERE name = ? OR source = ? ORDER BY images.id DESC LIMIT 1",
                (name, name.encode("utf-8", "surrogateescape")),
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
            steps=tuple(
                Step(
                    act=step["act"],
                    status="claimed" if step["claimed"] else step["status"],
                    attempts=step["attempts"],
                    due_at=step["due_at"],
                    reason=step["reason"],
                )
                for step in steps
            ),
        )

    def _start_of(self, last: int, *, review: bool) -> int:
        if not self._there:
            return 0
        with self._connection.turn(writing=False) as db:
            row = db.execute(
                f"SELECT record_id FROM images WHERE {_wanted(review=review)} ORDER BY record_id DESC LIMIT 1 OFFSET ?",
                (last,),
            ).fetchone()
        return 0 if row is None else int(row["record_id"])

    def _page(self, after: int, *, review: bool) -> list[Record]:
        if not self._there:
            return []
        with self._connection.turn(writing=False) as db:
            rows = db.execute(
                f"SELECT {IMAGE}, reading, record_id, recorded_at FROM images"
                f" WHERE record_id > ? AND {_wanted(review=review)} ORDER BY record_id LIMIT {_PAGE}",
                (after,),
            ).fetchall()
        readings = [reading_fact(row["reading"]) or Reading(None) for row in rows]
        return [
            Record(
                id=row["record_id"],
                plate=reading.text or NO_PLATE,
                image=image_fact(row),
                reading=reading,
                recorded_at=datetime.fromisoformat(row["recorded_at"]),
            )
            for row, reading in zip(rows, readings, strict=True)
        ]


def _wanted(*, review: bool) -> str:
    return "record_id IS NOT NULL" + (" AND reading ->> 'review'" if review else "")
